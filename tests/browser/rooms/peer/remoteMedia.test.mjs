import assert from "node:assert/strict";
import { test } from "node:test";
import { RemoteMedia } from "../../../../www/rooms/peer/remoteMedia.js";

const trackEvent = (kind, streamId, more = {}) => {
  const track = { kind, readyState: "live", muted: false, ...more };
  return { track, streams: streamId === null ? [] : [{ id: streamId }], transceiver: { receiver: { track } } };
};
const peerState = (screen = null) => ({ name: "Ada", muted: false, camera: true, screen });

test("the stream id tells the screen from the camera", () => {
  const media = new RemoteMedia();
  const events = [trackEvent("audio", "person"), trackEvent("video", "person"), trackEvent("video", "screen"), trackEvent("audio", "screen")];
  for (const event of events) media.add(event);
  const [microphone, camera, screen, screenAudio] = events.map(({ track }) => track);
  assert.deepEqual(media.tracks(peerState("screen")), { microphone, camera, screen, screenAudio });
  assert.equal(media.tracks(peerState()).camera, camera, "a screen that is not shared is no second camera");
  assert.equal(media.tracks(peerState()).screen, null);
});

test("without peer-state, packets tell whether the camera is on", () => {
  const media = new RemoteMedia();
  media.add(trackEvent("video", null, { muted: true }));
  assert.equal(media.tracks(null).camera, null);
  assert.notEqual(media.tracks(peerState()).camera, null);
});

test("an ended track is not used", () => {
  const media = new RemoteMedia();
  media.add(trackEvent("audio", "person", { readyState: "ended" }));
  assert.equal(media.tracks(peerState()).microphone, null);
});
