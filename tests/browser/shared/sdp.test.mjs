import assert from "node:assert/strict";
import { test } from "node:test";
import { readFragment, withNack, withRestart, withStereo, writeFragment, sessionOf, withMusic, withVoice } from "../../../www/shared/sdp.js";

const OFFER = [
  "v=0",
  "o=- 1 2 IN IP4 127.0.0.1",
  "s=-",
  "t=0 0",
  "a=group:BUNDLE 0",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9",
  "c=IN IP4 0.0.0.0",
  "a=ice-ufrag:abcd",
  "a=ice-pwd:0123456789012345678901",
  "a=mid:0",
  "a=rtpmap:111 opus/48000/2",
  "a=fmtp:111 minptime=10;useinbandfec=1",
  "a=rtpmap:63 red/48000/2",
  "a=fmtp:63 111/111",
  "a=rtpmap:9 G722/8000",
  "",
].join("\r\n");

test("two channels are asked for, and nothing else in the offer changes", () => {
  const expected = OFFER.replace("useinbandfec=1", "useinbandfec=1;stereo=1;sprop-stereo=1");
  assert.equal(withStereo(OFFER), expected);
});

test("an offer that already speaks of stereo says it once, and says yes", () => {
  const mono = OFFER.replace("useinbandfec=1", "stereo=0;useinbandfec=1;sprop-stereo=0");
  assert.equal(withStereo(mono), withStereo(OFFER));
  assert.equal(withStereo(withStereo(OFFER)), withStereo(OFFER));
});

test("Opus without a parameter line gets one", () => {
  const bare = OFFER.replace("a=fmtp:111 minptime=10;useinbandfec=1\r\n", "");
  assert.match(withStereo(bare), /a=rtpmap:111 opus\/48000\/2\r\na=fmtp:111 stereo=1;sprop-stereo=1\r\n/);
});

test("missing packets of Opus are asked for, once, and nothing else in the offer changes", () => {
  const expected = OFFER.replace("opus/48000/2\r\n", "opus/48000/2\r\na=rtcp-fb:111 nack\r\n");
  assert.equal(withNack(OFFER), expected);
  assert.equal(withNack(expected), expected);
  const below = `${OFFER}a=rtcp-fb:111 nack\r\n`;
  assert.equal(withNack(below), below);
  const other = `${OFFER}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 nack\r\n`;
  assert.equal(withNack(other).match(/a=rtcp-fb:111 nack/g).length, 2);
});

test("a fragment is written as RFC 8840 has it and reads back the same", () => {
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

test("a description without ICE credentials is no fragment", () => {
  assert.equal(readFragment("v=0\r\n"), null);
});

test("after an ICE restart the old answer has the new path only", () => {
  const candidate = (port) => `a=candidate:1 1 udp 1 192.0.2.9 ${port} typ host`;
  const answer = `${OFFER}${candidate(1000)}\r\n${candidate(1001)}\r\na=end-of-candidates\r\n`;
  const restarted = withRestart(answer, {
    ufrag: "new1",
    pwd: "9876543210987654321098",
    media: "audio 9 UDP/TLS/RTP/SAVPF 111",
    mid: "0",
    candidates: ["candidate:1 1 udp 1 192.0.2.9 2000 typ host"],
    complete: true,
  });
  const expected = OFFER.replace("ufrag:abcd", "ufrag:new1").replace("pwd:0123456789012345678901", "pwd:9876543210987654321098");
  assert.equal(restarted, `${expected}${candidate(2000)}\r\na=end-of-candidates\r\n`);
});

test("candidates of a restart go to the first media section", () => {
  const two = `${OFFER}m=video 0 UDP/TLS/RTP/SAVPF 0\r\na=mid:1\r\n`;
  const fragment = { ...readFragment(OFFER), candidates: ["candidate:7"], complete: false };
  assert.match(withRestart(two, fragment), /a=candidate:7\r\nm=video/);
});

const TWO_SECTIONS = ["v=0", "o=- 4711 2 IN IP4 127.0.0.1", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2", ""].join("\r\n");

test("music is asked for in every section of sound", () => {
  const fmtps = withMusic(TWO_SECTIONS, 128_000).split("\r\n").filter((line) => line.startsWith("a=fmtp"));
  assert.deepEqual(fmtps, [
    "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1;maxaveragebitrate=128000",
    "a=fmtp:111 stereo=1;sprop-stereo=1;maxaveragebitrate=128000",
  ]);
});

test("voice takes back what music asked for", () => {
  const voice = withVoice(withMusic(TWO_SECTIONS, 128_000), 40_000);
  assert.doesNotMatch(voice, /stereo=/);
  assert.equal(voice.match(/maxaveragebitrate=40000/g).length, 2);
});

test("a connection is known by its session id", () => {
  assert.equal(sessionOf(TWO_SECTIONS), "4711");
  assert.equal(sessionOf("v=0\r\n"), null);
});
