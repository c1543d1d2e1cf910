/**
 * What the join button says at the press is what happens, however long the devices take.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { saveScreenshot } from "../harness/layout.mjs";
import { shows, textOf } from "../harness/page.mjs";
import { Participant } from "../harness/participant.mjs";
import { answerPrompt, holdPrompts, promptCount } from "../harness/permissionPrompt.mjs";
import { allReceive, assertNoErrors, useBrowserAndServer } from "../harness/room.mjs";
import { waitFor } from "../harness/waitFor.mjs";

const JOIN = "Join the room";
const WATCH = "Join to watch and listen";

/** Saves screenshots in both colour schemes, which only Chromium can be told. @param {Participant} participant */
async function savePictures({ page }, browserName, name) {
  if (browserName !== "Chromium") return;
  await page.bringToFront();
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    await saveScreenshot(page, `${name}-${scheme}`);
  }
}

/** Whether a button of the preview or the toolbar is pressed, which means muted or off. */
const isOff = (page, area, action) => page.$eval(`${area} [data-action=${action}]`, (button) => button.getAttribute("aria-pressed") === "true");

for (const browserName of ["Chromium", "Firefox"]) {
  describe(`joining while devices open in ${browserName}`, { timeout: 200_000 }, () => {
    const fixture = useBrowserAndServer(browserName);
    const join = (t, room, name) => Participant.join(t, fixture.browser, fixture.server, room, name);
    const openWithPrompt = (t, room, name, prepare = holdPrompts) => Participant.open(t, fixture.browser, fixture.server, room, name, prepare);

    test("joined while the prompt is open: devices are on as soon as it is answered, also after a reconnect", async (t) => {
      const ada = await join(t, "granted", "Ada");
      const bela = await openWithPrompt(t, "granted", "Bela");
      await waitFor("the prompt", async () => (await promptCount(bela.page)) === 1);
      assert.equal(await textOf(bela.page, "#join"), JOIN);
      assert.equal(await textOf(bela.page, "#preview-text"), "Opening your camera …");
      await savePictures(bela, browserName, "prejoin-opening");
      await bela.join();
      await shows(bela.page, "#device-banner", /Opening your camera and microphone … If your browser asks/);
      await savePictures(bela, browserName, "room-opening");
      await ada.tileIs("Bela", "muted");
      await ada.tileIs("Bela", "cameraOff");
      await bela.reconnectsSignaling();
      await bela.receives(["Ada"]);
      await answerPrompt(bela.page, 1, "grant");
      await allReceive([ada, bela]);
      await ada.tileIs("Bela", "muted", false);
      assert.equal(await textOf(bela.page, "#device-banner"), "");
      assert.deepEqual([await promptCount(bela.page), await ada.connectionCount()], [1, 1]);
      assertNoErrors([ada, bela]);
    });

    test("denied after joining: the page says why, and each device can be tried again", async (t) => {
      const ada = await join(t, "refused", "Ada");
      const bela = await openWithPrompt(t, "refused", "Bela");
      await bela.join();
      await answerPrompt(bela.page, 1, "deny");
      await shows(bela.page, "#device-banner", /does not allow this page to use camera and microphone/);
      await savePictures(bela, browserName, "room-denied");
      await ada.tileIs("Bela", "cameraOff");
      assert.deepEqual([await isOff(bela.page, ".toolbar", "mute"), await isOff(bela.page, ".toolbar", "camera")], [true, true]);
      await bela.press("camera");
      await answerPrompt(bela.page, 2, "grant");
      await ada.receives(["Bela"], { audio: false });
      await ada.tileIs("Bela", "muted");
      assertNoErrors([ada, bela]);
    });

    test("left while the prompt is open: what it opens is closed at once", async (t) => {
      const bela = await openWithPrompt(t, "left", "Bela");
      await bela.join();
      await bela.press("leave");
      await bela.showsNotice(/You left the room/);
      await answerPrompt(bela.page, 1, "grant");
      await waitFor("closed devices", () => bela.page.evaluate(
        () => window.openedTracks.length === 2 && window.openedTracks.every(({ readyState }) => readyState === "ended"),
      ));
      assertNoErrors([bela]);
    });

    test("joined to watch and listen: no device is opened until its button is pressed", async (t) => {
      const ada = await join(t, "watch", "Ada");
      const bela = await openWithPrompt(t, "watch", "Bela");
      await answerPrompt(bela.page, 1, "deny");
      await waitFor("the button", async () => (await textOf(bela.page, "#join")) === WATCH);
      await savePictures(bela, browserName, "prejoin-denied");
      await bela.join();
      await bela.receives(["Ada"]);
      for (const device of ["camera", "microphone"]) {
        await bela.page.$eval(`#settings [data-device=${device}]`, (list) => {
          // Firefox lists no device before one was permitted.
          if (!list.disabled) list.dispatchEvent(new Event("change"));
        });
      }
      await bela.page.evaluate(() => navigator.mediaDevices.dispatchEvent(new Event("devicechange")));
      await bela.reconnectsSignaling();
      await bela.sendsChat("only watching");
      await ada.receivesChat("only watching");
      assert.equal(await promptCount(bela.page), 1);
      await bela.press("mute");
      await answerPrompt(bela.page, 2, "grant");
      await ada.tileIs("Bela", "muted", false);
      await ada.tileIs("Bela", "cameraOff");
      assertNoErrors([ada, bela]);
    });

    test("switched off in the preview while they open: the camera stays off, the microphone arrives muted", async (t) => {
      const ada = await join(t, "switched", "Ada");
      const bela = await openWithPrompt(t, "switched", "Bela");
      await waitFor("the prompt", async () => (await promptCount(bela.page)) === 1);
      for (const action of ["camera", "mute"]) {
        assert.equal(await isOff(bela.page, ".preview", action), false, action);
        await bela.page.click(`.preview [data-action=${action}]`);
        assert.equal(await isOff(bela.page, ".preview", action), true, action);
      }
      assert.equal(await textOf(bela.page, "#preview-text"), "Your camera is off.");
      assert.equal(await textOf(bela.page, "#join"), JOIN);
      await bela.join();
      await answerPrompt(bela.page, 1, "grant");
      const states = () => bela.page.evaluate(() => window.openedTracks.map(({ kind, readyState, enabled }) => [kind, readyState, enabled]).sort());
      await waitFor("the microphone", async () => (await states()).length === 2);
      assert.deepEqual(await states(), [["audio", "live", false], ["video", "ended", true]]);
      await ada.tileIs("Bela", "muted");
      await ada.tileIs("Bela", "cameraOff");
      await bela.press("mute");
      await ada.tileIs("Bela", "muted", false);
      assertNoErrors([ada, bela]);
    });

    test("Enter in the name field, before the server has told whether the room is open to us", async (t) => {
      const ada = await join(t, "early", "Ada");
      const bela = await openWithPrompt(t, "early", "Bela", () => {
        const { fetch } = window;
        window.fetch = async (...request) => {
          const response = await fetch(...request);
          const isFirst = window.answerAccess === undefined && String(request[0]).includes("/api/access");
          if (isFirst) await new Promise((resolve) => { window.answerAccess = resolve; });
          return response;
        };
      });
      await bela.page.bringToFront();
      await bela.page.focus("#display-name");
      await bela.page.keyboard.type("Bela");
      assert.equal(await textOf(bela.page, "#join"), JOIN);
      await waitFor("the answer that is held back", () => bela.page.evaluate(() => window.answerAccess !== undefined));
      await bela.page.keyboard.press("Enter");
      await bela.page.keyboard.press("Enter");
      await ada.sees(["Bela"]);
      await ada.tileIs("Bela", "cameraOff");
      await bela.page.evaluate(() => window.answerAccess());
      await ada.receives(["Bela"]);
      assert.equal(await bela.socketCount(), 1);
      assertNoErrors([ada, bela]);
    });

    test("a double click on the join button joins once, and does not press what is shown in its place", async (t) => {
      const ada = await join(t, "double", "Ada");
      const bela = await openWithPrompt(t, "double", "Bela", () => {});
      await bela.hasPreview();
      await ada.page.bringToFront();
      const { x, y } = await ada.page.$eval(".toolbar [data-action=leave]", (button) => {
        const { left, top, width, height } = button.getBoundingClientRect();
        return { x: left + width / 2, y: top + height / 2 };
      });
      await bela.page.bringToFront();
      await bela.page.$eval("#join", (button, left, top) => {
        Object.assign(button.style, { position: "fixed", left: `${left - 50}px`, top: `${top - 22}px`, width: "100px", height: "44px" });
      }, x, y);
      await bela.page.mouse.click(x, y);
      await waitFor("the toolbar in its place", () => bela.page.evaluate(
        (left, top) => document.elementFromPoint(left, top).closest("[data-action=leave]") !== null, x, y,
      ));
      await bela.page.mouse.click(x, y);
      await ada.receives([(await waitFor("Bela's tile", async () => (await ada.tiles())[0])).name]);
      assert.equal(await bela.page.$eval("body", (body) => body.dataset.view), "room");
      assert.equal(await bela.socketCount(), 1);
      assertNoErrors([ada, bela]);
    });
  });
}
