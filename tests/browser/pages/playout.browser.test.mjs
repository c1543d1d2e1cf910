import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { measureAudio } from "../harness/audioProbe.mjs";
import { LISTENER_BROWSERS } from "../harness/browsers.mjs";
import { hearsTone, keepConnection, openPage, statusIs } from "../harness/listening.mjs";
import { Server } from "../harness/server.mjs";
import { waitFor } from "../harness/waitFor.mjs";

const WWW = fileURLToPath(new URL("../../../www", import.meta.url));

/** Who plays: direct playout, or the browser itself, or nobody between two sessions. @param {import("puppeteer-core").Page} page */
const isDirect = (page) => page.evaluate(() => window.connection.getReceivers()[0]?.track.enabled === false);

/** @param {import("puppeteer-core").Page} page @param {boolean} expected */
const directIs = (page, expected) => waitFor(
  expected ? "direct playout" : "playout by the browser",
  async () => (await isDirect(page)) === expected,
);

/** Runs in a page: its outputs run empty twice a second. */
function runEmpty() {
  Object.defineProperty(AudioContext.prototype, "playbackStats", {
    get() {
      return { underrunEvents: Math.floor(this.currentTime * 2) };
    },
  });
}

/** Starts the page and waits for its sound. @param {import("puppeteer-core").Page} page */
async function play(page) {
  await page.click("#play");
  await statusIs(page, /^Live/);
  await hearsTone(page);
}

/**
 * A server whose pages differ in one place.
 * @param {import("node:test").TestContext} t
 * @param {string} file in `www`
 * @param {[string, string]} change
 */
async function serverWith(t, file, [from, to]) {
  const folder = mkdtempSync(join(tmpdir(), "roomtone-www-"));
  t.after(() => rmSync(folder, { recursive: true }));
  cpSync(WWW, folder, { recursive: true });
  const text = readFileSync(join(folder, file), "utf8");
  assert.ok(text.includes(from), `${file} has no ${from}`);
  writeFileSync(join(folder, file), text.replace(from, to));
  const server = await Server.start(0, ["--www", folder]);
  t.after(() => server.kill());
  return server;
}

for (const name of ["Chromium", "Firefox"]) {
  describe(name, { timeout: 300_000 }, () => {
    /** @type {import("puppeteer-core").Browser} */
    let browser;
    /** @type {Server} */
    let server;
    before(async () => {
      [browser, server] = await Promise.all([LISTENER_BROWSERS[name](), Server.start(0, ["--packet-ms", "10"])]);
    });
    after(async () => {
      await browser?.close();
      await server?.kill();
    });

    test("live sound goes past the browser's buffer, and the page tells the delay", async (t) => {
      const { page, errors } = await openPage(t, browser, server, "/listen", keepConnection);
      await play(page);
      await directIs(page, true);
      await hearsTone(page);
      const delayMs = await waitFor("a delay", () => page.$eval("#delay", ({ textContent }) => Number.parseInt(textContent, 10)));
      assert.ok(delayMs > 10 && delayMs < 500, `${delayMs} ms`);
      assert.deepEqual(errors, []);
    });

    test("the volume, the mute key and Stop count for it", async (t) => {
      const { page, errors } = await openPage(t, browser, server, "/listen", keepConnection);
      await play(page);
      await directIs(page, true);
      const loud = (await measureAudio(page)).rms[0];
      await page.$eval("#volume", (slider) => {
        slider.value = "50";
        slider.dispatchEvent(new Event("input"));
      });
      await waitFor("less sound", async () => {
        const [rms] = (await measureAudio(page)).rms;
        return rms > 0.001 && rms < loud * 0.6;
      });
      await page.keyboard.press("m");
      await waitFor("silence", async () => (await measureAudio(page)).rms[0] < 0.0001);
      await page.keyboard.press("m");
      await waitFor("sound", async () => (await measureAudio(page)).rms[0] > 0.001);
      await page.click("#play");
      await waitFor("a suspended output", () => page.evaluate(() => window.outputNode.context.state === "suspended"));
      await play(page);
      await directIs(page, true);
      assert.deepEqual(errors, []);
    });

    test("the relaxed choice is played by the browser, and changes back and forth without a new session", async (t) => {
      const { page, errors, requests } = await openPage(t, browser, server, "/listen", keepConnection);
      if (!(await page.$eval("#buffering", (row) => row.checkVisibility()))) return t.skip("this browser has no such choice");
      await play(page);
      for (const [choice, expected] of [["relaxed", false], ["live", true], ["relaxed", false], ["live", true]]) {
        await page.click(`label:has(#buffering-${choice})`);
        await directIs(page, expected);
        await hearsTone(page);
      }
      assert.equal(requests.filter((each) => each.startsWith("POST /whep")).length, 1);
      assert.deepEqual(errors, []);
    });

    test("an output that keeps running empty gets a larger buffer, and sound and meters go on", async (t) => {
      const { page, errors } = await openPage(t, browser, server, "/listen", keepConnection, runEmpty);
      await play(page);
      await directIs(page, true);
      await page.evaluate(() => { window.firstOutput = window.outputNode; });
      await waitFor("another output", () => page.evaluate(() => window.outputNode !== window.firstOutput));
      await waitFor("the end of the first", () => page.evaluate(() => window.firstOutput.context.state === "closed"));
      await directIs(page, true);
      await hearsTone(page);
      await waitFor("the meters", () => page.$$eval("[role=meter]", (meters) => meters.every((meter) => Number(meter.getAttribute("aria-valuenow")) > -40)));
      assert.deepEqual(errors, []);
    });

    test("on a bad line the browser plays after a while, in the same session", async (t) => {
      // One frame of five is lost.
      const lossy = await serverWith(t, "player/playout/frameOrder.js", ["positionOf(timestamp) {", "positionOf(timestamp) {\n    if (Math.random() < 0.2) return null;"]);
      const { page, errors } = await openPage(t, browser, lossy, "/listen", keepConnection);
      await page.click("#play");
      await directIs(page, true);
      await directIs(page, false);
      await hearsTone(page);
      await statusIs(page, /^Live$/);
      assert.deepEqual(errors, []);
    });

    for (const [what, file, change] of /** @type {const} */ ([
      ["is missing", "player/playout/decoderWorker.js", ["import {", "import { missing } from \"./missing.js\";\nimport {"]],
      ["has no decoder", "player/playout/decoderWorker.js", ["codec: \"opus\"", "codec: \"none\""]],
      ["breaks while it works", "player/playout/decoderWorker.js", ["const position = this.#positions.shift();", "const position = this.#positions.shift();\n    if (position > 144_000) throw new Error(\"broken\");"]],
      ["sends nothing to its output", "player/playout/decoderWorker.js", ["output?.postMessage({ position", "if (position > 144_000) return;\n    output?.postMessage({ position"]],
      ["has no output", "player/playout/outputWorklet.js", ["registerProcessor(\"direct-playout\"", "registerProcessor(\"other\""]],
      ["has an output that breaks", "player/playout/outputWorklet.js", ["const { counters } = this.#buffer;", "const { counters } = this.#buffer;\n    if (counters.played > 144_000) throw new Error(\"broken\");"]],
    ])) {
      test(`where direct playout ${what}, the browser plays`, async (t) => {
        const broken = await serverWith(t, file, change);
        const { page } = await openPage(t, browser, broken, "/listen", keepConnection);
        await page.click("#play");
        if (/breaks|nothing/.test(what)) await directIs(page, true);
        await directIs(page, false);
        await statusIs(page, /^Live$/);
        await hearsTone(page);
        assert.equal(await isDirect(page), false);
      });
    }
  });
}
