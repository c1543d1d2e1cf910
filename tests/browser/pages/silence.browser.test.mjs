/**
 * A connection to the server that falls silent without being closed.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { BlackHole } from "../harness/blackHole.mjs";
import { CAMERA_BROWSERS } from "../harness/browsers.mjs";
import { Participant } from "../harness/participant.mjs";
import { allReceive, assertNoErrors } from "../harness/room.mjs";
import { Server } from "../harness/server.mjs";
import { waitFor } from "../harness/waitFor.mjs";

/** How long a page and its newcomer may take to see each other. */
const MEETING_MS = 30_000;

for (const [name, launch] of Object.entries(CAMERA_BROWSERS)) {
  describe(`a silent connection in ${name}`, { timeout: 200_000 }, () => {
    let browser;
    let hole;
    /** @type {Server} */
    let server;
    before(async () => {
      [browser, server] = await Promise.all([launch(), Server.start()]);
      hole = await BlackHole.start(server.port);
    });
    after(async () => {
      await browser?.close();
      hole?.stop();
      await server?.kill();
    });

    test("a page alone in a room notices it, and meets who comes", async (t) => {
      const ada = await Participant.join(t, browser, hole, "alone", "Ada");
      hole.silence();
      const bela = await Participant.join(t, browser, server, "alone", "Bela");
      const begunMs = performance.now();
      await waitFor("Ada's page to connect again", () => ada.page.evaluate(() => window.sockets.length > 1), MEETING_MS);
      await Promise.all([ada.sees(["Bela"], MEETING_MS), bela.sees(["Ada"], MEETING_MS)]);
      await allReceive([ada, bela]);
      assert.ok(performance.now() - begunMs < MEETING_MS, `${performance.now() - begunMs} ms`);
      assertNoErrors([ada, bela]);
    });
  });
}
