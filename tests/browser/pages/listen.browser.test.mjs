import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { hear, sendTwoTones } from "../harness/audioProbe.mjs";
import { House, VISITORS, until } from "../harness/server.mjs";

/** @param {import("puppeteer-core").Page} page */
const statusOf = (page) => page.$eval("#status", (element) => element.textContent);
/** @param {import("puppeteer-core").Page} page */
const powerOf = (page) => page.$eval("#power", (element) => element.textContent.trim());

/** Waits until the page says so. */
const says = (page, words) => until(`the page to say ${words}`, async () => words.test(await statusOf(page)));

/** Waits until the tone is heard in both channels, and checks it. */
async function hearsTheTone(page) {
  let heard;
  await until("sound in both channels", async () => {
    heard = await hear(page);
    return heard.playing && heard.rms.every((rms) => rms > 0.01) && heard.hz.every((hz) => Math.abs(hz - 440) < 2);
  }).catch((error) => assert.fail(`${error.message}; last heard ${JSON.stringify(heard)}`));
  const [left, right] = heard.rms;
  assert.ok(left < 1 && right < 1, `clipped: ${heard.rms}`);
  assert.ok(Math.abs(20 * Math.log10(left / right)) < 3, `left and right differ: ${heard.rms}`);
}

/** A page that notes what goes wrong in it unseen, and is closed with its test. */
async function visit(t, browser, house, path, prepare = () => {}) {
  const page = await browser.newPage();
  t.after(async () => {
    // Away first, so that the page takes leave of the host even where a closed tab has no time to.
    await page.goto("about:blank");
    await page.close();
  });
  await page.evaluateOnNewDocument(prepare);
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (/Content.Security.Policy/i.test(message.text())) errors.push(message.text());
  });
  const asked = [];
  page.on("request", (request) => asked.push(`${request.method()} ${new URL(request.url()).pathname}`));
  await page.goto(house.origin + path, { waitUntil: "load" });
  return { page, errors, asked };
}

