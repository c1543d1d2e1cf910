/**
 * How the tests start Chromium and Firefox.
 */

import puppeteer from "puppeteer-core";

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FIREFOX = process.env.FIREFOX ?? "/usr/bin/firefox-esr";

/** A name of somebody else that leads to this machine, as an attacker's DNS server can make it. */
export const REBOUND_NAME = "rebound.evil.example";

const CHROMIUM_FLAGS = [
  `--host-resolver-rules=MAP ${REBOUND_NAME} 127.0.0.1`,
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const FIREFOX_PREFERENCES = {
  "network.dns.localDomains": REBOUND_NAME,
  // Without a network other than loopback, Firefox would find no candidate.
  "media.peerconnection.ice.loopback": true,
  // Without a sound card, Web Audio would not start. This one is simulated.
  "media.cubeb.force_mock_context": true,
};

/** @typedef {(options?: import("puppeteer-core").LaunchOptions) => Promise<import("puppeteer-core").Browser>} Launch */

/** Browsers without camera and microphone. @type {Record<string, Launch>} */
export const LISTENER_BROWSERS = {
  "Chromium": () => puppeteer.launch({ executablePath: CHROMIUM, args: CHROMIUM_FLAGS }),
  "Chromium without mDNS": () => puppeteer.launch({
    executablePath: CHROMIUM,
    args: [...CHROMIUM_FLAGS, "--disable-features=WebRtcHideLocalIpsWithMdns"],
  }),
  "Firefox": () => puppeteer.launch({
    browser: "firefox",
    executablePath: FIREFOX,
    extraPrefsFirefox: FIREFOX_PREFERENCES,
  }),
};

/** Browsers with a simulated camera and microphone, without permission prompts. @type {Record<string, Launch>} */
export const CAMERA_BROWSERS = {
  Chromium: (options = {}) => puppeteer.launch({
    ...options,
    executablePath: CHROMIUM,
    args: [
      ...CHROMIUM_FLAGS,
      "--use-fake-ui-for-media-stream",
      "--use-fake-device-for-media-stream=fps=10",
      // With several pages in one browser, pages in the background must keep running.
      "--disable-background-timer-throttling",
      "--disable-backgrounding-occluded-windows",
      "--disable-renderer-backgrounding",
    ],
  }),
  Firefox: (options = {}) => puppeteer.launch({
    ...options,
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
