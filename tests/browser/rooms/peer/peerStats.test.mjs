import assert from "node:assert/strict";
import { test } from "node:test";
import { snapshotOf, statsOf } from "../../../../www/rooms/peer/peerStats.js";

const report = (entries) => new Map(entries.map((entry, index) => [entry.id ?? `e${index}`, entry]));
const video = { type: "inbound-rtp", kind: "video", trackIdentifier: "t", bytesReceived: 1000, packetsReceived: 100, packetsLost: 1, frameWidth: 640, frameHeight: 360, framesDecoded: 10 };
const audio = { type: "inbound-rtp", kind: "audio", bytesReceived: 500, packetsReceived: 50, packetsLost: 0 };
const relayed = [
  { type: "transport", selectedCandidatePairId: "p" },
  { type: "candidate-pair", id: "p", currentRoundTripTime: 0.042, localCandidateId: "l", remoteCandidateId: "r" },
  { type: "local-candidate", id: "l", candidateType: "host" },
  { type: "remote-candidate", id: "r", candidateType: "relay" },
];

test("statistics are differences between two snapshots", () => {
  const before = snapshotOf(report([video, audio, { type: "outbound-rtp", bytesSent: 0 }]), 1000);
  const now = snapshotOf(report([
    { ...video, bytesReceived: 126_000, packetsReceived: 190, packetsLost: 11, framesDecoded: 40 },
    audio,
    { type: "outbound-rtp", bytesSent: 25_000 },
    ...relayed,
  ]), 2000);
  assert.deepEqual(statsOf(before, now, "t"), {
    resolution: "640 × 360", frameRateFps: 30, receivedBps: 1_000_000, sentBps: 200_000, lossPercent: 10, roundTripMs: 42, path: "relayed",
  });
});

test("without video there is no resolution, and without elapsed time no rate", () => {
  const snapshot = snapshotOf(report([audio]), 1000);
  const stats = statsOf(snapshot, snapshot, null);
  assert.deepEqual([stats.resolution, stats.frameRateFps, stats.receivedBps, stats.lossPercent, stats.path], ["", null, null, null, null]);
});

test("the path of Firefox's selected pair is found", () => {
  const snapshot = snapshotOf(report([
    { type: "candidate-pair", nominated: true, state: "succeeded", localCandidateId: "l", remoteCandidateId: "r" },
    { type: "local-candidate", id: "l", candidateType: "host" },
    { type: "remote-candidate", id: "r", candidateType: "prflx" },
  ]), 0);
  assert.equal(snapshot.path, "direct");
});
