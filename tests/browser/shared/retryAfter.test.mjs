import assert from "node:assert/strict";
import { test } from "node:test";
import { retryAfterMs } from "../../../www/shared/retryAfter.js";

test("Retry-After is a number of seconds or a date; an invalid value counts as absent", () => {
  const nowMs = Date.parse("2024-01-01T00:00:00Z");
  assert.equal(retryAfterMs("12", nowMs), 12_000);
  assert.equal(retryAfterMs("Mon, 01 Jan 2024 00:00:30 GMT", nowMs), 30_000);
  assert.equal(retryAfterMs("Sun, 31 Dec 2023 00:00:00 GMT", nowMs), 0);
  assert.equal(retryAfterMs("soon", nowMs), 0);
  assert.equal(retryAfterMs(null, nowMs), 0);
});
