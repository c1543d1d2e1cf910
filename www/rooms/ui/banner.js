/**
 * A banner above the tiles. It is hidden while it has no text, and after a while if a duration is given.
 */

import { setTextOf } from "../../shared/dom.js";

export class Banner {
  #element;
  /** @type {number | undefined} */
  #timer;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  /**
   * @param {string} text empty to hide the banner
   * @param {number} durationMs
   */
  show(text, durationMs = Infinity) {
    clearTimeout(this.#timer);
    setTextOf(this.#element, text);
    this.#element.hidden = text === "";
    if (text !== "" && durationMs !== Infinity) this.#timer = setTimeout(() => this.hide(), durationMs);
  }

  hide() {
    this.#element.hidden = true;
  }
}
