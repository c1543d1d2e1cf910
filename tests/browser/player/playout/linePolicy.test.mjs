import assert from "node:assert/strict";
import { test } from "node:test";
import { LinePolicy } from "../../../../www/player/playout/linePolicy.js";

test("a late packet now and then is no reason to pause", () => {
  const policy = new LinePolicy();
  for (let second = 0; second < 100; second += 1) assert.equal(policy.report(second % 8 === 0 ? 960 : 0), 0);
});

test("more than 100 ms of made-up sound in ten seconds is, and for longer each time", () => {
  const policy = new LinePolicy();
  const pauses = [];
  for (let second = 0; second < 40; second += 1) {
    const pauseMs = policy.report(1000);
    if (pauseMs > 0) pauses.push(pauseMs / 60_000);
  }
  assert.deepEqual(pauses, [1, 2, 4, 8, 16, 16, 16, 16]);
});
