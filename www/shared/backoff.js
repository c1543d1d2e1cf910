/**
 * When to try again: a pure back-off that is told the time and touches neither clock nor timer.
 *
 * The wait doubles from half a second to a quarter of a minute. Each is shortened by chance, so that a thousand listeners
 * of a restarted host do not all come back in the same instant.
 */

/** First wait: a host that restarts is often back within a second. */
const FIRST_MS = 500;
/** Longest wait: what somebody who brings the host back is willing to sit through. */
const LONGEST_MS = 15_000;
/** A wait is between this part of itself and the whole. */
const LEAST_PART = 0.5;

export class Reconnect {
  #attempts = 0;
  #not_before_ms = 0;
  /** @type {number | null} */
  #due_ms = null;
  #random;

  /** @param {() => number} random in [0, 1), given by tests */
  constructor(random = Math.random) {
    this.#random = random;
  }

  /** Time of the next try, or null when none is planned. */
  get due_ms() {
    return this.#due_ms;
  }

  /** Tries since sound was last heard. */
  get attempts() {
    return this.#attempts;
  }

  /**
   * The connection broke, or could not be made.
   * @param {number} now_ms
   * @param {number} retry_after_ms what the server asked for, 0 if nothing
   * @returns {number} time of the next try
   */
  broken(now_ms, retry_after_ms = 0) {
    const whole_ms = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(this.#attempts, 16));
    const wait_ms = whole_ms * (LEAST_PART + (1 - LEAST_PART) * this.#random());
    this.#attempts += 1;
    this.#not_before_ms = now_ms + retry_after_ms;
    this.#due_ms = Math.max(now_ms + wait_ms, this.#not_before_ms);
    return this.#due_ms;
  }

  /**
   * Something changed for the better (the network is back, the page is looked at again): try now, yet never before the
   * server's own `Retry-After`.
   * @param {number} now_ms
   * @returns {number | null} time of the next try, null when none was planned
   */
  hurry(now_ms) {
    if (this.#due_ms !== null) {
      this.#due_ms = Math.max(Math.min(this.#due_ms, now_ms), this.#not_before_ms);
    }
    return this.#due_ms;
  }

  /** The try that was due has begun. */
  trying() {
    this.#due_ms = null;
  }

  /** Sound is heard, or nobody wants it any more: the next break starts from the first wait. */
  reset() {
    this.#attempts = 0;
    this.#not_before_ms = 0;
    this.#due_ms = null;
  }
}
