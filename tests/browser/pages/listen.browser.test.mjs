import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { withStereo } from "../../../www/shared/sdp.js";
import { measureAudio, playTwoTones } from "../harness/audioProbe.mjs";
import { LISTENER_BROWSERS } from "../harness/browsers.mjs";
import { saveScreenshot } from "../harness/layout.mjs";
import { hearsTone, keepConnection, listenersAre, openPage, statusIs } from "../harness/listening.mjs";
import { Server } from "../harness/server.mjs";
import { waitFor } from "../harness/waitFor.mjs";

/** @param {import("puppeteer-core").Page} page */
const playLabel = (page) => page.$eval("#play", (element) => element.textContent.trim());

for (const [name, launch] of Object.entries(LISTENER_BROWSERS)) {
  describe(name, { timeout: 100_000 }, () => {
    /** @type {import("puppeteer-core").Browser} */
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

    test("the choice between live and relaxed takes effect at once, and is remembered", async (t) => {
      const { page, errors } = await openPage(t, browser, server, "/listen", keepConnection);
      const isOffered = await page.evaluate(() => "jitterBufferTarget" in RTCRtpReceiver.prototype);
      assert.equal(await page.$eval("#buffering", (row) => row.checkVisibility()), isOffered);
      if (!isOffered) return;
      const targetMs = () => page.evaluate(() => window.connection.getReceivers()[0].jitterBufferTarget);
      await page.click("#play");
      await statusIs(page, /^Live/);
      assert.equal(await targetMs(), 0);
      // By keyboard: an arrow key moves within the choice.
      await page.focus("#buffering-live");
      await page.keyboard.press("ArrowRight");
      assert.equal(await targetMs(), 400);
      await page.reload({ waitUntil: "load" });
      assert.equal(await page.$eval("#buffering-relaxed", (choice) => choice.checked), true);
      await page.click("#play");
      await statusIs(page, /^Live/);
      assert.equal(await targetMs(), 400);
      await page.click("label:has(#buffering-live)");
      assert.equal(await targetMs(), 0);
      assert.deepEqual(errors, []);
    });

    test("one click on the front page opens the station", async (t) => {
      const { page, errors } = await openPage(t, browser, server, "/");
      await waitFor("the station on air", () => page.$eval(".card-status-text", (element) => /^On air/.test(element.textContent)));
      await Promise.all([page.waitForNavigation(), page.click("#stations .card")]);
      assert.equal(new URL(page.url()).pathname, "/listen");
      assert.deepEqual(errors, []);
    });

    test("Start plays the tone, Stop ends the session here and at the server", async (t) => {
      const { page, errors, requests } = await openPage(t, browser, server, "/listen");
      assert.equal(await playLabel(page), "Start");
      assert.equal(await server.listeners(), 0);
      await page.click("#play");
      await statusIs(page, /^Live$/);
      assert.equal(await playLabel(page), "Stop");
      await hearsTone(page);
      await listenersAre(server, 1);

      const number = (id) => page.$eval(`#${id}`, (element) => Number(element.textContent));
      await waitFor("a delay", async () => (await number("delay")) > 0);
      assert.ok((await number("delay")) < 1000);
      assert.ok((await number("loss")) < 5);
      await waitFor("the meters to move", async () => {
        const levels = await page.$$eval("[role=meter]", (meters) => meters.map((meter) => Number(meter.getAttribute("aria-valuenow"))));
        return levels.every((level) => level > -40 && level <= 0);
      });

      await page.click("#play");
      assert.equal(await playLabel(page), "Start");
      assert.deepEqual(await page.$eval("audio", (audio) => audio.srcObject), null);
      // Much sooner than the server ends a silent session.
      await listenersAre(server, 0, 2000);
      assert.equal(requests.filter((each) => each.startsWith("DELETE /whep/")).length, 1, requests.join("\n"));
      assert.deepEqual(errors, []);
    });

    test("left and right stay separate with the page's edit of the offer", async (t) => {
      const { page } = await openPage(t, browser, server, "/listen");
      await page.click("h1"); // Web Audio needs a user gesture.
      await page.exposeFunction("withStereo", withStereo);
      await page.evaluate(playTwoTones);
      let measured;
      await waitFor("a tone on each side", async () => {
        measured = await measureAudio(page);
        return Math.abs(measured.hz[0] - 500) < 2 && Math.abs(measured.hz[1] - 1500) < 2;
      }, 10_000).catch((error) => assert.fail(`${error.message}; last measurement: ${JSON.stringify(measured)}`));
    });

    test("leaving the page ends the session at the server", async (t) => {
      const { page } = await openPage(t, browser, server, "/listen", () => {
        // The browser's driver does not report requests of a page that is being left.
        const { fetch } = window;
        window.fetch = (url, request) => {
          if (request?.method === "DELETE") sessionStorage.setItem("deleted", `${new URL(url).pathname} ${request.keepalive}`);
          return fetch(url, request);
        };
      });
      await page.click("#play");
      await statusIs(page, /^Live$/);
      await listenersAre(server, 1);
      await page.goto(`${server.origin}/`);
      await listenersAre(server, 0, 2000);
      assert.match(await page.evaluate(() => sessionStorage.getItem("deleted")) ?? "no DELETE", /^\/whep\/.* true$/);
    });

    test("after a crash and restart of the server, the tone plays again without a tap", async (t) => {
      const { page, errors } = await openPage(t, browser, server, "/listen");
      await page.click("#play");
      await statusIs(page, /^Live$/);
      await hearsTone(page);
      await server.kill();
      await statusIs(page, /^Reconnecting/);
      assert.notEqual(await page.$eval("#advice", (element) => element.textContent), "");
      server = await Server.start(server.port);
      const restartedMs = Date.now();
      await statusIs(page, /^Live$/);
      assert.ok(Date.now() - restartedMs < 9000, `it took ${Date.now() - restartedMs} ms`);
      await hearsTone(page);
      assert.deepEqual(errors, []);
    });

    test("a failed connection restarts ICE within the same session, and the tone continues", async (t) => {
      const { page } = await openPage(t, browser, server, "/listen", () => {
        window.requests = [];
        const { fetch } = window;
        window.fetch = async (url, request) => {
          const response = await fetch(url, request);
          if (request?.method) window.requests.push([request.method, response.status, request.headers?.["If-Match"]].join(" ").trim());
          return response;
        };
      });
      await page.evaluate(keepConnection);
      await page.click("#play");
      await statusIs(page, /^Live$/);
      await hearsTone(page);
      const [, ufrag] = await page.evaluate(() => /a=ice-ufrag:(.*)/.exec(window.connection.remoteDescription.sdp));

      // A test cannot cut the network path, so the connection is made to report a failure.
      await page.evaluate(() => {
        Object.defineProperty(window.connection, "connectionState", { value: "failed", configurable: true });
        window.connection.dispatchEvent(new Event("connectionstatechange"));
      });
      await waitFor("the answer to the restart", () => page.evaluate(
        (old) => window.connection.signalingState === "stable" && !window.connection.remoteDescription.sdp.includes(old),
        `a=ice-ufrag:${ufrag}`,
      ));
      await waitFor("a working path", () => page.evaluate(() => /connected|completed/.test(window.connection.iceConnectionState)));
      await page.evaluate(() => {
        delete window.connection.connectionState;
        window.connection.dispatchEvent(new Event("connectionstatechange"));
      });
      await statusIs(page, /^Live$/);
      await hearsTone(page);
      const requests = await page.evaluate(() => window.requests);
      assert.ok(requests.includes("PATCH 200 *"), requests.join("\n"));
      assert.equal(requests.filter((each) => each.startsWith("POST")).length, 1, requests.join("\n"));
    });

    test("page and server negotiate NACK", async (t) => {
      const { page } = await openPage(t, browser, server, "/listen", keepConnection);
      await page.click("#play");
      await statusIs(page, /^Live$/);
      const [local, remote] = await page.evaluate(() => [window.connection.localDescription.sdp, window.connection.remoteDescription.sdp]);
      assert.match(local, /a=rtcp-fb:\d+ nack\r\n/);
      assert.match(remote, /a=rtcp-fb:\d+ nack\r\n/);
    });

    test("the keyboard alone starts, mutes and stops", async (t) => {
      const { page } = await openPage(t, browser, server, "/listen");
      await waitFor("focus on the button", async () => {
        await page.keyboard.press("Tab");
        return page.evaluate(() => document.activeElement?.id === "play");
      });
      await page.keyboard.press(" ");
      await statusIs(page, /^Live$/);
      await hearsTone(page);
      await page.keyboard.press("m");
      assert.equal(await page.$eval("audio", (audio) => audio.muted), true);
      await statusIs(page, /muted/);
      await page.keyboard.press("m");
      await statusIs(page, /^Live$/);
      await page.keyboard.press("Tab");
      await page.keyboard.press("ArrowLeft");
      assert.equal(await page.$eval("#volume-value", (element) => element.textContent), "99 %");
      await page.keyboard.down("Shift");
      await page.keyboard.press("Tab");
      await page.keyboard.up("Shift");
      // A tab of an earlier test that was closed without a DELETE may still be counted.
      const listeners = await server.listeners();
      await page.keyboard.press("Enter");
      await waitFor("the button to say Start", async () => (await playLabel(page)) === "Start");
      await waitFor("the session to end", async () => (await server.listeners()) < listeners);

      const again = await openPage(t, browser, server, "/listen");
      assert.equal(await again.page.$eval("#volume", (slider) => slider.value), "99");
    });

    test("if the browser refuses to play, the page says so, and the next tap anywhere plays", async (t) => {
      const { page } = await openPage(t, browser, server, "/listen");
      await page.evaluate(() => {
        const { play } = HTMLMediaElement.prototype;
        window.refusesToPlay = true;
        HTMLMediaElement.prototype.play = function () {
          return window.refusesToPlay ? Promise.reject(new DOMException("no", "NotAllowedError")) : play.call(this);
        };
      });
      await page.click("#play");
      await statusIs(page, /^Tap to play$/);
      await page.evaluate(() => { window.refusesToPlay = false; });
      await page.click("h1");
      await statusIs(page, /^Live$/);
      await hearsTone(page);
    });

    test("the page never asks for a microphone", async (t) => {
      const { page } = await openPage(t, browser, server, "/listen");
      await page.evaluate(() => {
        navigator.mediaDevices.getUserMedia = () => { window.askedForMicrophone = true; return Promise.reject(new Error("no")); };
      });
      await page.click("#play");
      await statusIs(page, /^Live$/);
      assert.equal(await page.evaluate(() => window.askedForMicrophone), undefined);
    });
  });
}

