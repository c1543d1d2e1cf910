/**
 * The listening page's level display: the dial, the digits and the values for assistive technology. It draws only while
 * it is enabled.
 */

import { StereoMeter, ticksOf } from "../shared/meter.js";
import { setMeterValue } from "../shared/meterElement.js";
import { formatDecibels } from "./playerStrings.js";

/** How often the digits change: as fast as a person can read them. */
const DIGITS_INTERVAL_MS = 250;
/** How often assistive technology gets a new value: it may read each change aloud. */
const ARIA_INTERVAL_MS = 2000;

/**
 * @typedef {object} Channel
 * @property {"left" | "right"} side
 * @property {HTMLElement} meter element with `role="meter"`
 * @property {HTMLElement} digits
 */

export class LevelDisplay {
  #dial;
  #channels;
  /** With less motion, the dial changes as rarely as the digits. */
  #reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");
  /** @type {StereoMeter | null} null before the first stream, and where Web Audio fails */
  #meter = null;
  #frame = 0;
  #digitsMs = 0;
  #ariaMs = 0;

  /**
   * @param {HTMLElement} dial
   * @param {Channel[]} channels left, right
   */
  constructor(dial, channels) {
    this.#dial = dial;
    this.#channels = channels;
  }

  /**
   * Measures the sum of these streams. If Web Audio fails, the sound still plays. Call it in a user gesture.
   * @param {MediaStream[]} streams
   */
  measure(streams) {
    if (streams.length === 0) {
      this.#meter?.detach();
      return;
    }
    try {
      this.#meter ??= new StereoMeter(new AudioContext({ latencyHint: "playback" }));
      this.#meter.resume();
      this.#meter.attach(...streams);
    } catch (error) {
      console.warn("no level meters:", error);
    }
  }

  /** Resumes Web Audio. Call it in a user gesture. */
  resume() {
    this.#meter?.resume();
  }

  /** @param {boolean} enabled */
  setEnabled(enabled) {
    const running = enabled && this.#meter !== null;
    if (running && this.#frame === 0) this.#frame = requestAnimationFrame((nowMs) => this.#draw(nowMs));
    if (!running && this.#frame !== 0) {
      cancelAnimationFrame(this.#frame);
      this.#frame = 0;
      this.#clear();
    }
  }

  /** @param {number} nowMs */
  #draw(nowMs) {
    this.#frame = requestAnimationFrame((nextMs) => this.#draw(nextMs));
    if (this.#meter === null) return;
    const digitsDue = nowMs - this.#digitsMs >= DIGITS_INTERVAL_MS;
    if (this.#reducedMotion.matches && !digitsDue) return;
    const ariaDue = nowMs - this.#ariaMs >= ARIA_INTERVAL_MS;
    this.#meter.read(nowMs).forEach(({ levelDbfs, peakDbfs }, index) => {
      const { side, meter, digits } = this.#channels[index];
      this.#drawTicks(side, ticksOf(levelDbfs), ticksOf(peakDbfs));
      if (digitsDue) digits.textContent = formatDecibels(peakDbfs);
      if (ariaDue) setMeterValue(meter, peakDbfs);
    });
    if (digitsDue) this.#digitsMs = nowMs;
    if (ariaDue) this.#ariaMs = nowMs;
  }

  /**
   * Draws whole ticks only. Each is 0.4 dB wide.
   * @param {string} side
   * @param {number} level
   * @param {number} peak
   */
  #drawTicks(side, level, peak) {
    this.#dial.style.setProperty(`--${side}`, level > 0 ? `${Math.round(level) + 0.4}` : "0");
    this.#dial.style.setProperty(`--${side}-peak`, `${Math.round(peak)}`);
  }

  #clear() {
    for (const { side, meter, digits } of this.#channels) {
      this.#drawTicks(side, 0, 0);
      digits.textContent = formatDecibels(-Infinity);
      setMeterValue(meter, -Infinity);
    }
  }
}
