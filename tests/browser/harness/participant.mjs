/**
 * A guest in a room: a page that presses the room's own buttons, and eyes and ears that count what arrives, apart from the
 * page's own figures.
 */

import { until } from "./server.mjs";

/**
 * Runs in the page before its own scripts: keeps lines and sockets where a test finds them, and pictures small.
 * @param {boolean} forget guests who share a browser are not one person: what one chose is not the next one's
 */
function watch(forget) {
  if (forget && location.protocol.startsWith("http")) localStorage.clear();
  window.asked = 0;
  window.lines = [];
  window.sockets = [];
  const Connection = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Connection {
    constructor(...configuration) {
      super(...configuration);
      window.lines.push(this);
    }
  };
  const Socket = window.WebSocket;
  window.WebSocket = class extends Socket {
    constructor(...address) {
      super(...address);
      window.sockets.push(this);
    }
  };
  const media = navigator.mediaDevices;
  // Not every page that this runs in has one: about:blank has not.
  if (media === undefined) return;
  const ask = media.getUserMedia.bind(media);
  media.getUserMedia = (wanted) => {
    window.asked += 1;
    return ask({ ...wanted, video: wanted.video ? { width: 160, height: 120, frameRate: 10 } : false });
  };
}

/** Runs in the page: what each tile shows and plays, by the counters of the line it comes by. */
async function look() {
  const entries = [];
  for (const line of window.lines) {
    if (line.signalingState === "closed") continue;
    for (const entry of (await line.getStats()).values()) if (entry.type === "inbound-rtp") entries.push(entry);
  }
  const of = (element) => {
    const track = element.srcObject?.getTracks()[0];
    return entries.find((entry) => track !== undefined && entry.trackIdentifier === track.id) ?? {};
  };
  return [...document.querySelectorAll(".tile:not(.own, .station)")].map((tile) => {
    const [video, audio] = [tile.querySelector("video"), tile.querySelector("audio")];
    return {
      id: tile.dataset.peer ?? "",
      name: tile.querySelector(".tile-name").textContent,
      line: tile.querySelector(".tile-line").textContent,
      screen: tile.classList.contains("screen"),
      muted: !tile.querySelector(".tile-muted").hasAttribute("hidden"),
      dark: !tile.querySelector(".tile-dark").hasAttribute("hidden"),
      width: video.videoWidth,
      decoded: of(video).framesDecoded ?? 0,
      energy: of(audio).totalAudioEnergy ?? 0,
      packets: of(audio).packetsReceived ?? 0,
      // Decoded is not yet shown. Firefox does not count what is shown of a stream; its clock stands with the picture.
      shown: video.getVideoPlaybackQuality().totalVideoFrames || ("mozHasAudio" in video ? video.currentTime : 0),
      playing: audio.srcObject !== null && !audio.paused && audio.currentTime > 0,
    };
  });
}

export class Guest {
  /** @type {import("puppeteer-core").Page} */
  page;
  /** What went wrong in the page unseen. @type {string[]} */
  errors = [];

  /**
   * Opens the page of a room, and stays before the door.
   * @param {import("node:test").TestContext} t
   * @param {import("puppeteer-core").Browser | import("puppeteer-core").BrowserContext} browser a context remembers
   * @param {import("./server.mjs").House} house
   * @param {string} room with the key behind it, if there is one
   * @param {string} name
   * @param {() => void} prepare runs in the page first
   */
  static async come(t, browser, house, room, name, prepare = () => {}) {
    const guest = new Guest();
    guest.name = name;
    guest.page = await browser.newPage();
    t.after(() => guest.page.isClosed() || guest.page.close());
    guest.page.on("pageerror", (error) => guest.errors.push(`${name}: ${error}`));
    guest.page.on("console", (message) => {
      if (/Content.Security.Policy/i.test(message.text())) guest.errors.push(`${name}: ${message.text()}`);
    });
    await guest.page.evaluateOnNewDocument(watch, !("browser" in browser));
    await guest.page.evaluateOnNewDocument(prepare);
    await guest.page.goto(`${house.origin}/room/${room}`, { waitUntil: "load" });
    return guest;
  }

