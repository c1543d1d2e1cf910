/**
 * What flows between two people, out of what getStats counts: pure functions over snapshots. Units come last in a name.
 */

/**
 * @typedef {object} Flow The counters of one moment.
 * @property {number} time_ms
 * @property {number} bytes_in of sound and pictures
 * @property {number} bytes_out
 * @property {number} packets_in
 * @property {number} packets_lost
 * @property {number | null} round_trip_ms
 * @property {"direct" | "relayed" | null} path
 * @property {Record<string, Picture>} pictures by the id of their track
 */

/**
 * @typedef {object} Picture
 * @property {number} width
 * @property {number} height
 * @property {number} decoded
 */

/**
 * @typedef {object} Figures
 * @property {string} resolution
 * @property {number | null} rate_fps
 * @property {number | null} in_bps
 * @property {number | null} out_bps
 * @property {number | null} loss_percent
 * @property {number | null} round_trip_ms
 * @property {"direct" | "relayed" | null} path
 */

/**
 * Adds up the counters of one connection.
 * @param {Iterable<[string, any]>} report an RTCStatsReport, or a Map in tests
 * @param {number} time_ms
 * @returns {Flow}
 */
export function flowOf(report, time_ms) {
  /** @type {Map<string, any>} */
  const entries = new Map(report);
  /** @type {Flow} */
  const flow = { time_ms, bytes_in: 0, bytes_out: 0, packets_in: 0, packets_lost: 0, round_trip_ms: null, path: null, pictures: {} };
  /** @type {any} */
  let pair;
  for (const entry of entries.values()) {
    if (entry.type === "inbound-rtp") {
      flow.bytes_in += entry.bytesReceived ?? 0;
      flow.packets_in += entry.packetsReceived ?? 0;
      flow.packets_lost += entry.packetsLost ?? 0;
      if (entry.kind === "video" && entry.trackIdentifier !== undefined) {
        flow.pictures[entry.trackIdentifier] = {
          width: entry.frameWidth ?? 0,
          height: entry.frameHeight ?? 0,
          decoded: entry.framesDecoded ?? 0,
        };
      }
    } else if (entry.type === "outbound-rtp") {
      flow.bytes_out += entry.bytesSent ?? 0;
    } else if (entry.type === "transport" && entry.selectedCandidatePairId) {
      pair = entries.get(entry.selectedCandidatePairId) ?? pair;
    } else if (entry.type === "candidate-pair" && pair === undefined) {
      // Firefox has no transport entry and marks the pair itself.
      if (entry.selected || (entry.nominated && entry.state === "succeeded")) pair = entry;
    }
  }
  if (pair !== undefined) {
    if (pair.currentRoundTripTime !== undefined) flow.round_trip_ms = pair.currentRoundTripTime * 1000;
    const ends = [entries.get(pair.localCandidateId), entries.get(pair.remoteCandidateId)];
    if (ends[0] !== undefined) flow.path = ends.some((end) => end?.candidateType === "relay") ? "relayed" : "direct";
  }
  return flow;
}

/**
 * @param {Flow} before
 * @param {Flow} now
 * @param {string | null} track the picture whose resolution and rate are wanted
 * @returns {Figures}
 */
export function figuresOf(before, now, track) {
  const seconds = (now.time_ms - before.time_ms) / 1000;
  /** @param {number} difference */
  const perSecond = (difference) => (seconds > 0 ? Math.max(0, difference) / seconds : null);
  const bits = (/** @type {"bytes_in" | "bytes_out"} */ way) => perSecond((now[way] - before[way]) * 8);
  const picture = track === null ? undefined : now.pictures[track];
  const earlier = track === null ? undefined : before.pictures[track];
  // A packet that comes late takes back its loss, so the difference can be below zero.
  const lost = Math.max(0, now.packets_lost - before.packets_lost);
  const due = lost + Math.max(0, now.packets_in - before.packets_in);
  return {
    resolution: picture !== undefined && picture.width > 0 ? `${picture.width} × ${picture.height}` : "",
    rate_fps: picture === undefined ? null : perSecond(picture.decoded - (earlier?.decoded ?? picture.decoded)),
    in_bps: bits("bytes_in"),
    out_bps: bits("bytes_out"),
    loss_percent: due === 0 ? null : (lost / due) * 100,
    round_trip_ms: now.round_trip_ms,
    path: now.path,
  };
}
