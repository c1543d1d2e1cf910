import assert from "node:assert/strict";
import { test } from "node:test";
import { PacketMonitor } from "../../../../www/rooms/peer/packetMonitor.js";

/** Ticks once a second with these packet counts, and returns the time afterwards. */
function run(monitor, counts, noneExpected = false) {
  let nowMs = 0;
  for (const packets of counts) {
    nowMs += 1000;
    monitor.tick(nowMs);
    monitor.update(packets, noneExpected, nowMs);
  }
  return nowMs;
}

test("a connection has stalled after six seconds without packets, not earlier", () => {
  const monitor = new PacketMonitor(0);
  const nowMs = run(monitor, [10, 20, 20, 20, 20, 20]);
  assert.equal(monitor.stalled(nowMs), false);
  assert.equal(monitor.stalled(nowMs + 2001), true);
});

test("a connection on which no packets are expected does not stall", () => {
  const monitor = new PacketMonitor(0);
  assert.equal(monitor.stalled(run(monitor, Array(20).fill(0), true)), false);
});

test("the time while the computer was suspended does not count", () => {
  const monitor = new PacketMonitor(0);
  const nowMs = run(monitor, [10]);
  monitor.tick(nowMs + 60_000);
  assert.equal(monitor.stalled(nowMs + 60_000), false);
});

test("only new packets show that a connection works", () => {
  const monitor = new PacketMonitor(0);
  assert.equal(monitor.update(5, false, 1), true);
  assert.equal(monitor.update(5, false, 2), false);
  assert.equal(monitor.update(4, false, 3), false);
  assert.equal(monitor.update(6, false, 4), true);
});
