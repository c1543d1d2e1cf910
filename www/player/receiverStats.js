/**
 * Figures for people out of what getStats counts: pure functions over two snapshots.
 *
 * Counters are totals since the start, so each figure is a difference between two moments. Units come last in a name.
 */

/**
 * @typedef {object} Snapshot The counters of one moment.
 * @property {number} time_ms
 * @property {number} packets_received
 * @property {number} packets_lost
 * @property {number} jitter_ms
 * @property {number} buffered_s seconds that all samples together have spent in the jitter buffer
 * @property {number} samples_emitted samples that have left it
 * @property {number | null} round_trip_ms null where the browser does not tell
 */

/**
 * @typedef {object} Figures
 * @property {number | null} delay_ms
 * @property {number | null} jitter_ms
 * @property {number | null} loss_percent
 */

/**
 * Picks the counters that matter.
 * @param {Iterable<[string, any]>} report an RTCStatsReport, or a Map in tests
 * @returns {Snapshot | null} null before the first packet has made the entry appear
 */
export function snapshotOf(report) {
  const entries = [...report].map(([, entry]) => entry);
  const inbound = entries.find((entry) => entry.type === "inbound-rtp" && entry.kind === "audio");
  if (inbound === undefined) return null;

  const transport = entries.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
  const pairs = entries.filter((entry) => entry.type === "candidate-pair");
  // Firefox has no transport entry and marks the pair itself.
  const pair = pairs.find((entry) => entry.id === transport?.selectedCandidatePairId)
    ?? pairs.find((entry) => entry.selected || (entry.nominated && entry.state === "succeeded"));

  return {
    time_ms: inbound.timestamp,
    packets_received: inbound.packetsReceived ?? 0,
    packets_lost: inbound.packetsLost ?? 0,
    jitter_ms: (inbound.jitter ?? 0) * 1000,
    buffered_s: inbound.jitterBufferDelay ?? 0,
    samples_emitted: inbound.jitterBufferEmittedCount ?? 0,
    round_trip_ms: pair?.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000,
  };
}

/**
 * Delay between two snapshots: the way through the network (half the round trip), the wait in the jitter buffer, and the
 * packet's own duration, since its first sample waits for its last before it can be sent.
 * @param {Snapshot} before
 * @param {Snapshot} now
 * @param {number} packet_ms
 * @returns {number | null} null when nothing was played between the two
 */
export function delayOf(before, now, packet_ms) {
  const samples = now.samples_emitted - before.samples_emitted;
  if (samples <= 0) return null;
  const buffer_ms = ((now.buffered_s - before.buffered_s) / samples) * 1000;
  return buffer_ms + (now.round_trip_ms ?? 0) / 2 + packet_ms;
}

/**
 * Part of the packets that never came, between two snapshots.
 * @param {Snapshot} before
 * @param {Snapshot} now
 * @returns {number | null} null when none were due
 */
export function lossOf(before, now) {
  // A packet that comes late takes back its loss, so the difference can be below zero.
  const lost = Math.max(0, now.packets_lost - before.packets_lost);
  const due = lost + Math.max(0, now.packets_received - before.packets_received);
  return due === 0 ? null : (lost / due) * 100;
}

/**
 * The three figures. Delay is of the last interval; loss is of the whole history given, because over a second it would
 * jump between nothing and a lot.
 * @param {Snapshot[]} history oldest first
 * @param {number} packet_ms
 * @returns {Figures}
 */
export function figuresOf(history, packet_ms) {
  const now = history.at(-1);
  const before = history.at(-2);
  const oldest = history[0];
  if (now === undefined || before === undefined) return { delay_ms: null, jitter_ms: null, loss_percent: null };
  return {
    delay_ms: delayOf(before, now, packet_ms),
    jitter_ms: now.jitter_ms,
    loss_percent: lossOf(oldest, now),
  };
}
