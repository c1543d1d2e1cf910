/**
 * The level of the local microphone: the bar in the preview, and the mark of the local tile.
 */

import { FLOOR_DBFS, StereoMeter } from "../../shared/meter.js";
import { setMeterValue } from "../../shared/meterElement.js";

export class MicrophoneMeter {
  #bar;
  /** @type {StereoMeter | null} null before the first track, and where Web Audio fails */
  #meter = null;
  /** @type {MediaStreamTrack | null} */
  #track = null;

  /** @param {HTMLElement} bar */
  constructor(bar) {
    this.#bar = bar;
  }

  /** @param {MediaStreamTrack | null} track */
  setTrack(track) {
    if (this.#track === track) return;
    this.#track = track;
    try {
      this.#meter ??= new StereoMeter(new AudioContext());
      if (track === null) this.#meter.detach();
      else this.#meter.attach(new MediaStream([track]));
      this.#meter.resume();
    } catch (error) {
      // The microphone works without a meter.
      console.warn("no level meter:", error);
    }
  }

  /** Resumes Web Audio. Call it in a user gesture. */
  resume() {
    this.#meter?.resume();
  }

  /**
   * @param {number} nowMs
   * @returns {number} dBFS of the louder channel, −∞ if nothing is measured
   */
  read(nowMs) {
    const levels = this.#track === null ? [] : this.#meter?.read(nowMs) ?? [];
    return Math.max(-Infinity, ...levels.map(({ levelDbfs }) => levelDbfs));
  }

  /** @param {number} dbfs */
  draw(dbfs) {
    const value = setMeterValue(this.#bar, dbfs);
    this.#bar.style.setProperty("--level", String(1 - value / FLOOR_DBFS));
  }
}
