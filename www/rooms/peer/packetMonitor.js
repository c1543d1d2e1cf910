/**
 * Whether anything still comes through a line, by its packets: what a connection says of its own state is not believed.
 * Pure: time is given.
 */

/** Nothing came in for this long, though the other sends: the line is dead, whatever its state says. */
const STALL_MS = 6000;
/** Looked at as rarely as this, the page or the computer slept, and that is not the other's silence. */
const SLEPT_MS = 3000;

export class Watch {
  #packets = 0;
  #progress_ms;
  #looked_ms;
  /** Something has come through since the line was made, or was sent another way. */
  lived = false;

  /** @param {number} now_ms */
  constructor(now_ms) {
    this.#progress_ms = now_ms;
    this.#looked_ms = now_ms;
  }

  /** The line stands, or stands again: silence counts from now. @param {number} now_ms */
  begin(now_ms) {
    this.#progress_ms = now_ms;
  }

  /** Somebody looks, as it is done every second. @param {number} now_ms */
  look(now_ms) {
    if (now_ms - this.#looked_ms > SLEPT_MS) this.#progress_ms = now_ms;
    this.#looked_ms = now_ms;
  }

  /**
   * @param {number} packets that came in so far
   * @param {boolean} still nothing is to be expected on a line that stands
   * @param {number} now_ms
   * @returns {boolean} whether that is a sign of life
   */
  count(packets, still, now_ms) {
    if (packets <= this.#packets && !still) return false;
    this.#packets = Math.max(packets, this.#packets);
    this.#progress_ms = now_ms;
    return true;
  }

  /** @param {number} now_ms */
  stalled(now_ms) {
    return now_ms - this.#progress_ms > STALL_MS;
  }
}
