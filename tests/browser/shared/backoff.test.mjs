import assert from "node:assert/strict";
import { test } from "node:test";
import { Reconnect } from "../../../www/shared/backoff.js";

/** Waits of so many breaks in a row, each tried when it is due. */
function waits(reconnect, count) {
  let now_ms = 1000;
  return Array.from({ length: count }, () => {
    const wait_ms = reconnect.broken(now_ms) - now_ms;
    now_ms += wait_ms;
    reconnect.trying();
    return wait_ms;
  });
}

test("waits double from half a second to a quarter of a minute", () => {
  const longest = new Reconnect(() => 1);
  assert.deepEqual(waits(longest, 8), [500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
});

test("chance takes up to half of a wait, never more", () => {
  const shortest = new Reconnect(() => 0);
  assert.deepEqual(waits(shortest, 3), [250, 500, 1000]);
});

test("hearing sound starts the waits anew", () => {
  const reconnect = new Reconnect(() => 1);
  waits(reconnect, 6);
  reconnect.reset();
  assert.equal(reconnect.due_ms, null);
  assert.deepEqual(waits(reconnect, 2), [500, 1000]);
});

test("a change for the better brings the next try forward to now", () => {
  const reconnect = new Reconnect(() => 1);
  waits(reconnect, 6);
  reconnect.broken(50_000);
  assert.equal(reconnect.hurry(51_000), 51_000);
  assert.equal(reconnect.due_ms, 51_000);
});

test("a try that is over-due is not put off by hurrying", () => {
  const reconnect = new Reconnect(() => 1);
  const due_ms = reconnect.broken(0);
  assert.equal(reconnect.hurry(due_ms + 5000), due_ms);
});

test("nothing is hurried when nothing is planned", () => {
  const reconnect = new Reconnect();
  assert.equal(reconnect.hurry(0), null);
  reconnect.broken(0);
  reconnect.trying();
  assert.equal(reconnect.hurry(0), null);
});

test("Retry-After is honoured, even when hurried", () => {
  const reconnect = new Reconnect(() => 1);
  assert.equal(reconnect.broken(0, 7000), 7000);
  assert.equal(reconnect.hurry(1000), 7000);
});
