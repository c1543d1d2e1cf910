/**
 * The host's station as a tile, and what switches it on and off: a page module around the same tuner that the listening
 * page has.
 */

import { buttonsOf, press } from "../../shared/dom.js";
import { endpointOf } from "../../shared/status.js";
import { copyOf } from "./tile.js";
import { Tuner } from "../../player/player.js";
import { wordsOf } from "../../player/playerStrings.js";

export class StationTile {
  element;
  #audio;
  #line;
  #tuner;
  #onRefused;

  /**
   * @param {{ name: string, title: string, key: () => string | null, onRefused: () => void }} what
   */
  constructor({ name, title, key, onRefused }) {
    this.#onRefused = onRefused;
    this.element = copyOf("station-tile");
    this.#audio = /** @type {HTMLAudioElement} */ (this.element.querySelector("audio"));
    this.#line = /** @type {HTMLElement} */ (this.element.querySelector(".tile-line"));
    const name_part = /** @type {HTMLElement} */ (this.element.querySelector(".tile-name"));
    name_part.textContent = title;
    this.element.setAttribute("aria-label", title);
    const volume = /** @type {HTMLInputElement} */ (this.element.querySelector("input"));
    const setVolume = () => {
      // As on the listening page: the middle shall sound like half.
      this.#audio.volume = (Number(volume.value) / 100) ** 2;
      volume.style.setProperty("--value", volume.value);
    };
    volume.addEventListener("input", setVolume);
    setVolume();
    this.#tuner = new Tuner({ endpoint: endpointOf(name), key }, {
      onState: (state) => {
        const words = wordsOf(state, { tap_needed: false, online: navigator.onLine, station: null, muted: false });
        const status = state.kind === "failed" && state.reason === "uninvited" ? "For those who were invited" : words.status;
        this.element.dataset.state = state.kind;
        if (this.#line.textContent !== status) this.#line.textContent = status;
      },
      onStream: (stream) => {
        this.#audio.srcObject = stream;
        this.play();
      },
      onHistory: () => {},
    });
  }

  /** Call it within a tap. */
  start() {
    this.#tuner.start();
  }

  play() {
    if (this.#audio.srcObject === null) return;
    this.#audio.play().catch((error) => {
      if (error.name === "NotAllowedError") this.#onRefused();
    });
  }

  hurry() {
    this.#tuner.hurry();
  }

  /** @param {string} id of a loudspeaker */
  speakBy(id) {
    this.#audio.setSinkId?.(id).catch(() => {});
  }

  /** @param {boolean} leaving the page goes away */
  stop(leaving = false) {
    this.#tuner.stop(leaving);
    this.element.remove();
  }
}

export class StationSwitch {
  #space;
  #key;
  #onRefused;
  /** @type {StationTile | null} */
  #tile = null;
  /** Empty while the host has none. */
  #name = "";
  #speaker = "";
  title = "Sound of this host";

  /**
   * @param {HTMLElement} space
   * @param {() => string | null} key
   * @param {() => void} onRefused the browser does not play sound without a tap
   */
  constructor(space, key, onRefused) {
    this.#space = space;
    this.#key = key;
    this.#onRefused = onRefused;
  }

  get #buttons() {
    return [...buttonsOf("station")].filter((button) => !this.#space.contains(button));
  }

  /** @param {string | null} name */
  offer(name) {
    this.#name = name ?? "";
    for (const button of this.#buttons) button.hidden = name === null;
    if (name === null) this.set(false);
  }

  toggle() {
    this.set(this.#tile === null);
  }

  /** @param {boolean} on */
  set(on) {
    if (on && this.#tile === null && this.#name !== "") {
      this.#tile = new StationTile({ name: this.#name, title: this.title, key: this.#key, onRefused: this.#onRefused });
      this.#tile.speakBy(this.#speaker);
      this.#space.append(this.#tile.element);
      this.#tile.start();
    } else if (!on && this.#tile !== null) {
      this.#tile.stop();
      this.#tile = null;
    }
    press(this.#buttons, this.#tile !== null, "Station");
  }

  play() {
    this.#tile?.play();
  }

  hurry() {
    this.#tile?.hurry();
  }

  /** The page goes away. */
  part() {
    this.#tile?.stop(true);
  }

  /** @param {string} id of a loudspeaker */
  speakBy(id) {
    this.#speaker = id;
    this.#tile?.speakBy(id);
  }
}
