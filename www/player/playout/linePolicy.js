/**
 * Whether the line is good enough for direct playout. On a bad line the browser's own jitter buffer sounds better, and is not
 * much later. Pure.
 */

import { SAMPLE_RATE_HZ } from "./playoutBuffer.js";
import { SlidingSum } from "./slidingSum.js";

/** Reports that are looked at together, one for each second. */
const REPORTS = 10;
/** More made-up sound than this among them is a bad line: 100 ms. */
const MAX_CONCEALED = SAMPLE_RATE_HZ / 10;
/** How long the browser's own buffer plays after the line was found bad; twice as long each time. */
const FIRST_PAUSE_MS = 60_000;
const MAX_PAUSE_MS = 16 * FIRST_PAUSE_MS;

export class LinePolicy {
  #concealed = new SlidingSum(REPORTS);
  #pauseMs = FIRST_PAUSE_MS;

  /**
   * @param {number} concealed samples that were made up in the last second
   * @returns {number} for how many milliseconds direct playout should pause; 0 for none
   */
  report(concealed) {
    if (this.#concealed.add(concealed) <= MAX_CONCEALED) return 0;
    this.#concealed.clear();
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS);
    return pauseMs;
  }
}
