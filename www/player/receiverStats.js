/**
 * Statistics of received audio, from getStats. Pure: functions over snapshots.
 *
 * Counters are totals since the start, so each statistic is a difference between two snapshots.
 */

import { lossPercent, roundTripMs, selectedPair } from "../shared/rtcStats.js";

/**
 * @typedef {object} Snapshot Counters at one moment.
 * @property {number} timeMs
 * @property {number} packetsReceived
 * @property {number} packetsLost
 * @property {number} jitterMs
 * @property {number} jitterBufferDelayS sum over all samples of the time spent in the jitter buffer
 * @property {number} samplesEmitted samples that have left the jitter buffer
 * @property {number | null} roundTripMs null if the browser does not report it
 */

/**
 * @typedef {object} ReceiverStats
 * @property {number | null} delayMs
 * @property {number | null} jitterMs
 * @property {number | null} lossPercent
 */

/**
 * @param {import("../shared/rtcStats.js").StatsReport} report
 * @param {Pick<Snapshot, "jitterBufferDelayS" | "samplesEmitted">} [direct] of direct playout, whose sound the report does not know
 * @returns {Snapshot | null} null before the first packet
 */
export function snapshotOf(report, direct = { jitterBufferDelayS: 0, samplesEmitted: 0 }) {
  const entries = [...report].map(([, entry]) => entry);
  const inbound = entries.find((entry) => entry.type === "inbound-rtp" && entry.kind === "audio");
  if (inbound === undefined) return null;
  return {
    timeMs: inbound.timestamp,
    packetsReceived: inbound.packetsReceived ?? 0,
    packetsLost: inbound.packetsLost ?? 0,
    jitterMs: (inbound.jitter ?? 0) * 1000,
    jitterBufferDelayS: (inbound.jitterBufferDelay ?? 0) + direct.jitterBufferDelayS,
    samplesEmitted: (inbound.jitterBufferEmittedCount ?? 0) + direct.samplesEmitted,
    roundTripMs: roundTripMs(selectedPair(entries)),
  };
}

/**
 * Delay from capture to playback: half the round trip, the time in the jitter buffer, and the length of one packet, whose
 * first sample waits for its last before the packet can be sent.
 * @param {Snapshot} before
 * @param {Snapshot} now
 * @param {number} packetMs
 * @returns {number | null} null if nothing was played between the two
 */
export function delayMs(before, now, packetMs) {
  const samples = now.samplesEmitted - before.samplesEmitted;
  if (samples <= 0) return null;
  const bufferMs = ((now.jitterBufferDelayS - before.jitterBufferDelayS) / samples) * 1000;
  return bufferMs + (now.roundTripMs ?? 0) / 2 + packetMs;
}

/**
 * Delay is measured over the last interval. Loss is measured over all snapshots, because over one second it would jump.
 * @param {Snapshot[]} snapshots oldest first
 * @param {number} packetMs
 * @returns {ReceiverStats}
 */
export function statsOf(snapshots, packetMs) {
  const now = snapshots[snapshots.length - 1];
  const before = snapshots[snapshots.length - 2];
  if (now === undefined || before === undefined) return { delayMs: null, jitterMs: null, lossPercent: null };
  return {
    delayMs: delayMs(before, now, packetMs),
    jitterMs: now.jitterMs,
    lossPercent: lossPercent(snapshots[0], now),
  };
}
