import assert from "node:assert/strict";
import { test } from "node:test";
import { cameraBudget, scaleOf, screenBudget } from "../../../../www/rooms/peer/sendLimits.js";

test("the more people, the less each gets", () => {
  const steps = [1, 2, 3, 4, 7, 8, 15].map((others) => cameraBudget(others));
  assert.deepEqual(steps.map(({ bitrate_bps }) => bitrate_bps / 1000), [1500, 700, 700, 300, 300, 150, 150]);
  assert.deepEqual(steps.map(({ height_px }) => height_px), [720, 480, 480, 360, 360, 240, 240]);
});

test("any room's pictures together fit an ordinary uplink", () => {
  for (let others = 1; others < 16; others += 1) {
    assert.ok(others * cameraBudget(others).bitrate_bps <= 2_300_000, `${others} others`);
  }
});

test("a picture is divided until its shorter side fits, and never enlarged", () => {
  assert.equal(scaleOf({ width: 1280, height: 720 }, cameraBudget(5)), 2);
  assert.equal(scaleOf({ width: 720, height: 1280 }, cameraBudget(5)), 2);
  assert.equal(scaleOf({ width: 160, height: 120 }, cameraBudget(1)), 1);
  assert.equal(scaleOf({}, cameraBudget(1)), 1);
});

test("a shared screen keeps its size", () => {
  assert.equal(scaleOf({ width: 3840, height: 2160 }, screenBudget(15)), 1);
});
