/**
 * Under which names and addresses the pages work for visitors in the server's own network, and what a page of another site
 * can do there.
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { hostname, networkInterfaces } from "node:os";
import { after, before, describe, test } from "node:test";
import { CAMERA_BROWSERS, REBOUND_NAME } from "../harness/browsers.mjs";
import { collectErrors, shows, textOf } from "../harness/page.mjs";
import { Participant } from "../harness/participant.mjs";
import { Server } from "../harness/server.mjs";
import { waitFor } from "../harness/waitFor.mjs";

/** An address of this machine besides loopback, if it has a network. */
const ADDRESS = Object.values(networkInterfaces()).flat().find(({ family, internal }) => family === "IPv4" && !internal)?.address;
const HOSTS = ["localhost", "127.0.0.1", ...(ADDRESS === undefined ? [] : [ADDRESS, hostname()])];

/** Runs in a page of another site: what it can do with this server. @param {string} target */
async function attack(target) {
  const offer = { method: "POST", headers: { "Content-Type": "application/sdp" }, body: "v=0\r\n" };
  const outcome = async (url, init) => {
    try {
      const response = await fetch(target + url, init);
      return response.type === "opaque" ? "opaque" : response.status;
    } catch {
      return "refused";
    }
  };
  const loads = (tag, url) => new Promise((resolve) => {
    const element = document.createElement(tag);
    element.onload = () => resolve("loaded");
    element.onerror = () => resolve("refused");
    element.src = target + url;
    document.body.append(element);
  });
  const joins = () => new Promise((resolve) => {
    const socket = new WebSocket(`${target.replace("http", "ws")}/ws`);
    socket.onopen = () => resolve("opened");
    socket.onclose = () => resolve("refused");
  });
  return {
    offer: await outcome("/whep", offer),
    offerAsJson: await outcome("/offer", { ...offer, headers: { "Content-Type": "application/json" } }),
    status: await outcome("/api/status", {}),
    picture: await loads("img", "/favicon.svg"),
    script: await loads("script", "/api/status"),
    socket: await joins(),
  };
}

for (const [browserName, launch] of Object.entries(CAMERA_BROWSERS)) {
  describe(`${browserName} in the server's network`, { timeout: 240_000 }, () => {
    const fixture = {};
    before(async () => {
      [fixture.browser, fixture.server] = await Promise.all([launch({ acceptInsecureCerts: true }), Server.start()]);
    });
    after(async () => {
      await fixture.browser?.close();
      await fixture.server?.kill();
    });

    for (const host of HOSTS) {
      test(`front page, station and room work at ${host}`, async (t) => {
        const { browser, server } = fixture;
        const origin = `http://${host}:${server.port}`;
        const page = await browser.newPage();
        t.after(() => page.close());
        const errors = collectErrors(page);
        await page.goto(`${origin}/`, { waitUntil: "load" });
        await shows(page, ".card-status-text", /On air/);
        await page.goto(`${origin}/listen`, { waitUntil: "load" });
        await page.click("#play");
        await waitFor("a listener", async () => (await server.listeners()) === 1);
        await page.click("#play");
        await waitFor("no listener", async () => (await server.listeners()) === 0);
        assert.deepEqual(errors, []);
        const ada = await Participant.join(t, browser, { origin }, "attic", "Ada");
        await ada.reconnectsSignaling();
        assert.deepEqual(ada.errors, []);
      });
    }

    test("a page of another site can neither listen nor join nor read", async (t) => {
      const { browser, server } = fixture;
      const site = createServer((_, response) => response.end("<!doctype html><body>")).listen(0, "127.0.0.1");
      t.after(() => site.close());
      await once(site, "listening");
      const page = await browser.newPage();
      t.after(() => page.close());
      await page.goto(`http://127.0.0.1:${site.address().port}/`, { waitUntil: "load" });
      const refused = "refused";
      for (const host of HOSTS.slice(0, 3)) {
        assert.deepEqual(
          await page.evaluate(attack, `http://${host}:${server.port}`),
          { offer: refused, offerAsJson: refused, status: refused, picture: refused, script: refused, socket: refused },
          host,
        );
      }
    });

    test("a name that was made to point here shows a page that names the flag", async (t) => {
      const { browser, server } = fixture;
      const page = await browser.newPage();
      t.after(() => page.close());
      const response = await page.goto(`http://${REBOUND_NAME}:${server.port}/listen`, { waitUntil: "load" });
      assert.equal(response.status(), 421);
      assert.match(await textOf(page, "h1"), /does not know the name rebound\.evil\.example/);
      assert.match(await textOf(page, "ul"), /--allow-host rebound\.evil\.example/);
      const more = await page.goto(`http://${REBOUND_NAME}:${server.port}/api/status`, { waitUntil: "load" });
      assert.equal(more.status(), 421);
    });
  });
}
