/**
 * What tests of rooms share.
 */

import assert from "node:assert/strict";
import { after, before } from "node:test";
import { CAMERA_BROWSERS } from "./browsers.mjs";
import { Participant } from "./participant.mjs";
import { Server } from "./server.mjs";

/**
 * Starts a browser and a server before the tests of a `describe`, and ends them afterwards.
 * @param {keyof typeof CAMERA_BROWSERS} browserName
 * @param {string[]} flags of the server
 * @returns {{ browser: import("puppeteer-core").Browser, server: Server }} filled in before the first test
 */
export function useBrowserAndServer(browserName, flags = []) {
  const fixture = {};
  before(async () => {
    [fixture.browser, fixture.server] = await Promise.all([CAMERA_BROWSERS[browserName](), Server.start(0, flags)]);
  });
  after(async () => {
    await fixture.browser?.close();
    await fixture.server?.kill();
  });
  return fixture;
}

/**
 * Joins one participant after another.
 * @param {{ browser: import("puppeteer-core").Browser, server: Server }} fixture
 * @param {string[]} names
 */
export async function joinAll(t, { browser, server }, room, names) {
  const participants = [];
  for (const name of names) participants.push(await Participant.join(t, browser, server, room, name));
  return participants;
}

/** Waits until everybody receives everybody else. @param {Participant[]} participants */
export async function allReceive(participants) {
  const names = participants.map(({ name }) => name);
  await Promise.all(participants.map((participant) => participant.receives(names.filter((name) => name !== participant.name))));
}

/** @param {Participant[]} participants */
export function assertNoErrors(participants) {
  assert.deepEqual(participants.flatMap(({ name, errors }) => errors.map((error) => `${name}: ${error}`)), []);
}
