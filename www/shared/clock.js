/**
 * Time, timers and chance, as classes with timeouts use them. Tests pass a virtual clock instead.
 */

/**
 * @typedef {object} Clock
 * @property {() => number} now milliseconds; never goes back
 * @property {(callback: () => void, delayMs: number) => number} setTimeout
 * @property {(timer: number | undefined) => void} clearTimeout
 * @property {() => number} random in [0, 1)
 */

/** @type {Clock} */
export const browserClock = {
  now: () => performance.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, delayMs),
  clearTimeout: (timer) => clearTimeout(timer),
  random: Math.random,
};
