/**
 * A participant of a room: a page whose buttons a test presses. What arrives is measured by getStats, independently of the
 * page's own statistics.
 */

import { collectErrors } from "./page.mjs";
import { waitFor } from "./waitFor.mjs";

/** Selects the tiles of other people and their screens. */
const OTHER_TILES = ".tile:not(.local, .station)";

/**
 * Runs in the page before its own scripts: keeps connections and sockets for the test, and makes videos small.
 * @param {boolean} clearStorage participants that share a browser must not share preferences
 */
function instrument(clearStorage) {
  if (clearStorage && location.protocol.startsWith("http")) localStorage.clear();
  window.deviceRequests = 0;
  window.connections = [];
  window.sockets = [];
  const OriginalConnection = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends OriginalConnection {
    constructor(...configuration) {
      super(...configuration);
      window.connections.push(this);
    }
  };
  const OriginalSocket = window.WebSocket;
  window.WebSocket = class extends OriginalSocket {
    constructor(...args) {
      super(...args);
      window.sockets.push(this);
    }
  };
  const { mediaDevices } = navigator;
  // This also runs in about:blank, which has no devices.
  if (mediaDevices === undefined) return;
  const getUserMedia = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = (constraints) => {
    window.deviceRequests += 1;
    return getUserMedia({ ...constraints, video: constraints.video ? { width: 160, height: 120, frameRate: 10 } : false });
  };
}

/** Runs in the page: what each tile shows and plays. @param {string} selector */
async function readTiles(selector) {
  const entries = [];
  for (const connection of window.connections) {
    if (connection.signalingState === "closed") continue;
    for (const entry of (await connection.getStats()).values()) if (entry.type === "inbound-rtp") entries.push(entry);
  }
  const statsOf = (element) => {
    const track = element.srcObject?.getTracks()[0];
    return entries.find((entry) => track !== undefined && entry.trackIdentifier === track.id) ?? {};
  };
  return [...document.querySelectorAll(selector)].map((tile) => {
    const [video, audio] = [tile.querySelector("video"), tile.querySelector("audio")];
    return {
      id: tile.dataset.peer ?? "",
      name: tile.querySelector(".tile-name").textContent,
      muted: !tile.querySelector(".tile-muted").hasAttribute("hidden"),
      cameraOff: !tile.querySelector(".tile-camera-off").hasAttribute("hidden"),
      widthPx: video.videoWidth,
      framesDecoded: statsOf(video).framesDecoded ?? 0,
      // A decoded frame is not necessarily shown. Firefox does not count shown frames of a stream; its time stops instead.
      framesShown: video.getVideoPlaybackQuality().totalVideoFrames || ("mozHasAudio" in video ? video.currentTime : 0),
      audioEnergy: statsOf(audio).totalAudioEnergy ?? 0,
      audioPackets: statsOf(audio).packetsReceived ?? 0,
      playing: audio.srcObject !== null && !audio.paused && audio.currentTime > 0,
    };
  });
}

export class Participant {
  /** @type {import("puppeteer-core").Page} */
  page;
  /** Exceptions of the page, and violations of its policy. @type {string[]} */
  errors = [];

  /**
   * Opens a room's page.
   * @param {import("node:test").TestContext} t
   * @param {import("puppeteer-core").Browser | import("puppeteer-core").BrowserContext} browser a context keeps its storage
   * @param {import("./server.mjs").Server} server
   * @param {string} room with the fragment of an invitation, if any
   * @param {string} name
   * @param {() => void} prepare runs in the page first
   */
  static async open(t, browser, server, room, name, prepare = () => {}) {
    const participant = new Participant();
    participant.name = name;
    participant.page = await browser.newPage();
    t.after(() => participant.page.isClosed() || participant.page.close());
    participant.errors = collectErrors(participant.page);
    await participant.page.evaluateOnNewDocument(instrument, !("browser" in browser));
    await participant.page.evaluateOnNewDocument(prepare);
    await participant.page.goto(`${server.origin}/room/${room}`, { waitUntil: "load" });
    return participant;
  }

  /** Opens a room's page and joins with camera. Takes the same arguments. */
  static async join(...args) {
    const participant = await Participant.open(...args);
    await participant.hasPreview();
    await participant.join();
    return participant;
  }

  hasPreview() {
    return waitFor(`${this.name}'s preview`, () => this.page.$("#preview.has-video"));
  }

  async join() {
    await this.page.$eval("#display-name", (field, name) => { field.value = name; }, this.name);
    // A click, so that the browser allows the page to play audio.
    await this.page.bringToFront();
    await this.page.click("#join");
    await waitFor(`${this.name} to be in the room`, () => this.page.evaluate(
      () => document.querySelector(".tile.local") !== null && window.sockets[window.sockets.length - 1]?.readyState === WebSocket.OPEN,
    ));
  }

