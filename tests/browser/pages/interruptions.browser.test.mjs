/**
 * What the system does to a page in a call: it takes microphone and camera for a while, refuses pictures to save power, or has
 * another default microphone. No test machine does that by itself, so the browser's events are raised by the test.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { saveScreenshot } from "../harness/layout.mjs";
import { shows, textOf } from "../harness/page.mjs";
import { Participant } from "../harness/participant.mjs";
import { allReceive, assertNoErrors, useBrowserAndServer } from "../harness/room.mjs";
import { waitFor } from "../harness/waitFor.mjs";

/** Runs in the page before its scripts: keeps the tracks, and the default microphone's name, for the test. */
function keepTracks() {
  window.tracks = [];
  window.defaultMicrophone = "built in";
  // Firefox delivers no events to these targets but its own, so the listeners are called.
  const listeners = [];
  const addEventListener = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function add(type, listener, ...options) {
    listeners.push([this, type, listener]);
    return addEventListener.call(this, type, listener, ...options);
  };
  const raise = (target, type) => listeners.filter((each) => each[0] === target && each[1] === type).forEach((each) => each[2](new Event(type)));
  window.interrupt = (value) => {
    for (const track of window.tracks.filter(({ readyState }) => readyState === "live")) {
      Object.defineProperty(track, "muted", { value, configurable: true });
      raise(track, value ? "mute" : "unmute");
    }
  };
  window.changeDefault = (label) => {
    window.defaultMicrophone = label;
    raise(navigator.mediaDevices, "devicechange");
  };
  const { mediaDevices } = navigator;
  if (mediaDevices === undefined) return;
  const getUserMedia = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = async (constraints) => {
    const stream = await getUserMedia(constraints);
    window.tracks.push(...stream.getTracks());
    return stream;
  };
  const enumerateDevices = mediaDevices.enumerateDevices.bind(mediaDevices);
  mediaDevices.enumerateDevices = async () => {
    const entry = { kind: "audioinput", deviceId: "default", groupId: "g", label: window.defaultMicrophone };
    return [entry, ...(await enumerateDevices()).filter(({ deviceId }) => deviceId !== "default")];
  };
}

/** The system takes the devices, or gives them back. @param {import("puppeteer-core").Page} page */
const interrupt = (page, muted) => page.evaluate((value) => window.interrupt(value), muted);

/** How often devices were opened, what was offered, and which sound is sent. @param {import("puppeteer-core").Page} page */
const sent = (page) => page.evaluate(() => {
  const connection = window.connections.find(({ signalingState }) => signalingState === "stable");
  const tracks = connection.getSenders().map(({ track }) => track);
  return [window.deviceRequests, connection.localDescription.sdp, tracks.find((track) => track?.kind === "audio" && track.readyState === "live")?.id];
});

/** Runs in the page before its scripts: pictures are refused until a user gesture, as on iPhones that save power. */
function refusePictures() {
  const play = HTMLMediaElement.prototype.play;
  window.isPermitted = false;
  HTMLVideoElement.prototype.play = function playVideo() {
    return window.isPermitted ? play.call(this) : Promise.reject(new DOMException("power saving", "NotAllowedError"));
  };
}

for (const name of /** @type {const} */ (["Chromium", "Firefox"])) {
  describe(`interruptions in ${name}`, { timeout: 100_000 }, () => {
    const fixture = useBrowserAndServer(name);

    test("a call that takes microphone and camera is shown to both sides, and afterwards all goes on", async (t) => {
      const ada = await Participant.join(t, fixture.browser, fixture.server, "call", "Ada", keepTracks);
      const bela = await Participant.join(t, fixture.browser, fixture.server, "call", "Bela", keepTracks);
      await allReceive([ada, bela]);
      await interrupt(ada.page, true);
      await shows(ada.page, "#device-banner", /interrupted.*phone call.*neither see nor hear you/);
      await Promise.all([bela.tileIs("Ada", "muted"), bela.tileIs("Ada", "cameraOff")]);
      assert.equal(await ada.page.$eval(".tile.local .tile-muted", (icon) => icon.hasAttribute("hidden")), false);
      await ada.page.bringToFront();
      await saveScreenshot(ada.page, `interrupted-${name}`);
      await interrupt(ada.page, false);
      await Promise.all([bela.tileIs("Ada", "muted", false), bela.tileIs("Ada", "cameraOff", false)]);
      await waitFor("the banner to go", async () => (await textOf(ada.page, "#device-banner")) === "");
      await allReceive([ada, bela]);
      assertNoErrors([ada, bela]);
    });

    test("pictures that the browser refuses are shown after a tap", async (t) => {
      const ada = await Participant.join(t, fixture.browser, fixture.server, "power", "Ada");
      const bela = await Participant.open(t, fixture.browser, fixture.server, "power", "Bela", refusePictures);
      await bela.hasPreview();
      await bela.join();
      await shows(bela.page, "#play-audio", /only after a tap/);
      await bela.page.bringToFront();
      await saveScreenshot(bela.page, `refused-pictures-${name}`);
      await bela.page.evaluate(() => { window.isPermitted = true; });
      await bela.page.click("#play-audio");
      await allReceive([ada, bela]);
      assert.ok(await bela.page.$$eval(".tile video", (videos) => videos.every((video) => !video.paused)));
      assert.equal(await textOf(bela.page, "#play-audio"), "");
    });

    test("another default microphone is used at once, without a new offer", async (t) => {
      const ada = await Participant.join(t, fixture.browser, fixture.server, "default", "Ada", keepTracks);
      const bela = await Participant.join(t, fixture.browser, fixture.server, "default", "Bela", keepTracks);
      await allReceive([ada, bela]);
      const [requests, sdp, track] = await sent(ada.page);
      // Firefox lists devices for the page in front only.
      await ada.page.bringToFront();
      await ada.page.evaluate(() => window.changeDefault("headset"));
      await waitFor("another track to be sent", async () => (await sent(ada.page))[2] !== track);
      assert.deepEqual((await sent(ada.page)).slice(0, 2), [requests + 1, sdp]);
      await allReceive([ada, bela]);
      assertNoErrors([ada, bela]);
    });
  });
}
