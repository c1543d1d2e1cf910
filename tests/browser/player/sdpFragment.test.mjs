import assert from "node:assert/strict";
import { test } from "node:test";
import { AUDIO_OFFER } from "../harness/audioOffer.mjs";
import { readFragment, withRestart, writeFragment } from "../../../www/player/sdpFragment.js";

test("a fragment is written as in RFC 8840, and read back unchanged", () => {
  const fragment = {
    ufrag: "abcd",
    pwd: "0123456789012345678901",
    media: "audio 9 UDP/TLS/RTP/SAVPF 111 63 9",
    mid: "0",
    candidates: ["candidate:1 1 udp 2113937151 192.0.2.1 50000 typ host"],
    complete: true,
  };
  const text = writeFragment(fragment);
  assert.equal(text, [
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9",
    "a=mid:0",
    "a=ice-ufrag:abcd",
    "a=ice-pwd:0123456789012345678901",
    "a=candidate:1 1 udp 2113937151 192.0.2.1 50000 typ host",
    "a=end-of-candidates",
    "",
  ].join("\r\n"));
  assert.deepEqual(readFragment(text), fragment);
});

test("a description without ICE credentials has no fragment", () => {
  assert.equal(readFragment("v=0\r\n"), null);
});

test("after an ICE restart, the answer has only new credentials and candidates", () => {
  const candidate = (port) => `a=candidate:1 1 udp 1 192.0.2.9 ${port} typ host`;
  const answer = `${AUDIO_OFFER}${candidate(1000)}\r\n${candidate(1001)}\r\na=end-of-candidates\r\n`;
  const restarted = withRestart(answer, {
    ufrag: "new1",
    pwd: "9876543210987654321098",
    media: "audio 9 UDP/TLS/RTP/SAVPF 111",
    mid: "0",
    candidates: ["candidate:1 1 udp 1 192.0.2.9 2000 typ host"],
    complete: true,
  });
  const expected = AUDIO_OFFER.replace("ufrag:abcd", "ufrag:new1").replace("pwd:0123456789012345678901", "pwd:9876543210987654321098");
  assert.equal(restarted, `${expected}${candidate(2000)}\r\na=end-of-candidates\r\n`);
});

test("candidates of a restart belong to the first media section", () => {
  const two = `${AUDIO_OFFER}m=video 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\n`;
  const fragment = { ...readFragment(AUDIO_OFFER), candidates: ["candidate:7"], complete: false };
  assert.match(withRestart(two, fragment), /a=candidate:7\r\nm=video/);
});
