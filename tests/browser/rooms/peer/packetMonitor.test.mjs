import assert from "node:assert/strict";
import { test } from "node:test";
import { Watch } from "../../../../www/rooms/peer/packetMonitor.js";

/** Looked at every second from `from_ms` on, with so many packets each time. */
function looks(watch, from_ms, packets, still = false) {
  let now_ms = from_ms;
  for (const each of packets) {
    now_ms += 1000;
    watch.look(now_ms);
    watch.count(each, still, now_ms);
  }
  return now_ms;
}

test("a line is dead when nothing came for six seconds, and not before", () => {
  const watch = new Watch(0);
  const now_ms = looks(watch, 0, [10, 20, 20, 20, 20, 20]);
  assert.equal(watch.stalled(now_ms), false);
  assert.equal(watch.stalled(now_ms + 2001), true);
});

test("where nothing is sent, silence is no sign", () => {
  const watch = new Watch(0);
  const now_ms = looks(watch, 0, Array(20).fill(0), true);
  assert.equal(watch.stalled(now_ms), false);
});

test("a computer that slept has not heard the other fall silent", () => {
  const watch = new Watch(0);
  const now_ms = looks(watch, 0, [10]);
  watch.look(now_ms + 60_000);
  assert.equal(watch.stalled(now_ms + 60_000), false);
});

test("only new packets are a sign of life", () => {
  const watch = new Watch(0);
  assert.equal(watch.count(5, false, 1), true);
  assert.equal(watch.count(5, false, 2), false);
  assert.equal(watch.count(4, false, 3), false);
  assert.equal(watch.count(6, false, 4), true);
});