describe("layout and accessibility", { timeout: 100_000 }, () => {
  /** @type {import("puppeteer-core").Browser} */
  let browser;
  /** @type {Server} */
  let server;
  before(async () => {
    [browser, server] = await Promise.all([LISTENER_BROWSERS.Chromium(), Server.start()]);
  });
  after(async () => {
    await browser?.close();
    await server?.kill();
  });

  test("every control has a name, and the status is a live region", async (t) => {
    const { page } = await openPage(t, browser, server, "/listen");
    const tree = await page.accessibility.snapshot({ interestingOnly: false });
    const nodesOf = (node) => [node, ...(node.children ?? []).flatMap(nodesOf)];
    const named = (role) => nodesOf(tree).filter((node) => node.role === role).map((node) => node.name);
    assert.deepEqual(named("button"), ["Start"]);
    assert.deepEqual(named("slider"), ["Volume"]);
    assert.deepEqual(named("meter"), ["Left level", "Right level"]);
    assert.equal(named("heading").length, 1);
    assert.ok(named("link").every((name) => name !== ""));
    assert.equal(await page.$eval("#status", (element) => element.closest("[role=status]") !== null), true);
  });

  const sizes = [[320, 640], [390, 844], [1440, 900], [3840, 2160]];
  for (const scheme of ["light", "dark"]) {
    test(`no page is wider than its window, and no control is too small to tap, in ${scheme}`, async (t) => {
      for (const path of ["/", "/listen"]) {
        const { page } = await openPage(t, browser, server, path);
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
        if (path === "/listen") {
          await page.click("#play");
          await statusIs(page, /^Live$/);
          await waitFor("a delay", () => page.$eval("#delay", (element) => element.textContent !== "–"));
        }
        for (const [width, height] of sizes) {
          await page.setViewport({ width, height, deviceScaleFactor: width < 1000 ? 2 : 1 });
          const overflowPx = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(overflowPx <= 0, `${path} is ${overflowPx} px too wide at ${width}`);
          const tooSmall = await page.$$eval("button, input, a, summary", (controls) => controls
            .filter((control) => control.checkVisibility())
            .map((control) => ({ name: control.id || control.className || control.tagName, box: control.getBoundingClientRect() }))
            .filter(({ box }) => box.height < 44 || box.width < 44)
            .map(({ name }) => name));
          assert.deepEqual(tooSmall, [], `at ${width}`);
          await saveScreenshot(page, `${path === "/" ? "front" : "listen"}-${width}-${scheme}`);
        }
      }
    });
  }
});
