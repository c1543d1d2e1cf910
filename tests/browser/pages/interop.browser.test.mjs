/**
 * The room page with other clients: a minimal client, and another browser.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { CAMERA_BROWSERS } from "../harness/browsers.mjs";
import { runMinimalClient } from "../harness/minimalClient.mjs";
import { Participant } from "../harness/participant.mjs";
import { allReceive, assertNoErrors, useBrowserAndServer } from "../harness/room.mjs";
import { Server } from "../harness/server.mjs";
import { waitFor } from "../harness/waitFor.mjs";

describe("a minimal client", { timeout: 100_000 }, () => {
  const fixture = useBrowserAndServer("Chromium");

  test("sends and receives video and audio", async (t) => {
    const { browser, server } = fixture;
    const ada = await Participant.join(t, browser, server, "minimal", "Ada");
    // It joins after Ada and makes an offer to her; Bela joins later and makes an offer to it.
    const minimal = await browser.newPage();
    t.after(() => minimal.close());
    await minimal.goto(`${server.origin}/listen`);
    // A click, so that the browser allows it to play.
    await minimal.click("body");
    await minimal.evaluate(runMinimalClient, "minimal");
    const bela = await Participant.join(t, browser, server, "minimal", "Bela");

    const tileOf = async (participant) => (await participant.tiles()).find(({ name }) => name.startsWith("Guest "));
    for (const participant of [ada, bela]) {
      await waitFor(`${participant.name} to receive the minimal client`, async () => {
        const tile = await tileOf(participant);
        return tile !== undefined && tile.widthPx > 0 && tile.framesDecoded > 5 && tile.audioEnergy > 0;
      });
    }
    await waitFor("the minimal client to receive both", () => minimal.evaluate(async () => {
      const all = await Promise.all(Object.values(window.minimalConnections).map(async (connection) => {
        const entries = [...(await connection.getStats()).values()].filter(({ type }) => type === "inbound-rtp");
        return entries.some(({ framesDecoded }) => framesDecoded > 5) && entries.some(({ totalAudioEnergy }) => totalAudioEnergy > 0);
      }));
      return all.length === 2 && all.every(Boolean);
    }));
    await allReceive([ada, bela]);
    // For a client that shows one video only, a shared screen replaces the camera.
    await ada.press("screen");
    await bela.sees(["Ada", "Ada’s screen", (await tileOf(bela)).name]);
    assert.equal(await minimal.evaluate(() => window.minimalErrors), 0);
    assertNoErrors([ada, bela]);
  });
});

describe("Chromium with Firefox", { timeout: 120_000 }, () => {
  /** @type {import("puppeteer-core").Browser[]} */
  let browsers = [];
  /** @type {Server} */
  let server;
  before(async () => {
    [server, ...browsers] = await Promise.all([Server.start(), CAMERA_BROWSERS.Chromium(), CAMERA_BROWSERS.Firefox()]);
  });
  after(async () => {
    await Promise.all(browsers.map((browser) => browser.close()));
    await server?.kill();
  });

  const names = ["Chromium", "Firefox"];
  for (const order of [[0, 1], [1, 0]]) {
    test(`${names[order[1]]} joins ${names[order[0]]}, and both see and hear each other`, async (t) => {
      const participants = [];
      for (const index of order) participants.push(await Participant.join(t, browsers[index], server, "mixed", names[index]));
      await allReceive(participants);
      const [first, second] = participants;
      await second.press("mute");
      await first.tileIs(second.name, "muted");
      await second.press("camera");
      await first.tileIs(second.name, "cameraOff");
      await second.press("camera");
      await second.press("mute");
      await allReceive(participants);
      const chromium = participants[order.indexOf(0)];
      const firefox = participants[order.indexOf(1)];
      await chromium.press("screen");
      await firefox.receives(["Chromium’s screen"], { audio: false });
      await chromium.toggleMusic();
      await allReceive(participants);
      await second.press("leave");
      await first.sees([], 2000);
      assertNoErrors(participants);
    });
  }
});
