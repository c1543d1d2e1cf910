/**
 * A house with the certificate that it made itself, as it is beyond loopback: who only listens meets no warning, who wants
 * into a room is led to https and finds a WebSocket there.
 */

import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { describe, test } from "node:test";
import { Guest } from "../harness/participant.mjs";
import { GUESTS, House, until } from "../harness/server.mjs";

/** An address of this host that browsers do not hold for safe by itself. */
const HERE = Object.values(networkInterfaces()).flat().find(({ family, internal }) => family === "IPv4" && !internal);

for (const [name, launch] of Object.entries(GUESTS)) {
  describe(`${name} at a house with its own certificate`, { timeout: 120_000 }, () => {
    test("listening works without https, and two meet in a room with it", async (t) => {
      const [browser, house] = await Promise.all([launch({ acceptInsecureCerts: true }), House.open()]);
      t.after(() => Promise.all([browser.close(), house.kill()]));
      // A host without a network has loopback only, where nothing needs to lead to https.
      const plain = `http://${HERE?.address ?? "127.0.0.1"}:${house.port}`;
      const secure = plain.replace("http:", "https:");

      const page = await browser.newPage();
      await page.goto(`${plain}/listen`, { waitUntil: "load" });
      assert.equal(page.url(), `${plain}/listen`);
      await page.click("#power");
      await until("a listener", async () => await house.listeners() === 1);
      await page.close();

      house.origin = HERE === undefined ? secure : plain;
      const ada = await Guest.enter(t, browser, house, "attic", "Ada");
      assert.equal(ada.page.url(), `${secure}/room/attic`);
      assert.equal(await ada.page.evaluate(() => window.isSecureContext), true);
      const bela = await Guest.enter(t, browser, house, "attic", "Bela");
      await Promise.all([ada.receives(["Bela"]), bela.receives(["Ada"])]);
      assert.equal(await ada.page.evaluate(() => window.sockets.at(-1).url.split(":")[0]), "wss");
      assert.deepEqual([...ada.errors, ...bela.errors], []);
    });
  });
}
