/**
 * What tests of the listening page need.
 */

import assert from "node:assert/strict";
import { measureAudio, rememberOutput } from "./audioProbe.mjs";
import { collectErrors } from "./page.mjs";
import { waitFor } from "./waitFor.mjs";

/** Waits until the page's status matches. */
export const statusIs = (page, pattern) => waitFor(
  `status ${pattern}`,
  async () => pattern.test(await page.$eval("#status", (element) => element.textContent)),
);

/** Waits until the number of listeners at the server is as expected. */
export const listenersAre = (server, count, timeoutMs = undefined) => waitFor(
  `${count} listeners at the server`,
  async () => (await server.listeners()) === count,
  timeoutMs,
);

/** Waits until the test tone is heard in both channels, and checks it. */
export async function hearsTone(page) {
  let measured;
  await waitFor("sound in both channels", async () => {
    measured = await measureAudio(page);
    return measured.playing && measured.rms.every((rms) => rms > 0.01) && measured.hz.every((hz) => Math.abs(hz - 440) < 2);
  }).catch((error) => assert.fail(`${error.message}; last measurement: ${JSON.stringify(measured)}`));
  const [left, right] = measured.rms;
  assert.ok(left < 1 && right < 1, `clipped: ${measured.rms}`);
  assert.ok(Math.abs(20 * Math.log10(left / right)) < 3, `left and right differ: ${measured.rms}`);
}

/** Opens a page that is closed with its test, and records its errors and requests. The functions run in it before its scripts. */
export async function openPage(t, browser, server, path, ...preparations) {
  const page = await browser.newPage();
  t.after(async () => {
    // A closed tab may have no time to end its session; a page that is left has.
    await page.goto("about:blank");
    await listenersAre(server, 0, 2000).catch(() => {});
    await page.close();
  });
  for (const prepare of [rememberOutput, ...preparations]) await page.evaluateOnNewDocument(prepare);
  const errors = collectErrors(page);
  const requests = [];
  page.on("request", (request) => requests.push(`${request.method()} ${new URL(request.url()).pathname}`));
  await page.goto(server.origin + path, { waitUntil: "load" });
  return { page, errors, requests };
}

/** Runs in the page: keeps its RTCPeerConnection for the test. */
export function keepConnection() {
  const OriginalConnection = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends OriginalConnection {
    constructor(...configuration) {
      super(...configuration);
      window.connection = this;
    }
  };
}
