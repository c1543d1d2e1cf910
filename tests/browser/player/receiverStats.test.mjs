import assert from "node:assert/strict";
import { test } from "node:test";
import { delayMs, snapshotOf, statsOf } from "../../../www/player/receiverStats.js";

const START = {
  timeMs: 1000,
  packetsReceived: 100,
  packetsLost: 2,
  jitterMs: 1.5,
  jitterBufferDelayS: 4000,
  samplesEmitted: 96_000,
  roundTripMs: 10,
};

/** A second later: 50 packets, each sample 40 ms in the jitter buffer. */
const LATER = {
  ...START,
  timeMs: 2000,
  packetsReceived: 150,
  jitterMs: 2.5,
  jitterBufferDelayS: 4000 + 48_000 * 0.04,
  samplesEmitted: 144_000,
};

const INBOUND = {
  type: "inbound-rtp",
  kind: "audio",
  timestamp: 1234,
  packetsReceived: 10,
  packetsLost: 1,
  jitter: 0.002,
  jitterBufferDelay: 5,
  jitterBufferEmittedCount: 960,
};

/** A report as browsers return it. */
const report = (...entries) => new Map(entries.map((entry, index) => [entry.id ?? `entry${index}`, entry]));

test("a snapshot has the counters of received audio and of the selected pair", () => {
  const snapshot = snapshotOf(report(
    { type: "candidate-pair", id: "old", nominated: true, state: "succeeded", currentRoundTripTime: 9 },
    { type: "candidate-pair", id: "selected", nominated: true, state: "succeeded", currentRoundTripTime: 0.012 },
    { type: "transport", selectedCandidatePairId: "selected" },
    { type: "inbound-rtp", kind: "video", packetsReceived: 999 },
    INBOUND,
  ));
  assert.deepEqual(snapshot, {
    timeMs: 1234,
    packetsReceived: 10,
    packetsLost: 1,
    jitterMs: 2,
    jitterBufferDelayS: 5,
    samplesEmitted: 960,
    roundTripMs: 12,
  });
});

test("Firefox may not report the round trip", () => {
  const snapshot = snapshotOf(report({ type: "candidate-pair", selected: true, nominated: true, state: "succeeded" }, INBOUND));
  assert.equal(snapshot?.roundTripMs, null);
});

test("before the first packet there is no snapshot", () => {
  assert.equal(snapshotOf(report({ type: "transport" })), null);
});

test("delay is the jitter buffer of the last second, half the round trip and one packet", () => {
  assert.ok(Math.abs(delayMs(START, LATER, 20) - (40 + 5 + 20)) < 1e-9);
  assert.ok(Math.abs(delayMs(START, { ...LATER, roundTripMs: null }, 20) - 60) < 1e-9);
});

test("delay is unknown while nothing is played", () => {
  assert.equal(delayMs(START, { ...START, timeMs: 2000 }, 20), null);
});

test("loss is measured over all snapshots, delay and jitter at their end", () => {
  const middle = { ...LATER, packetsReceived: 145, packetsLost: 7 };
  const end = { ...middle, packetsReceived: 195, jitterBufferDelayS: middle.jitterBufferDelayS + 48_000 * 0.08, samplesEmitted: 192_000, jitterMs: 3 };
  const stats = statsOf([START, middle, end], 20);
  assert.equal(Math.round(stats.delayMs), 80 + 5 + 20);
  assert.equal(stats.jitterMs, 3);
  assert.equal(stats.lossPercent, 5);
});

test("one snapshot alone has no statistics", () => {
  assert.deepEqual(statsOf([START], 20), { delayMs: null, jitterMs: null, lossPercent: null });
});
