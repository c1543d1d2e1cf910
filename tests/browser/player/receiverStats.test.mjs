import assert from "node:assert/strict";
import { test } from "node:test";
import { delayOf, figuresOf, lossOf, snapshotOf } from "../../../www/player/receiverStats.js";

const START = {
  time_ms: 1000,
  packets_received: 100,
  packets_lost: 2,
  jitter_ms: 1.5,
  buffered_s: 4000,
  samples_emitted: 96_000,
  round_trip_ms: 10,
};

/** A second later: 50 packets, each sample 40 ms in the buffer. */
const LATER = {
  ...START,
  time_ms: 2000,
  packets_received: 150,
  jitter_ms: 2.5,
  buffered_s: 4000 + 48_000 * 0.04,
  samples_emitted: 144_000,
};

/** A report as browsers give it. */
function report(...entries) {
  return new Map(entries.map((entry, at) => [entry.id ?? `entry${at}`, entry]));
}

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

test("Chrome's report: the pair that the transport names counts", () => {
  const snapshot = snapshotOf(report(
    { type: "candidate-pair", id: "old", nominated: true, state: "succeeded", currentRoundTripTime: 9 },
    { type: "candidate-pair", id: "in-use", nominated: true, state: "succeeded", currentRoundTripTime: 0.012 },
    { type: "transport", selectedCandidatePairId: "in-use" },
    { type: "inbound-rtp", kind: "video", packetsReceived: 999 },
    INBOUND,
  ));
  assert.deepEqual(snapshot, {
    time_ms: 1234,
    packets_received: 10,
    packets_lost: 1,
    jitter_ms: 2,
    buffered_s: 5,
    samples_emitted: 960,
    round_trip_ms: 12,
  });
});

test("Firefox's report: the pair says itself that it is selected, and may not know its round trip", () => {
  const snapshot = snapshotOf(report({ type: "candidate-pair", selected: true, nominated: true, state: "succeeded" }, INBOUND));
  assert.equal(snapshot?.round_trip_ms, null);
});

test("before the first packet there is no snapshot", () => {
  assert.equal(snapshotOf(report({ type: "transport" })), null);
});

test("delay is the buffer of the last second, half the round trip and one packet", () => {
  assert.ok(Math.abs(delayOf(START, LATER, 20) - (40 + 5 + 20)) < 1e-9);
  assert.ok(Math.abs(delayOf(START, { ...LATER, round_trip_ms: null }, 20) - 60) < 1e-9);
});

test("delay is unknown while nothing is played", () => {
  assert.equal(delayOf(START, { ...START, time_ms: 2000 }, 20), null);
});

test("loss is what never came, of all that was due", () => {
  assert.equal(lossOf(START, { ...LATER, packets_received: 145, packets_lost: 7 }), 10);
  assert.equal(lossOf(START, LATER), 0);
  assert.equal(lossOf(START, START), null);
});

test("packets that come late after all are no negative loss", () => {
  assert.equal(lossOf(START, { ...LATER, packets_lost: 0 }), 0);
});

test("loss is of the whole history, delay and jitter of its end", () => {
  const middle = { ...LATER, packets_received: 145, packets_lost: 7 };
  const end = { ...middle, packets_received: 195, buffered_s: middle.buffered_s + 48_000 * 0.08, samples_emitted: 192_000, jitter_ms: 3 };
  const figures = figuresOf([START, middle, end], 20);
  assert.equal(Math.round(figures.delay_ms), 80 + 5 + 20);
  assert.equal(figures.jitter_ms, 3);
  assert.equal(figures.loss_percent, 5);
});

test("one snapshot alone gives no figures", () => {
  assert.deepEqual(figuresOf([START], 20), { delay_ms: null, jitter_ms: null, loss_percent: null });
});
