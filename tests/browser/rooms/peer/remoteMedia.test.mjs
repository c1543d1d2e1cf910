import assert from "node:assert/strict";
import { test } from "node:test";
import { Received } from "../../../../www/rooms/peer/remoteMedia.js";

const event = (kind, stream, more = {}) => {
  const track = { kind, readyState: "live", muted: false, ...more };
  return { track, streams: stream === null ? [] : [{ id: stream }], transceiver: { receiver: { track } } };
};
const state = (screen = null) => ({ name: "Ada", muted: false, camera: true, screen });

test("a screen is told from the camera by the stream its sender names", () => {
  const received = new Received();
  const events = [event("audio", "person"), event("video", "person"), event("video", "screen"), event("audio", "screen")];
  for (const each of events) received.add(each);
  const [sound, camera, screen, screenSound] = events.map(({ track }) => track);
  assert.deepEqual(received.tracks(state("screen")), { sound, camera, screen, screenSound });
  assert.equal(received.tracks(state()).camera, camera, "not shared: no second camera");
  assert.equal(received.tracks(state()).screen, null);
});

test("of a client that says nothing of itself, packets tell whether its camera is on", () => {
  const received = new Received();
  received.add(event("video", null, { muted: true }));
  assert.equal(received.tracks(null).camera, null);
  assert.notEqual(received.tracks(state()).camera, null);
});

test("what has ended is not shown", () => {
  const received = new Received();
  received.add(event("audio", "person", { readyState: "ended" }));
  assert.equal(received.tracks(state()).sound, null);
});
