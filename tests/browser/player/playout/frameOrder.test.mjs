import assert from "node:assert/strict";
import { test } from "node:test";
import { FrameOrder } from "../../../../www/player/playout/frameOrder.js";

const positions = (...timestamps) => {
  const order = new FrameOrder();
  return timestamps.map((timestamp) => order.positionOf(timestamp));
};

test("positions follow the timestamps, from 0 on", () => {
  assert.deepEqual(positions(1000, 1480, 1960), [0, 480, 960]);
});

test("timestamps begin again after 32 bits", () => {
  assert.deepEqual(positions(2 ** 32 - 480, 0, 480), [0, 480, 960]);
});

test("a missing frame leaves its place", () => {
  assert.deepEqual(positions(0, 960), [0, 960]);
});

test("late and doubled frames have no position", () => {
  assert.deepEqual(positions(2 ** 32 - 960, 0, 2 ** 32 - 480, 0, 480), [0, 960, null, null, 1440]);
});

test("a stream that begins anew is followed", () => {
  assert.deepEqual(positions(5_000_000, 1000, 1480), [0, -4_999_000, -4_998_520]);
});
