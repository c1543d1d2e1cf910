/**
 * A server with its self-signed certificate, opened by an address other than loopback: the listening page works over plain
 * HTTP, and a room's page is redirected to https, where its WebSocket works too.
 */

import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { describe, test } from "node:test";
import { CAMERA_BROWSERS } from "../harness/browsers.mjs";
import { Participant } from "../harness/participant.mjs";
import { Server } from "../harness/server.mjs";
import { waitFor } from "../harness/waitFor.mjs";

/** An address of this machine that is not a secure origin by itself. */
const ADDRESS = Object.values(networkInterfaces()).flat().find(({ family, internal }) => family === "IPv4" && !internal)?.address;

for (const [name, launch] of Object.entries(CAMERA_BROWSERS)) {
  describe(`${name} with a self-signed certificate`, { timeout: 120_000 }, () => {
    test("listening works without https, and two people meet in a room with https", async (t) => {
      const [browser, server] = await Promise.all([launch({ acceptInsecureCerts: true }), Server.start()]);
      t.after(() => Promise.all([browser.close(), server.kill()]));
      // A machine without a network has only loopback, where nothing is redirected.
      const plain = `http://${ADDRESS ?? "127.0.0.1"}:${server.port}`;
      const secure = plain.replace("http:", "https:");

      const page = await browser.newPage();
      await page.goto(`${plain}/listen`, { waitUntil: "load" });
      assert.equal(page.url(), `${plain}/listen`);
      await page.click("#play");
      await waitFor("a listener", async () => await server.listeners() === 1);
      await page.close();

      server.origin = ADDRESS === undefined ? secure : plain;
      const ada = await Participant.join(t, browser, server, "attic", "Ada");
      assert.equal(ada.page.url(), `${secure}/room/attic`);
      assert.equal(await ada.page.evaluate(() => window.isSecureContext), true);
      const bela = await Participant.join(t, browser, server, "attic", "Bela");
      await Promise.all([ada.receives(["Bela"]), bela.receives(["Ada"])]);
      assert.equal(await ada.page.evaluate(() => window.sockets.at(-1).url.split(":")[0]), "wss");
      assert.deepEqual([...ada.errors, ...bela.errors], []);
    });
  });
}
