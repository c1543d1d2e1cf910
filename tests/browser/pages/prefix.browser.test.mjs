/**
 * Behind nginx that serves the pages below a path, and either takes the path off or does not.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { CAMERA_BROWSERS } from "../harness/browsers.mjs";
import { Nginx } from "../harness/nginx.mjs";
import { collectErrors, textOf } from "../harness/page.mjs";
import { Participant } from "../harness/participant.mjs";
import { allReceive, assertNoErrors } from "../harness/room.mjs";
import { Server } from "../harness/server.mjs";
import { waitFor } from "../harness/waitFor.mjs";

/** How nginx is told, and what the server knows of it. */
const PROXIES = {
  "takes the path off": {
    upstream: (server) => `${server.origin}/`,
    flags: () => [],
  },
  "leaves the path": {
    upstream: (server) => server.origin,
    flags: (nginx) => ["--public-url", `http://127.0.0.1:${nginx.port}/some/where/`],
  },
};

for (const [browserName, launch] of Object.entries(CAMERA_BROWSERS)) {
  for (const [kind, { upstream, flags }] of Object.entries(PROXIES)) {
    describe(`${browserName}, behind a proxy that ${kind}`, { timeout: 100_000 }, () => {
      let browser;
      let nginx;
      /** @type {Server} */
      let server;
      /** What the participants' harness takes for a server. */
      let outside;
      before(async () => {
        nginx = await Nginx.reserve();
        [browser, server] = await Promise.all([launch(), Server.start(0, flags(nginx))]);
        await nginx.start("/some/where/", upstream(server));
        outside = { origin: `http://127.0.0.1:${nginx.port}/some/where` };
      });
      after(async () => {
        await browser?.close();
        await nginx?.kill();
        await server?.kill();
      });

      test("every page is found from the front page, and the station plays and ends", async (t) => {
        const page = await browser.newPage();
        t.after(() => page.close());
        const errors = collectErrors(page);
        const wrong = [];
        page.on("response", (response) => {
          // The session may have ended by the end of DTLS already.
          const isRefused = response.status() >= 400 && response.request().method() !== "DELETE";
          if (isRefused || !response.url().startsWith(`${outside.origin}/`)) wrong.push(response.url());
        });
        await page.goto(`${outside.origin}/`, { waitUntil: "load" });
        await waitFor("the station's state", async () => /On air/.test(await textOf(page, ".card-status-text")));
        await Promise.all([page.waitForNavigation(), page.click("a.card[href*=listen]")]);
        await page.click("#play");
        await waitFor("a listener", async () => (await server.listeners()) === 1);
        await waitFor("sound", async () => /^Live/.test(await textOf(page, "#status")));
        await page.click("#play");
        await waitFor("the session's end", async () => (await server.listeners()) === 0);
        await Promise.all([page.waitForNavigation(), page.click(".site-name")]);
        assert.equal(page.url(), `${outside.origin}/`);
        await page.type("#room-name", "quartet");
        await Promise.all([page.waitForNavigation(), page.click(".card-submit")]);
        assert.equal(page.url(), `${outside.origin}/room/quartet`);
        assert.deepEqual(wrong, []);
        assert.deepEqual(errors, []);
      });

      test("people meet in a room, and an invitation's token leaves the address bar", async (t) => {
        const token = server.invite("--room", "duo");
        const ada = await Participant.join(t, browser, outside, "duo", "Ada");
        const bela = await Participant.join(t, browser, outside, `Duo#t=${token}`, "Bela");
        assert.equal(bela.page.url(), `${outside.origin}/room/Duo`);
        await allReceive([ada, bela]);
        assertNoErrors([ada, bela]);
      });
    });
  }
}
