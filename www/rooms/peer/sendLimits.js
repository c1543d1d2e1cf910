/**
 * How much of one's uplink each of the others gets. Pure.
 *
 * In a mesh everybody sends to everybody, so what leaves grows with the number of people. A room of eight has to fit the
 * two megabits of an ordinary home uplink: seven pictures of 300 kbit/s do.
 */

/**
 * @typedef {object} Budget
 * @property {number} bitrate_bps of one picture to one person
 * @property {number} height_px of the picture's shorter side
 * @property {number} rate_fps
 */

/** @type {{ others: number, camera: Budget, screen_bps: number }[]} up to so many others */
const STEPS = [
  { others: 1, camera: { bitrate_bps: 1_500_000, height_px: 720, rate_fps: 30 }, screen_bps: 2_500_000 },
  { others: 3, camera: { bitrate_bps: 700_000, height_px: 480, rate_fps: 30 }, screen_bps: 1_200_000 },
  { others: 7, camera: { bitrate_bps: 300_000, height_px: 360, rate_fps: 24 }, screen_bps: 600_000 },
  { others: Infinity, camera: { bitrate_bps: 150_000, height_px: 240, rate_fps: 15 }, screen_bps: 300_000 },
];

/** Bits per second of speech, and of music. */
export const VOICE_BPS = 40_000;
export const MUSIC_BPS = 128_000;

/** @param {number} others people besides oneself */
function stepOf(others) {
  return STEPS.find((step) => others <= step.others) ?? STEPS[STEPS.length - 1];
}

/**
 * @param {number} others people besides oneself
 * @returns {Budget}
 */
export function cameraBudget(others) {
  return stepOf(others).camera;
}

/**
 * A shared screen keeps its size, because text that is scaled cannot be read; it gives up pictures per second instead.
 * @param {number} others people besides oneself
 * @returns {Budget}
 */
export function screenBudget(others) {
  return { bitrate_bps: stepOf(others).screen_bps, height_px: Infinity, rate_fps: 15 };
}

/**
 * By what a picture has to be divided to keep to its budget.
 * @param {{ width?: number, height?: number }} picture as it is captured
 * @param {Budget} budget
 * @returns {number} at least 1
 */
export function scaleOf({ width, height }, { height_px }) {
  if (width === undefined || height === undefined) return 1;
  return Math.max(1, Math.min(width, height) / height_px);
}
