import assert from "node:assert/strict";
import { test } from "node:test";
import { figuresOf, flowOf } from "../../../../www/rooms/peer/peerStats.js";

const report = (entries) => new Map(entries.map((entry, at) => [entry.id ?? `e${at}`, entry]));
const video = { type: "inbound-rtp", kind: "video", trackIdentifier: "t", bytesReceived: 1000, packetsReceived: 100, packetsLost: 1, frameWidth: 640, frameHeight: 360, framesDecoded: 10 };
const audio = { type: "inbound-rtp", kind: "audio", bytesReceived: 500, packetsReceived: 50, packetsLost: 0 };
const relayed = [
  { type: "transport", selectedCandidatePairId: "p" },
  { type: "candidate-pair", id: "p", currentRoundTripTime: 0.042, localCandidateId: "l", remoteCandidateId: "r" },
  { type: "local-candidate", id: "l", candidateType: "host" },
  { type: "remote-candidate", id: "r", candidateType: "relay" },
];

test("figures are differences between two moments", () => {
  const before = flowOf(report([video, audio, { type: "outbound-rtp", bytesSent: 0 }]), 1000);
  const now = flowOf(report([
    { ...video, bytesReceived: 126_000, packetsReceived: 190, packetsLost: 11, framesDecoded: 40 },
    audio,
    { type: "outbound-rtp", bytesSent: 25_000 },
    ...relayed,
  ]), 2000);
  assert.deepEqual(figuresOf(before, now, "t"), {
    resolution: "640 × 360", rate_fps: 30, in_bps: 1_000_000, out_bps: 200_000, loss_percent: 10, round_trip_ms: 42, path: "relayed",
  });
});

test("without a picture there is no resolution, without time no rate", () => {
  const flow = flowOf(report([audio]), 1000);
  const figures = figuresOf(flow, flow, null);
  assert.deepEqual([figures.resolution, figures.rate_fps, figures.in_bps, figures.loss_percent, figures.path], ["", null, null, null, null]);
});

test("Firefox marks the pair itself", () => {
  const flow = flowOf(report([
    { type: "candidate-pair", nominated: true, state: "succeeded", localCandidateId: "l", remoteCandidateId: "r" },
    { type: "local-candidate", id: "l", candidateType: "host" },
    { type: "remote-candidate", id: "r", candidateType: "prflx" },
  ]), 0);
  assert.equal(flow.path, "direct");
});