  /** Presses a button of the toolbar. @param {string} action */
  press(action) {
    return this.page.$eval(`.toolbar [data-action=${action}]`, (button) => button.click());
  }

  /** Whether a button of the toolbar is visible. @param {string} action */
  offers(action) {
    return this.page.$eval(`.toolbar [data-action=${action}]`, (button) => button.checkVisibility());
  }

  toggleMusic() {
    return this.page.$eval("#settings [data-action=music]", (button) => button.click());
  }

  /** Tiles of all others. */
  tiles() {
    return this.page.evaluate(readTiles, OTHER_TILES);
  }

  /** @param {string} name */
  async tile(name) {
    return (await this.tiles()).find((tile) => tile.name === name);
  }

  /** Waits until a tile has a property, such as `muted`. @param {string} name */
  tileIs(name, property, expected = true) {
    return waitFor(`${name}'s tile to have ${property}: ${expected}`, async () => (await this.tile(name))?.[property] === expected);
  }

  /** Waits until the page shows a notice in place of the room. @param {RegExp} pattern */
  showsNotice(pattern) {
    return waitFor(`${this.name}'s page to show ${pattern}`, () => this.page.evaluate((source) => {
      const notice = document.querySelector("#notice");
      return !notice.hidden && new RegExp(source).test(notice.textContent);
    }, pattern.source));
  }

  /** Waits until exactly these tiles of others exist. @param {string[]} names */
  async sees(names, timeoutMs = undefined) {
    let seen = [];
    await waitFor(`${this.name} to see ${names.join(", ") || "nobody"}`, async () => {
      seen = await this.page.$$eval(`${OTHER_TILES} .tile-name`, (elements) => elements.map((element) => element.textContent));
      return JSON.stringify([...seen].sort()) === JSON.stringify([...names].sort());
    }, timeoutMs).catch((error) => { throw new Error(`${error.message}; seen: ${seen.join(", ")}`); });
  }

  /**
   * Waits until video and audio of all these tiles arrive and advance.
   * @param {string[]} names
   * @param {{ audio?: boolean, video?: boolean }} media
   */
  async receives(names, { audio = true, video = true } = {}) {
    /** Each tile as first seen. */
    const first = new Map();
    let now = [];
    await waitFor(`${this.name} to receive ${names.join(", ")}`, async () => {
      now = await this.tiles();
      for (const tile of now) if (!first.has(tile.name)) first.set(tile.name, tile);
      return names.every((name) => {
        const before = first.get(name);
        const tile = now.find((each) => each.name === name);
        if (tile === undefined) return false;
        const seen = tile.widthPx > 0 && tile.framesDecoded > before.framesDecoded && tile.framesShown > before.framesShown;
        const heard = tile.audioEnergy > before.audioEnergy && tile.playing;
        return (seen || !video) && (heard || !audio);
      });
    }).catch((error) => { throw new Error(`${error.message}\n${JSON.stringify(now)}`); });
  }

  connectionCount() {
    return this.page.evaluate(() => window.connections.length);
  }

  socketCount() {
    return this.page.evaluate(() => window.sockets.length);
  }

  /** Closes the WebSocket as a lost network does, and waits for the next one. */
  async reconnectsSignaling() {
    const count = await this.socketCount();
    await this.page.evaluate(() => window.sockets.at(-1).close(4000));
    await waitFor(`${this.name}'s next WebSocket`, () => this.page.evaluate(
      (before) => window.sockets.length === before + 1 && window.sockets.at(-1).readyState === WebSocket.OPEN,
      count,
    ));
  }

  /** @param {string} text */
  async sendsChat(text) {
    await this.page.evaluate((message) => {
      document.querySelector("#message").value = message;
      document.querySelector("#message-form").requestSubmit();
    }, text);
  }

  /** Waits until a chat message is shown, once. @param {string} text */
  receivesChat(text) {
    return waitFor(`${this.name} to receive "${text}"`, () => this.page.$$eval(
      "#messages p",
      (messages, expected) => messages.filter((message) => message.textContent === expected).length === 1,
      text,
    ));
  }

  /** Records from now on which tiles are removed. */
  recordRemovedTiles() {
    return this.page.evaluate(() => {
      window.removedTiles = [];
      new MutationObserver((records) => {
        for (const node of records.flatMap(({ removedNodes }) => [...removedNodes])) window.removedTiles.push(node.textContent.trim());
      }).observe(document.querySelector("#tile-grid"), { childList: true });
    });
  }

  removedTiles() {
    return this.page.evaluate(() => window.removedTiles);
  }
}
