import assert from "node:assert/strict";
import { test } from "node:test";
import { Backoff } from "../../../www/shared/backoff.js";

/** Delays of so many failures in a row, each retried when it is due. */
function delays(backoff, count) {
  let nowMs = 1000;
  return Array.from({ length: count }, () => {
    const delayMs = backoff.failed(nowMs) - nowMs;
    nowMs += delayMs;
    backoff.attemptStarted();
    return delayMs;
  });
}

test("delays double from half a second to 15 seconds", () => {
  assert.deepEqual(delays(new Backoff(() => 1), 8), [500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
});

test("jitter takes up to half of a delay", () => {
  assert.deepEqual(delays(new Backoff(() => 0), 3), [250, 500, 1000]);
});

test("after a reset, delays start again with the first", () => {
  const backoff = new Backoff(() => 1);
  delays(backoff, 6);
  backoff.reset();
  assert.equal(backoff.dueMs, null);
  assert.deepEqual(delays(backoff, 2), [500, 1000]);
});

test("retryNow makes a scheduled attempt due now", () => {
  const backoff = new Backoff(() => 1);
  delays(backoff, 6);
  backoff.failed(50_000);
  assert.equal(backoff.retryNow(51_000), 51_000);
  assert.equal(backoff.dueMs, 51_000);
});

test("retryNow does not postpone an overdue attempt", () => {
  const backoff = new Backoff(() => 1);
  const dueMs = backoff.failed(0);
  assert.equal(backoff.retryNow(dueMs + 5000), dueMs);
});

test("retryNow schedules nothing if nothing was scheduled", () => {
  const backoff = new Backoff();
  assert.equal(backoff.retryNow(0), null);
  backoff.failed(0);
  backoff.attemptStarted();
  assert.equal(backoff.retryNow(0), null);
});

test("no attempt is earlier than Retry-After", () => {
  const backoff = new Backoff(() => 1);
  assert.equal(backoff.failed(0, 7000), 7000);
  assert.equal(backoff.retryNow(1000), 7000);
});
