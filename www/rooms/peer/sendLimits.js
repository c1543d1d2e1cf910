/**
 * Bitrate, size and frame rate of what is sent to each peer. Pure.
 *
 * In a mesh everybody sends to everybody, so the upload grows with the number of peers. A room of eight must fit the
 * 2 Mbit/s of an ordinary home uplink: seven camera streams of 300 kbit/s do.
 */

/**
 * @typedef {object} VideoLimits
 * @property {number} heightPx of the video's shorter side
 * @property {number} frameRateFps
 * @property {number} bitrateBps of one stream to one peer
 */

/** Limits for up to so many peers. @type {{ maxPeers: number, camera: VideoLimits, screenBps: number }[]} */
const STEPS = [
  { maxPeers: 1, camera: { heightPx: 720, frameRateFps: 30, bitrateBps: 1_500_000 }, screenBps: 2_500_000 },
  { maxPeers: 3, camera: { heightPx: 480, frameRateFps: 30, bitrateBps: 700_000 }, screenBps: 1_200_000 },
  { maxPeers: 7, camera: { heightPx: 360, frameRateFps: 24, bitrateBps: 300_000 }, screenBps: 600_000 },
  { maxPeers: Infinity, camera: { heightPx: 240, frameRateFps: 15, bitrateBps: 150_000 }, screenBps: 300_000 },
];

export const SPEECH_BPS = 40_000;
export const MUSIC_BPS = 128_000;

/** @param {number} peers without ourselves */
function stepFor(peers) {
  return STEPS.find((step) => peers <= step.maxPeers) ?? STEPS[STEPS.length - 1];
}

/**
 * @param {number} peers without ourselves
 * @returns {VideoLimits}
 */
export function cameraLimits(peers) {
  return stepFor(peers).camera;
}

/**
 * A shared screen keeps its size, because scaled text is hard to read. It has a low frame rate instead.
 * @param {number} peers without ourselves
 * @returns {VideoLimits}
 */
export function screenLimits(peers) {
  return { heightPx: Infinity, frameRateFps: 15, bitrateBps: stepFor(peers).screenBps };
}

/**
 * The value of `scaleResolutionDownBy` that keeps a video within its limits.
 * @param {{ width?: number, height?: number }} settings as captured
 * @param {VideoLimits} limits
 * @returns {number} at least 1
 */
export function scaleDownBy({ width, height }, { heightPx }) {
  if (width === undefined || height === undefined) return 1;
  return Math.max(1, Math.min(width, height) / heightPx);
}
