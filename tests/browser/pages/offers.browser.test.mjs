/**
 * A station in browsers that offer more than sound, by every bundle policy: the server's answer must suit the browser's engine.
 */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { LISTENER_BROWSERS } from "../harness/browsers.mjs";
import { Server } from "../harness/server.mjs";

/** Sections of an offer, in order; `talk` is sound that is only sent. */
const ORDERS = ["audio", "audio video", "video audio", "data audio video", "talk audio", "video talk audio"];
const POLICIES = ["balanced", "max-compat", "max-bundle"];

/** Runs in the page: offers these sections to the station, and says why nothing arrives, or null. */
async function play(order, bundlePolicy, rsaBits) {
  const key = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: rsaBits, publicExponent: new Uint8Array([1, 0, 1]) };
  const certificates = rsaBits === 0 ? [] : [await RTCPeerConnection.generateCertificate(key)];
  const connection = new RTCPeerConnection({ bundlePolicy, certificates });
  try {
    for (const kind of order.split(" ")) {
      if (kind === "data") connection.createDataChannel("unused");
      else if (kind === "talk") connection.addTransceiver("audio", { direction: "sendonly" });
      else connection.addTransceiver(kind, { direction: "recvonly" });
    }
    await connection.setLocalDescription();
    const headers = { "Content-Type": "application/sdp" };
    const response = await fetch("/whep", { method: "POST", headers, body: connection.localDescription.sdp });
    const sdp = await response.text();
    if (response.status !== 201) return sdp;
    await connection.setRemoteDescription({ type: "answer", sdp });
    for (let attempt = 0; attempt < 100; attempt++) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const stats = [...(await connection.getStats()).values()];
      if (stats.some(({ type, kind, packetsReceived }) => type === "inbound-rtp" && kind === "audio" && packetsReceived > 5)) return null;
    }
    return `${connection.connectionState}, but no packets`;
  } catch (error) {
    return error.message;
  } finally {
    connection.close();
  }
}

for (const [name, launch] of Object.entries(LISTENER_BROWSERS)) {
  describe(`a station in ${name}, by other offers`, { timeout: 120_000 }, () => {
    let server;
    let browser;
    before(async () => {
      [server, browser] = await Promise.all([Server.start(0, ["--offers-per-second", "100"]), launch()]);
    });
    after(async () => {
      await browser?.close();
      await server?.kill();
    });

    test("sound arrives whatever else is offered", async () => {
      const page = await browser.newPage();
      await page.goto(`${server.origin}/healthz`);
      const silent = [];
      for (const order of ORDERS) {
        for (const policy of POLICIES) {
          const wrong = await page.evaluate(play, order, policy, 0);
          if (wrong !== null) silent.push(`${order}, ${policy}: ${wrong}`);
        }
      }
      assert.deepEqual(silent, []);
    });

    // W3C WebRTC §4.9.2 has browsers make these.
    test("sound arrives in a page whose certificate is RSA", async () => {
      const page = await browser.newPage();
      await page.goto(`${server.origin}/healthz`);
      for (const bits of [1024, 2048, 4096]) assert.equal(await page.evaluate(play, "audio", "balanced", bits), null, `${bits} bits`);
    });
  });
}
