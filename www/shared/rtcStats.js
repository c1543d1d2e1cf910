/**
 * What both pages read from an RTCStatsReport. Pure: reports are iterables of entries, as browsers and tests give them.
 */

/** @typedef {any} StatsEntry One entry of a report. Members differ by browser, so they are not typed. */
/** @typedef {Iterable<[string, StatsEntry]>} StatsReport an RTCStatsReport, or a Map in tests */

/**
 * The candidate pair in use.
 * @param {StatsEntry[]} entries
 * @returns {StatsEntry | undefined}
 */
export function selectedPair(entries) {
  const transport = entries.find((entry) => entry.type === "transport" && entry.selectedCandidatePairId);
  const pairs = entries.filter((entry) => entry.type === "candidate-pair");
  // Firefox has no transport entry and marks the pair itself.
  return pairs.find((entry) => entry.id === transport?.selectedCandidatePairId)
    ?? pairs.find((entry) => entry.selected || (entry.nominated && entry.state === "succeeded"));
}

/**
 * Share of the packets that did not arrive between two moments.
 * @param {{ packetsReceived: number, packetsLost: number }} before
 * @param {{ packetsReceived: number, packetsLost: number }} now
 * @returns {number | null} null if none were expected
 */
export function lossPercent(before, now) {
  // A packet that arrives late is no longer counted as lost, so the difference can be negative.
  const lost = Math.max(0, now.packetsLost - before.packetsLost);
  const expected = lost + Math.max(0, now.packetsReceived - before.packetsReceived);
  return expected === 0 ? null : (lost / expected) * 100;
}

/**
 * @param {StatsEntry | undefined} pair
 * @returns {number | null} null if the browser does not report it
 */
export function roundTripMs(pair) {
  return pair?.currentRoundTripTime === undefined ? null : pair.currentRoundTripTime * 1000;
}
