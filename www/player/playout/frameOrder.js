/**
 * The order of encoded frames: a position on one timeline for each RTP timestamp, and none for frames that come too late. Pure.
 */

/** Timestamps are counted modulo this (RFC 3550, section 5.1). */
const TIMESTAMPS = 2 ** 32;
/** A frame that is older than this is not late: the stream has begun anew. In samples: 2 s. */
const MAX_LATENESS = 96_000;

export class FrameOrder {
  /** @type {number | null} */
  #lastTimestamp = null;
  #lastPosition = 0;

  /**
   * @param {number} timestamp RTP timestamp, 32 bits
   * @returns {number | null} null for a frame that is late or doubled
   */
  positionOf(timestamp) {
    if (this.#lastTimestamp !== null) {
      const forward = (timestamp - this.#lastTimestamp + TIMESTAMPS) % TIMESTAMPS;
      const step = forward < TIMESTAMPS / 2 ? forward : forward - TIMESTAMPS;
      if (step <= 0 && step > -MAX_LATENESS) return null;
      this.#lastPosition += step;
    }
    this.#lastTimestamp = timestamp;
    return this.#lastPosition;
  }
}
