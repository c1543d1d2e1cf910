/**
 * The volume slider of the listening page, and muting by a key. The position is stored for the next visit.
 */

import { loadSetting, saveSetting } from "../shared/storage.js";
import { volumeOf } from "../shared/volume.js";

/**
 * @typedef {object} Elements
 * @property {HTMLAudioElement} audio
 * @property {HTMLInputElement} slider 0 to 100
 * @property {HTMLElement} value the position as text
 * @property {HTMLElement} row contains slider and value
 * @property {HTMLElement} note shown where a page cannot set the volume
 */

export class VolumeControl {
  #elements;
  #onChange;
  /** Position before muting. */
  #unmutedValue = "100";

  /**
   * @param {Elements} elements
   * @param {() => void} onChange
   */
  constructor(elements, onChange) {
    this.#elements = elements;
    this.#onChange = onChange;
    elements.slider.addEventListener("input", () => this.#apply());
  }

  get muted() {
    return this.#elements.slider.value === "0";
  }

  /** Sets the stored volume. */
  restore() {
    const { audio, slider, row, note } = this.#elements;
    const stored = Number.parseInt(loadSetting("volume") ?? "", 10);
    if (stored >= 0 && stored <= 100) slider.value = String(stored);

    // On iOS only the hardware buttons set the volume: the property accepts any value and stays 1.
    audio.volume = 0.5;
    const fixed = audio.volume !== 0.5;
    row.hidden = fixed;
    note.hidden = !fixed;
    if (fixed) slider.value = "100";
    this.#apply();
  }

  toggleMute() {
    const { slider, row } = this.#elements;
    if (row.hidden) return;
    if (this.muted) {
      slider.value = this.#unmutedValue;
    } else {
      this.#unmutedValue = slider.value;
      slider.value = "0";
    }
    this.#apply();
  }

  #apply() {
    const { audio, slider, value } = this.#elements;
    audio.volume = volumeOf(Number(slider.value));
    audio.muted = this.muted;
    value.textContent = `${slider.value} %`;
    slider.style.setProperty("--value", slider.value);
    saveSetting("volume", slider.value);
    this.#onChange();
  }
}