for (const [name, launch] of Object.entries(VISITORS)) {
  describe(name, { timeout: 100_000 }, () => {
    /** @type {import("puppeteer-core").Browser} */
    let browser;
    /** @type {House} */
    let house;
    before(async () => {
      [browser, house] = await Promise.all([launch(), House.open()]);
    });
    after(async () => {
      await browser?.close();
      await house?.kill();
    });

    test("one click on the front page leads to the station", async (t) => {
      const { page, errors } = await visit(t, browser, house, "/");
      await until("the station to be on air", () => page.$eval(".offer-words", (element) => /^On air/.test(element.textContent)));
      await Promise.all([page.waitForNavigation(), page.click("#stations .offer")]);
      assert.equal(new URL(page.url()).pathname, "/listen");
      assert.deepEqual(errors, []);
    });

    test("Start is pressed, the tone is heard, Stop ends it here and at the host", async (t) => {
      const { page, errors, asked } = await visit(t, browser, house, "/listen");
      assert.equal(await powerOf(page), "Start");
      assert.equal(await house.listeners(), 0);
      await page.click("#power");
      await says(page, /^Live$/);
      assert.equal(await powerOf(page), "Stop");
      await hearsTheTone(page);
      await until("the host to count a listener", async () => (await house.listeners()) === 1);

      const figure = (id) => page.$eval(`#${id}`, (element) => Number(element.textContent));
      await until("a figure of delay", async () => (await figure("delay")) > 0);
      assert.ok((await figure("delay")) < 1000);
      assert.ok((await figure("loss")) < 5);
      await until("the meters to move", async () => {
        const levels = await page.$$eval("[role=meter]", (meters) => meters.map((meter) => Number(meter.ariaValueNow ?? meter.getAttribute("aria-valuenow"))));
        return levels.every((level) => level > -40 && level <= 0);
      });

      await page.click("#power");
      assert.equal(await powerOf(page), "Start");
      assert.deepEqual(await page.$eval("audio", (audio) => audio.srcObject), null);
      // Far sooner than a session ends that only fell silent.
      await until("the host to be rid of the listener", async () => (await house.listeners()) === 0, 2000);
      assert.equal(asked.filter((each) => each.startsWith("DELETE /whep/")).length, 1, asked.join("\n"));
      assert.deepEqual(errors, []);
    });

    test("left and right stay apart with the page's edit of the offer", async (t) => {
      const { page } = await visit(t, browser, house, "/listen");
      await page.click("h1"); // Web Audio wants a tap.
      await page.evaluate(sendTwoTones);
      let heard;
      await until("a tone on each side", async () => {
        heard = await hear(page);
        return Math.abs(heard.hz[0] - 500) < 2 && Math.abs(heard.hz[1] - 1500) < 2;
      }, 10_000).catch((error) => assert.fail(`${error.message}; last heard ${JSON.stringify(heard)}`));
    });

    test("leaving the page ends the session at the host", async (t) => {
      const { page } = await visit(t, browser, house, "/listen", () => {
        // What a page asks for while it goes away is not reported to its driver, so it is written down within.
        const { fetch } = window;
        window.fetch = (url, request) => {
          if (request?.method === "DELETE") sessionStorage.setItem("parting", `${new URL(url).pathname} ${request.keepalive}`);
          return fetch(url, request);
        };
      });
      await page.click("#power");
      await says(page, /^Live$/);
      await until("the host to count a listener", async () => (await house.listeners()) === 1);
      await page.goto(`${house.origin}/`);
      await until("the host to be rid of the listener", async () => (await house.listeners()) === 0, 2000);
      assert.match(await page.evaluate(() => sessionStorage.getItem("parting")) ?? "no DELETE", /^\/whep\/.* true$/);
    });

    test("a host that is killed and restarted is heard again without a tap", async (t) => {
      const { page, errors } = await visit(t, browser, house, "/listen");
      await page.click("#power");
      await says(page, /^Live$/);
      await hearsTheTone(page);
      await house.kill();
      await says(page, /^Reconnecting/);
      assert.notEqual(await page.$eval("#advice", (element) => element.textContent), "");
      house = await House.open(house.port);
      const back_ms = Date.now();
      await says(page, /^Live$/);
      assert.ok(Date.now() - back_ms < 9000, `it took ${Date.now() - back_ms} ms`);
      await hearsTheTone(page);
      assert.deepEqual(errors, []);
    });

    test("a path that failed is replaced within the same session, and the tone goes on", async (t) => {
      const { page } = await visit(t, browser, house, "/listen", () => {
        window.asked = [];
        const { fetch } = window;
        window.fetch = async (url, request) => {
          const response = await fetch(url, request);
          if (request?.method) window.asked.push([request.method, response.status, request.headers?.["If-Match"]].join(" ").trim());
          return response;
        };
        const Connection = window.RTCPeerConnection;
        window.RTCPeerConnection = class extends Connection {
          constructor(...configuration) {
            super(...configuration);
            window.connection = this;
          }
        };
      });
      await page.click("#power");
      await says(page, /^Live$/);
      await hearsTheTone(page);
      const [, ufrag] = await page.evaluate(() => /a=ice-ufrag:(.*)/.exec(window.connection.remoteDescription.sdp));

      // The line itself cannot be cut from here, so the browser is made to say that it was.
      await page.evaluate(() => {
        Object.defineProperty(window.connection, "connectionState", { value: "failed", configurable: true });
        window.connection.dispatchEvent(new Event("connectionstatechange"));
      });
      await until("the restart to be answered", () => page.evaluate(
        (old) => window.connection.signalingState === "stable" && !window.connection.remoteDescription.sdp.includes(old),
        `a=ice-ufrag:${ufrag}`,
      ));
      await until("a working path", () => page.evaluate(() => /connected|completed/.test(window.connection.iceConnectionState)));
      await page.evaluate(() => {
        delete window.connection.connectionState;
        window.connection.dispatchEvent(new Event("connectionstatechange"));
      });
      await says(page, /^Live$/);
      await hearsTheTone(page);
      const asked = await page.evaluate(() => window.asked);
      assert.ok(asked.includes("PATCH 200 *"), asked.join("\n"));
      assert.equal(asked.filter((each) => each.startsWith("POST")).length, 1, asked.join("\n"));
    });

    test("page and host agree that missing packets are asked for", async (t) => {
      const { page } = await visit(t, browser, house, "/listen", () => {
        const Connection = window.RTCPeerConnection;
        window.RTCPeerConnection = class extends Connection {
          constructor(...configuration) {
            super(...configuration);
            window.connection = this;
          }
        };
      });
      await page.click("#power");
      await says(page, /^Live$/);
      const [ours, theirs] = await page.evaluate(() => [connection.localDescription.sdp, connection.remoteDescription.sdp]);
      assert.match(ours, /a=rtcp-fb:\d+ nack\r\n/);
      assert.match(theirs, /a=rtcp-fb:\d+ nack\r\n/);
    });

    test("the keyboard alone starts, mutes and stops", async (t) => {
      const { page } = await visit(t, browser, house, "/listen");
      await until("the button to have the focus", async () => {
        await page.keyboard.press("Tab");
        return page.evaluate(() => document.activeElement?.id === "power");
      });
      await page.keyboard.press(" ");
      await says(page, /^Live$/);
      await hearsTheTone(page);
      await page.keyboard.press("m");
      assert.equal(await page.$eval("audio", (audio) => audio.muted), true);
      await says(page, /muted/);
      await page.keyboard.press("m");
      await says(page, /^Live$/);
      await page.keyboard.press("Tab");
      await page.keyboard.press("ArrowLeft");
      assert.equal(await page.$eval("#volume-value", (element) => element.textContent), "99 %");
      await page.keyboard.down("Shift");
      await page.keyboard.press("Tab");
      await page.keyboard.up("Shift");
      // A tab closed a moment ago, without a word, may still be counted.
      const listeners = await house.listeners();
      await page.keyboard.press("Enter");
      await until("the button to say Start", async () => (await powerOf(page)) === "Start");
      await until("the session to end", async () => (await house.listeners()) < listeners);

      const again = await visit(t, browser, house, "/listen");
      assert.equal(await again.page.$eval("#volume", (slider) => slider.value), "99");
    });

    test("a refused play is said, and the next tap anywhere plays", async (t) => {
      const { page } = await visit(t, browser, house, "/listen");
      await page.evaluate(() => {
        const play = HTMLMediaElement.prototype.play;
        window.refusing = true;
        HTMLMediaElement.prototype.play = function () {
          return window.refusing ? Promise.reject(new DOMException("no", "NotAllowedError")) : play.call(this);
        };
      });
      await page.click("#power");
      await says(page, /tap/);
      await page.evaluate(() => { window.refusing = false; });
      await page.click("h1");
      await says(page, /^Live$/);
      await hearsTheTone(page);
    });

    test("nobody is asked for a microphone", async (t) => {
      const { page } = await visit(t, browser, house, "/listen");
      await page.evaluate(() => {
        navigator.mediaDevices.getUserMedia = () => { window.asked = true; return Promise.reject(new Error("no")); };
      });
      await page.click("#power");
      await says(page, /^Live$/);
      assert.equal(await page.evaluate(() => window.asked), undefined);
    });
  });
}

