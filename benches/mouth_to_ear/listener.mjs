/**
 * Opens the listening page in Chromium, which plays into the sound server that the environment names, and tells the browser's
 * statistics when it is asked.
 */

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [, , packages, executablePath, url, buffering] = process.argv;
const { default: puppeteer } = await import(createRequire(import.meta.url).resolve(packages));

const browser = await puppeteer.launch({
  executablePath,
  ignoreDefaultArgs: ["--mute-audio"],
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--autoplay-policy=no-user-gesture-required"],
});
const page = (await browser.pages())[0];
await page.evaluateOnNewDocument((choice) => {
  if (location.protocol.startsWith("http")) localStorage.setItem("roomtone.buffering", choice);
  const Original = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(...configuration) {
      super(...configuration);
      window.connection = this;
    }
  };
}, buffering);
await page.goto(new URL("listen", url).href, { waitUntil: "load" });
await page.click("#play");
await page.waitForFunction(() => /^Live/.test(document.querySelector("#status").textContent));
console.log("playing");

for await (const line of createInterface({ input: process.stdin })) {
  if (line === "end") break;
  const statistics = await page.evaluate(async () => {
    const entries = [...(await window.connection.getStats()).values()];
    return Object.assign({ totalPlayoutDelay: 0, totalSamplesCount: 0 }, ...entries.filter(({ type }) => type === "inbound-rtp" || type === "media-playout"));
  });
  console.log(JSON.stringify(statistics));
}
await browser.close();
process.exit();