  /** The same, and goes in once the own picture is there. */
  static async enter(...visit) {
    const guest = await Guest.come(...visit);
    await until(`${guest.name}'s own picture`, () => guest.page.$("#mirror.lit"));
    await guest.goIn();
    return guest;
  }

  async goIn() {
    await this.page.$eval("#person", (field, name) => { field.value = name; }, this.name);
    // A tap, so that the browser lets the page play.
    await this.page.bringToFront();
    await this.page.click("#enter");
    await until(`${this.name} to be in`, () => this.id());
  }

  id() {
    return this.page.evaluate(() => document.querySelector(".tile.own") !== null && window.sockets.at(-1)?.readyState === 1);
  }

  /** @param {string} action the name of a button's deed */
  press(action) {
    return this.page.$eval(`.bar [data-action=${action}]`, (button) => button.click());
  }

  look() {
    return this.page.evaluate(look);
  }

  /** Waits until the page says so in place of the room. @param {RegExp} words */
  isTold(words) {
    return until(`${this.name} to be told ${words}`, () => this.page.evaluate((source) => {
      const after = document.querySelector("#after");
      return !after.hidden && new RegExp(source).test(after.textContent);
    }, words.source));
  }

  /** @param {string} name of the tile of one other */
  async tile(name) {
    return (await this.look()).find((tile) => tile.name === name);
  }

  /** Waits until these others, and no more, are there. @param {string[]} names */
  async sees(names, patience_ms = undefined) {
    let seen = [];
    await until(`${this.name} to see ${names.join(", ") || "nobody"}`, async () => {
      seen = await this.page.$$eval(".tile:not(.own, .station) .tile-name", (each) => each.map((name) => name.textContent));
      return JSON.stringify([...seen].sort()) === JSON.stringify([...names].sort());
    }, patience_ms).catch((error) => { throw new Error(`${error.message}; it sees ${seen.join(", ")}`); });
  }

  /**
   * Waits until pictures and sound of all these come in, and more of both comes after.
   * @param {string[]} names
   * @param {{ sound?: boolean, picture?: boolean }} what
   */
  async receives(names, { sound = true, picture = true } = {}) {
    /** Each as it was first seen under its name. */
    const first = new Map();
    let now = [];
    await until(`${this.name} to see and hear ${names.join(", ")}`, async () => {
      now = await this.look();
      for (const tile of now) if (!first.has(tile.name)) first.set(tile.name, tile);
      return names.every((name) => {
        const was = first.get(name);
        const is = now.find((tile) => tile.name === name);
        if (is === undefined) return false;
        const seen = is.width > 0 && is.decoded > was.decoded && is.shown > was.shown;
        const heard = is.energy > was.energy && is.playing;
        return (seen || !picture) && (heard || !sound);
      });
    }).catch((error) => { throw new Error(`${error.message}\n${JSON.stringify(now)}`); });
  }

  /** @param {string} text */
  async says(text) {
    await this.page.evaluate((words) => {
      document.querySelector("#words").value = words;
      document.querySelector("#say").requestSubmit();
    }, text);
  }

  /** @param {string} text */
  hears(text) {
    return until(`${this.name} to read "${text}"`, () => this.page.$$eval("#talk p", (each, words) => each.filter((line) => line.textContent === words).length === 1, text));
  }

  /** Notes from now on whether a tile of another goes away. */
  noteLeaves() {
    return this.page.evaluate(() => {
      window.leaves = [];
      new MutationObserver((records) => {
        for (const node of records.flatMap(({ removedNodes }) => [...removedNodes])) window.leaves.push(node.textContent.trim());
      }).observe(document.querySelector("#tiles"), { childList: true });
    });
  }

  leaves() {
    return this.page.evaluate(() => window.leaves);
  }
}
