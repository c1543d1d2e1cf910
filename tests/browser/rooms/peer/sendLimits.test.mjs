import assert from "node:assert/strict";
import { test } from "node:test";
import { cameraLimits, scaleDownBy, screenLimits } from "../../../../www/rooms/peer/sendLimits.js";

test("the more peers, the lower the limits", () => {
  const steps = [1, 2, 3, 4, 7, 8, 15].map((peers) => cameraLimits(peers));
  assert.deepEqual(steps.map(({ bitrateBps }) => bitrateBps / 1000), [1500, 700, 700, 300, 300, 150, 150]);
  assert.deepEqual(steps.map(({ heightPx }) => heightPx), [720, 480, 480, 360, 360, 240, 240]);
});

test("all camera streams of a room together fit an ordinary uplink", () => {
  for (let peers = 1; peers < 16; peers += 1) {
    assert.ok(peers * cameraLimits(peers).bitrateBps <= 2_300_000, `${peers} peers`);
  }
});

test("a video is scaled down until its shorter side fits, and never up", () => {
  assert.equal(scaleDownBy({ width: 1280, height: 720 }, cameraLimits(5)), 2);
  assert.equal(scaleDownBy({ width: 720, height: 1280 }, cameraLimits(5)), 2);
  assert.equal(scaleDownBy({ width: 160, height: 120 }, cameraLimits(1)), 1);
  assert.equal(scaleDownBy({}, cameraLimits(1)), 1);
});

test("a shared screen keeps its size", () => {
  assert.equal(scaleDownBy({ width: 3840, height: 2160 }, screenLimits(15)), 1);
});
