import assert from "node:assert/strict";
import { test } from "node:test";
import { lossPercent, selectedPair } from "../../../www/shared/rtcStats.js";

const counters = (packetsReceived, packetsLost) => ({ packetsReceived, packetsLost });

test("Chrome names the selected pair in the transport", () => {
  const pair = selectedPair([
    { type: "candidate-pair", id: "old", nominated: true, state: "succeeded" },
    { type: "candidate-pair", id: "selected", nominated: true, state: "succeeded" },
    { type: "transport", selectedCandidatePairId: "selected" },
  ]);
  assert.equal(pair.id, "selected");
});

test("Firefox marks the selected pair itself", () => {
  const pairs = [{ type: "candidate-pair", id: "other", state: "failed" }, { type: "candidate-pair", id: "selected", selected: true }];
  assert.equal(selectedPair(pairs).id, "selected");
  assert.equal(selectedPair([]), undefined);
});

test("loss is the share of expected packets that did not arrive", () => {
  assert.equal(lossPercent(counters(100, 2), counters(145, 7)), 10);
  assert.equal(lossPercent(counters(100, 2), counters(150, 2)), 0);
  assert.equal(lossPercent(counters(100, 2), counters(100, 2)), null);
});

test("packets that arrive late do not make the loss negative", () => {
  assert.equal(lossPercent(counters(100, 2), counters(150, 0)), 0);
});
