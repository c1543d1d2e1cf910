/**
 * Statistics of the connection to one peer, from getStats. Pure: functions over snapshots.
 */

import { lossPercent, roundTripMs, selectedPair } from "../../shared/rtcStats.js";

/**
 * @typedef {object} Snapshot Counters at one moment.
 * @property {number} timeMs
 * @property {number} bytesReceived audio and video
 * @property {number} bytesSent
 * @property {number} packetsReceived
 * @property {number} packetsLost
 * @property {number | null} roundTripMs
 * @property {"direct" | "relayed" | null} path
 * @property {Record<string, VideoSnapshot>} videos by track id
 */

/**
 * @typedef {object} VideoSnapshot
 * @property {number} width
 * @property {number} height
 * @property {number} framesDecoded
 */

/**
 * @typedef {object} PeerStats
 * @property {string} resolution empty if no video is received
 * @property {number | null} frameRateFps
 * @property {number | null} receivedBps
 * @property {number | null} sentBps
 * @property {number | null} lossPercent
 * @property {number | null} roundTripMs
 * @property {"direct" | "relayed" | null} path
 */

/**
 * Adds up the counters of one connection.
 * @param {import("../../shared/rtcStats.js").StatsReport} report
 * @param {number} timeMs
 * @returns {Snapshot}
 */
export function snapshotOf(report, timeMs) {
  const byId = new Map(report);
  const entries = [...byId.values()];
  const pair = selectedPair(entries);
  /** @type {Snapshot} */
  const snapshot = {
    timeMs,
    bytesReceived: 0,
    bytesSent: 0,
    packetsReceived: 0,
    packetsLost: 0,
    roundTripMs: roundTripMs(pair),
    path: null,
    videos: {},
  };
  for (const entry of entries) {
    if (entry.type === "inbound-rtp") {
      snapshot.bytesReceived += entry.bytesReceived ?? 0;
      snapshot.packetsReceived += entry.packetsReceived ?? 0;
      snapshot.packetsLost += entry.packetsLost ?? 0;
      if (entry.kind === "video" && entry.trackIdentifier !== undefined) {
        snapshot.videos[entry.trackIdentifier] = {
          width: entry.frameWidth ?? 0,
          height: entry.frameHeight ?? 0,
          framesDecoded: entry.framesDecoded ?? 0,
        };
      }
    } else if (entry.type === "outbound-rtp") {
      snapshot.bytesSent += entry.bytesSent ?? 0;
    }
  }
  const candidates = [byId.get(pair?.localCandidateId), byId.get(pair?.remoteCandidateId)];
  if (candidates[0] !== undefined) {
    snapshot.path = candidates.some((candidate) => candidate?.candidateType === "relay") ? "relayed" : "direct";
  }
  return snapshot;
}

/**
 * @param {Snapshot} before
 * @param {Snapshot} now
 * @param {string | null} videoTrackId the video whose resolution and frame rate are wanted
 * @returns {PeerStats}
 */
export function statsOf(before, now, videoTrackId) {
  const seconds = (now.timeMs - before.timeMs) / 1000;
  /** @param {number} difference */
  const perSecond = (difference) => (seconds > 0 ? Math.max(0, difference) / seconds : null);
  const video = now.videos[videoTrackId ?? ""];
  const framesBefore = before.videos[videoTrackId ?? ""]?.framesDecoded;
  return {
    resolution: video !== undefined && video.width > 0 ? `${video.width} × ${video.height}` : "",
    frameRateFps: video === undefined ? null : perSecond(video.framesDecoded - (framesBefore ?? video.framesDecoded)),
    receivedBps: perSecond((now.bytesReceived - before.bytesReceived) * 8),
    sentBps: perSecond((now.bytesSent - before.bytesSent) * 8),
    lossPercent: lossPercent(before, now),
    roundTripMs: now.roundTripMs,
    path: now.path,
  };
}
