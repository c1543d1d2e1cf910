/**
 * The house under test: the real binary, and the browsers that visit it.
 */

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import puppeteer from "puppeteer-core";

const BINARY = process.env.ROOMTONE_BIN ?? fileURLToPath(new URL("../../../target/debug/roomtone", import.meta.url));
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FIREFOX = process.env.FIREFOX ?? "/usr/bin/firefox-esr";

/** Pages from a folder instead of the binary's own: for working on them without building it anew. */
const WWW = process.env.ROOMTONE_WWW;

/** How long anything may take on a busy machine before a test gives up waiting. */
const PATIENCE_MS = 30_000;

/**
 * Waits until `probe` gives something true, and returns it.
 * @template T
 * @param {string} what for the error
 * @param {() => T | Promise<T>} probe
 * @param {number} patience_ms
 * @returns {Promise<T>}
 */
export async function until(what, probe, patience_ms = PATIENCE_MS) {
  const end_ms = Date.now() + patience_ms;
  for (;;) {
    const result = await probe();
    if (result) return result;
    if (Date.now() > end_ms) throw new Error(`waited ${patience_ms} ms in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** One run of the server. */
export class House {
  #process;
  #log = "";

  /**
   * Starts the binary with the test tone and waits until it says where it is.
   * @param {number} port 0 for any free one
   * @param {string[]} flags more of them
   */
  static async open(port = 0, flags = []) {
    if (!existsSync(BINARY)) throw new Error(`no binary at ${BINARY}: build it, or name it in ROOMTONE_BIN`);
    const house = new House(port, flags);
    house.port = await until("the address in the log", () => house.#addressed());
    house.origin = `http://127.0.0.1:${house.port}`;
    await until("an answer from the server", () => house.status());
    return house;
  }

  /**
   * @param {number} port
   * @param {string[]} more
   */
  constructor(port, more) {
    // Its keys and books are its own: nothing of the person who runs the tests is read or written.
    this.state = mkdtempSync(join(tmpdir(), "roomtone-house-"));
    const flags = ["--sine-wave", "--port", String(port), "--log-file", "none", "--state-dir", this.state, ...more];
    if (WWW !== undefined) flags.push("--www", WWW);
    this.#process = spawn(BINARY, flags, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => { this.#log += text; });
    }
    this.#process.on("error", (error) => { this.#log += String(error); });
    this.ended = once(this.#process, "exit");
  }

  #addressed() {
    if (this.#process.exitCode !== null) throw new Error(`the server ended at once:\n${this.#log}`);
    const found = /https?:\/\/\S*?:(\d+)/.exec(this.#log);
    return found === null ? null : Number(found[1]);
  }

  /**
   * The key of a new link.
   * @param {string[]} flags for whom it is
   */
  invite(...flags) {
    return this.#errand("invite", ...flags).match(/#t=(\S+)/)[1];
  }

  /** Withdraws a link by its key, whose first half says its id. @param {string} key */
  revoke(key) {
    const { id } = JSON.parse(Buffer.from(key.split(".")[0], "base64url").toString());
    this.#errand("revoke", id);
  }

  /** @param {string[]} flags */
  #errand(...flags) {
    return execFileSync(BINARY, [...flags, "--state-dir", this.state], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  }

  /** The status page, or null while nobody answers. */
  async status() {
    try {
      const headers = this.key === undefined ? {} : { Authorization: `Bearer ${this.key}` };
      return await (await fetch(`${this.origin}/api/status`, { headers })).json();
    } catch {
      return null;
    }
  }

  async listeners() {
    return (await this.status())?.stations[0].listeners;
  }

  /** Ends it without a word, as a power cut does. */
  async kill() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.#process.kill("SIGKILL");
    await this.ended;
    rmSync(this.state, { recursive: true, force: true });
  }
}

const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const FIREFOX_PREFERENCES = {
  // Without a network other than loopback, Firefox would find no candidate at all.
  "media.peerconnection.ice.loopback": true,
  // Without a sound card its Web Audio would never begin to run; this one is only thought up.
  "media.cubeb.force_mock_context": true,
};

/** The ways a browser may come: what differs is what it tells of its own address. */
export const VISITORS = {
  "Chromium": () => puppeteer.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS }),
  "Chromium with its addresses told": () => puppeteer.launch({
    executablePath: CHROMIUM,
    args: [...CHROMIUM_FLAGS, "--disable-features=WebRtcHideLocalIpsWithMdns"],
  }),
  "Firefox": () => puppeteer.launch({
    browser: "firefox",
    executablePath: FIREFOX,
    extraPrefsFirefox: FIREFOX_PREFERENCES,
  }),
};

/**
 * Browsers with a camera and a microphone that are only thought up, and nobody to ask for permission.
 * @type {Record<string, (more?: import("puppeteer-core").LaunchOptions) => Promise<import("puppeteer-core").Browser>>}
 */
export const GUESTS = {
  Chromium: (more = {}) => puppeteer.launch({
    ...more,
    executablePath: CHROMIUM,
    args: [
      ...CHROMIUM_FLAGS,
      "--use-fake-ui-for-media-stream",
      "--use-fake-device-for-media-stream=fps=10",
      // Several pages of one browser: none is to sleep because another is in front.
      "--disable-background-timer-throttling",
      "--disable-backgrounding-occluded-windows",
      "--disable-renderer-backgrounding",
    ],
  }),
  Firefox: (more = {}) => puppeteer.launch({
    ...more,
    browser: "firefox",
    executablePath: FIREFOX,
    extraPrefsFirefox: {
      ...FIREFOX_PREFERENCES,
      "media.navigator.streams.fake": true,
      "media.navigator.permission.disabled": true,
      // mDNS needs a network as well.
      "media.peerconnection.ice.obfuscate_host_addresses": false,
    },
  }),
};
