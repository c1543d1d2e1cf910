import assert from "node:assert/strict";
import { test } from "node:test";
import { AUDIO_OFFER } from "../harness/audioOffer.mjs";
import { sessionIdOf, withMusic, withNack, withSpeech, withStereo } from "../../../www/shared/sdp.js";

test("stereo is requested, and nothing else in the offer changes", () => {
  const expected = AUDIO_OFFER.replace("useinbandfec=1", "useinbandfec=1;stereo=1;sprop-stereo=1");
  assert.equal(withStereo(AUDIO_OFFER), expected);
});

test("an offer that already has stereo parameters has them once, with the value 1", () => {
  const mono = AUDIO_OFFER.replace("useinbandfec=1", "stereo=0;useinbandfec=1;sprop-stereo=0");
  assert.equal(withStereo(mono), withStereo(AUDIO_OFFER));
  assert.equal(withStereo(withStereo(AUDIO_OFFER)), withStereo(AUDIO_OFFER));
});

test("Opus without format parameters gets a line for them", () => {
  const bare = AUDIO_OFFER.replace("a=fmtp:111 minptime=10;useinbandfec=1\r\n", "");
  assert.match(withStereo(bare), /a=rtpmap:111 opus\/48000\/2\r\na=fmtp:111 stereo=1;sprop-stereo=1\r\n/);
});

test("NACK is requested for Opus, once, and nothing else in the offer changes", () => {
  const expected = AUDIO_OFFER.replace("opus/48000/2\r\n", "opus/48000/2\r\na=rtcp-fb:111 nack\r\n");
  assert.equal(withNack(AUDIO_OFFER), expected);
  assert.equal(withNack(expected), expected);
  const after = `${AUDIO_OFFER}a=rtcp-fb:111 nack\r\n`;
  assert.equal(withNack(after), after);
  const other = `${AUDIO_OFFER}m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 nack\r\n`;
  assert.equal(withNack(other).match(/a=rtcp-fb:111 nack/g).length, 2);
});

const TWO_SECTIONS = ["v=0", "o=- 4711 2 IN IP4 127.0.0.1", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2", "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1",
  "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=rtpmap:111 opus/48000/2", ""].join("\r\n");

test("music parameters are set in every audio section", () => {
  const fmtps = withMusic(TWO_SECTIONS, 128_000).split("\r\n").filter((line) => line.startsWith("a=fmtp"));
  assert.deepEqual(fmtps, [
    "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1;maxaveragebitrate=128000",
    "a=fmtp:111 stereo=1;sprop-stereo=1;maxaveragebitrate=128000",
  ]);
});

test("speech parameters replace those for music", () => {
  const speech = withSpeech(withMusic(TWO_SECTIONS, 128_000), 40_000);
  assert.doesNotMatch(speech, /stereo=/);
  assert.equal(speech.match(/maxaveragebitrate=40000/g).length, 2);
});

test("a connection is identified by its session id", () => {
  assert.equal(sessionIdOf(TWO_SECTIONS), "4711");
  assert.equal(sessionIdOf("v=0\r\n"), null);
});
