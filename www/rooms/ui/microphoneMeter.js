/**
 * How loud one's own microphone is: the bar before the door, and the mark of who speaks. A page module around the meter.
 */

import { FLOOR_DBFS, StereoMeter } from "../../shared/meter.js";

export class OwnLevel {
  #bar;
  /** @type {StereoMeter | null} */
  #meter = null;
  /** @type {MediaStreamTrack | null} */
  #measured = null;

  /** @param {HTMLElement} bar */
  constructor(bar) {
    this.#bar = bar;
  }

  /** @param {MediaStreamTrack | null} track */
  measure(track) {
    if (this.#measured === track) return;
    this.#measured = track;
    try {
      this.#meter ??= new StereoMeter(new AudioContext());
      if (track === null) this.#meter.detach();
      else this.#meter.attach(new MediaStream([track]));
      this.#meter.wake();
    } catch (error) {
      // Levels are an extra: where Web Audio fails, one is heard all the same.
      console.warn("no level meter:", error);
    }
  }

  /** Within a tap: a browser may have put Web Audio to sleep. */
  wake() {
    this.#meter?.wake();
  }

  /**
   * @param {number} now_ms
   * @returns {number} of the louder channel, −∞ where nothing is measured
   */
  read(now_ms) {
    const levels = this.#measured === null ? [] : this.#meter?.read(now_ms) ?? [];
    return Math.max(-Infinity, ...levels.map(({ level_dbfs }) => level_dbfs));
  }

  /** @param {number} dbfs */
  draw(dbfs) {
    const within = Math.round(Math.min(0, Math.max(FLOOR_DBFS, dbfs)));
    this.#bar.style.setProperty("--level", String(1 - within / FLOOR_DBFS));
    if (this.#bar.getAttribute("aria-valuenow") === String(within)) return;
    this.#bar.setAttribute("aria-valuenow", String(within));
    this.#bar.setAttribute("aria-valuetext", within === FLOOR_DBFS ? "silence" : `${within} decibels`);
  }
}
