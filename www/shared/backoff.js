/**
 * When to retry: exponential backoff with jitter. Pure: it is told the time and starts no timer.
 *
 * The delay doubles from half a second to 15 seconds. Random jitter shortens it by up to half, so that a thousand clients
 * of a restarted server do not all reconnect in the same instant.
 */

/** First delay: a server that restarts is often back within a second. */
const FIRST_DELAY_MS = 500;
/** Longest delay: a person who waits for the server accepts this much. */
const LONGEST_DELAY_MS = 15_000;
/** Jitter leaves at least this share of a delay. */
const LEAST_SHARE = 0.5;

export class Backoff {
  #failures = 0;
  #notBeforeMs = 0;
  /** @type {number | null} */
  #dueMs = null;
  #random;

  /** @param {() => number} random in [0, 1) */
  constructor(random = Math.random) {
    this.#random = random;
  }

  /** Time of the next attempt, or null when none is scheduled. */
  get dueMs() {
    return this.#dueMs;
  }

  /**
   * An attempt failed, or an established connection was lost.
   * @param {number} nowMs
   * @param {number} retryAfterMs from the server's `Retry-After`, 0 if absent
   * @returns {number} time of the next attempt
   */
  failed(nowMs, retryAfterMs = 0) {
    const longestMs = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(this.#failures, 16));
    const delayMs = longestMs * (LEAST_SHARE + (1 - LEAST_SHARE) * this.#random());
    this.#failures += 1;
    this.#notBeforeMs = nowMs + retryAfterMs;
    this.#dueMs = Math.max(nowMs + delayMs, this.#notBeforeMs);
    return this.#dueMs;
  }

  /**
   * Makes a scheduled attempt due now, for example because the network is back. It is never earlier than the server's
   * `Retry-After`.
   * @param {number} nowMs
   * @returns {number | null} time of the next attempt, null when none was scheduled
   */
  retryNow(nowMs) {
    if (this.#dueMs !== null) this.#dueMs = Math.max(Math.min(this.#dueMs, nowMs), this.#notBeforeMs);
    return this.#dueMs;
  }

  /** The scheduled attempt has started. */
  attemptStarted() {
    this.#dueMs = null;
  }

  /** The connection works, or is not wanted any more: the next failure starts with the first delay. */
  reset() {
    this.#failures = 0;
    this.#notBeforeMs = 0;
    this.#dueMs = null;
  }
}
