/**
 * Browsers that lack something, and networks that refuse something: the pages work without it, or say what is missing.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { CAMERA_BROWSERS } from "../harness/browsers.mjs";
import { HttpProxy } from "../harness/httpProxy.mjs";
import { saveScreenshot } from "../harness/layout.mjs";
import { shows, textOf } from "../harness/page.mjs";
import { Participant } from "../harness/participant.mjs";
import { allReceive, assertNoErrors } from "../harness/room.mjs";
import { Server } from "../harness/server.mjs";
import { waitFor } from "../harness/waitFor.mjs";

/** What came later than browsers that can play, and no page may need. */
function removeNewApis() {
  delete AbortSignal.timeout;
  delete AbortSignal.any;
  for (const type of [Array, String, Object.getPrototypeOf(Int8Array)]) delete type.prototype.at;
  delete Array.prototype.findLast;
  delete Object.hasOwn;
  delete window.structuredClone;
}

function removeWebRtc() {
  delete window.RTCPeerConnection;
  delete window.webkitRTCPeerConnection;
  delete window.mozRTCPeerConnection;
}

for (const [name, launch] of Object.entries(CAMERA_BROWSERS)) {
  describe(`an old browser: ${name}`, { timeout: 100_000 }, () => {
    let browser;
    /** @type {Server} */
    let server;
    before(async () => {
      [browser, server] = await Promise.all([launch(), Server.start()]);
    });
    after(async () => {
      await browser?.close();
      await server?.kill();
    });

    async function open(t, url, prepare = () => {}) {
      const page = await browser.newPage();
      t.after(() => page.close());
      await page.evaluateOnNewDocument(prepare);
      await page.goto(url, { waitUntil: "load" });
      return page;
    }

    test("without newer APIs the station plays", async (t) => {
      const page = await open(t, `${server.origin}/listen`, removeNewApis);
      await page.click("#play");
      await waitFor("sound", async () => /^Live/.test(await textOf(page, "#status")));
      await waitFor("figures", async () => /\d/.test(await textOf(page, "#delay")));
    });

    test("without newer APIs people meet", async (t) => {
      const ada = await Participant.join(t, browser, server, "old", "Ada", removeNewApis);
      const bela = await Participant.join(t, browser, server, "old", "Bela", removeNewApis);
      await allReceive([ada, bela]);
      await ada.press("chat");
      assertNoErrors([ada, bela]);
    });

    test("without WebRTC both pages say so", async (t) => {
      const listen = await open(t, `${server.origin}/listen`, removeWebRtc);
      await listen.click("#play");
      await waitFor("the reason", async () => /cannot receive live sound/.test(await textOf(listen, "#advice")));
      const room = await open(t, `${server.origin}/room/old`, removeWebRtc);
      assert.match(await textOf(room, "#notice-title"), /cannot join rooms/);
      assert.match(await textOf(room, "#notice-text"), /WebRTC.*current Firefox/);
      await saveScreenshot(room, `old-browser-${name}`);
    });

    test("a page whose script does not start says so, and another does not", async (t) => {
      for (const path of ["/", "/listen", "/room/old"]) {
        const working = await open(t, server.origin + path);
        assert.equal(await working.$eval(".startup-problem", (element) => getComputedStyle(element).display), "none", path);
        const page = await browser.newPage();
        t.after(() => page.close());
        await page.setRequestInterception(true);
        page.on("request", (request) => void (request.url().endsWith(".js") ? request.abort() : request.continue()));
        await page.goto(server.origin + path, { waitUntil: "load" });
        await waitFor("the sentence", () => page.$eval(".startup-problem", (element) => getComputedStyle(element).visibility === "visible"), 10_000);
        await saveScreenshot(page, `no-script-${name}-${path.replaceAll("/", "")}`);
      }
    });

    test("where WebSockets are refused and requests are not, the room's page says that and what to do", async (t) => {
      const proxy = await HttpProxy.start(server.port);
      t.after(() => proxy.stop());
      const ada = await Participant.open(t, browser, proxy, "refused", "Ada");
      await ada.page.bringToFront();
      await ada.hasPreview();
      await ada.page.click("#join");
      await shows(ada.page, "#connection-banner", /not by WebSocket.*another network/s);
      await saveScreenshot(ada.page, `refused-${name}`);
    });
  });
}