describe("the look", { timeout: 100_000 }, () => {
  /** @type {import("puppeteer-core").Browser} */
  let browser;
  /** @type {House} */
  let house;
  before(async () => {
    [browser, house] = await Promise.all([VISITORS.Chromium(), House.open()]);
  });
  after(async () => {
    await browser?.close();
    await house?.kill();
  });

  test("every control has a name, and the status is a live region", async (t) => {
    const { page } = await visit(t, browser, house, "/listen");
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
    test(`no page is wider than its window, in ${scheme}`, async (t) => {
      for (const path of ["/", "/listen"]) {
        const { page } = await visit(t, browser, house, path);
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
        if (path === "/listen") {
          await page.click("#power");
          await says(page, /^Live$/);
          await until("figures", () => page.$eval("#delay", (element) => element.textContent !== "–"));
        }
        for (const [width, height] of sizes) {
          await page.setViewport({ width, height, deviceScaleFactor: width < 1000 ? 2 : 1 });
          const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(over <= 0, `${path} is ${over} px too wide at ${width}`);
          const small = await page.$$eval("button, input, a, summary", (controls) => controls
            .filter((control) => control.checkVisibility())
            .map((control) => ({ id: control.id || control.className || control.tagName, ...control.getBoundingClientRect().toJSON() }))
            .filter((box) => box.height < 44 || box.width < 44)
            .map((box) => box.id));
          assert.deepEqual(small, [], `too small for a finger at ${width}`);
          if (process.env.SCREENSHOTS) {
            await mkdir(process.env.SCREENSHOTS, { recursive: true });
            const name = `${path === "/" ? "front" : "listen"}-${width}-${scheme}.png`;
            await page.screenshot({ path: join(process.env.SCREENSHOTS, name) });
          }
        }
      }
    });
  }
});
