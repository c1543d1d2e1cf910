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
  // Direct playout: what the page's own buffer reports, and the latency of its output, ten times a second.
  const { AudioWorkletNode: OriginalNode } = window;
  window.AudioWorkletNode = class extends OriginalNode {
    constructor(context, ...options) {
      super(context, ...options);
      window.direct = { jitterBufferDelay: 0, jitterBufferEmittedCount: 0, totalPlayoutDelay: 0, totalSamplesCount: 0 };
      this.port.addEventListener("message", ({ data: { delay, played } }) => {
        Object.assign(window.direct, { jitterBufferDelay: delay / context.sampleRate, jitterBufferEmittedCount: played });
      });
      setInterval(() => {
        window.direct.totalPlayoutDelay += context.outputLatency;
        window.direct.totalSamplesCount += 1;
      }, 100);
    }
  };
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
    const inbound = entries.filter(({ type }) => type === "inbound-rtp" || type === "media-playout");
    const isDirect = !window.connection.getReceivers()[0].track.enabled;
    return Object.assign({ totalPlayoutDelay: 0, totalSamplesCount: 0 }, ...inbound, isDirect ? window.direct : {});
  });
  console.log(JSON.stringify(statistics));
}
await browser.close();
process.exit();
