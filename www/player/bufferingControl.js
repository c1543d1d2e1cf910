/**
 * The choice how much sound the browser keeps before it plays: *live* as little as the line permits, *relaxed* so much that a
 * bad line is not heard. It is stored for the next visit.
 */

import { loadSetting, saveSetting } from "../shared/storage.js";

/** What the jitter buffer holds at least, in milliseconds. */
const TARGET_MS = { live: 0, relaxed: 400 };

/** @typedef {keyof typeof TARGET_MS} Buffering */

export class BufferingControl {
  #choices;
  #onChange;

  /**
   * @param {HTMLElement} row hidden where the browser decides alone
   * @param {HTMLInputElement[]} choices radio buttons, whose values are `Buffering`
   * @param {(targetMs: number) => void} onChange
   */
  constructor(row, choices, onChange) {
    this.#choices = choices;
    this.#onChange = onChange;
    const receiver = globalThis.RTCRtpReceiver?.prototype ?? {};
    row.hidden = !("jitterBufferTarget" in receiver || "playoutDelayHint" in receiver);
    for (const choice of choices) {
      choice.addEventListener("change", () => {
        saveSetting("buffering", choice.value === "live" ? null : choice.value);
        this.#apply();
      });
    }
  }

  /** Sets the stored choice. */
  restore() {
    const stored = loadSetting("buffering");
    for (const choice of this.#choices) choice.checked = choice.value === (stored === "relaxed" ? stored : "live");
    this.#apply();
  }

  #apply() {
    const chosen = this.#choices.find(({ checked }) => checked)?.value;
    this.#onChange(TARGET_MS[chosen === "relaxed" ? chosen : "live"]);
  }
}
