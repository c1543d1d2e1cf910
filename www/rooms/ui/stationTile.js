/**
 * The host's station as a tile, with the same player as the listening page.
 */

import { Player } from "../../player/player.js";
import { statusStrings } from "../../player/playerStrings.js";
import { childOf, cloneTemplate, setTextOf } from "../../shared/dom.js";
import { whepEndpoint } from "../../shared/status.js";
import { volumeOf } from "../../shared/volume.js";

/**
 * @typedef {object} StationTileOptions
 * @property {string} name of the station
 * @property {string} title
 * @property {() => string | null} token access token
 * @property {() => void} onPlayRefused the browser does not play audio without a user gesture
 */

export class StationTile {
  element = cloneTemplate("station-tile-template");
  #audio = childOf(this.element, "audio", HTMLAudioElement);
  #volume = childOf(this.element, "input", HTMLInputElement);
  #status = childOf(this.element, ".tile-status", HTMLElement);
  #player;
  #onPlayRefused;

  /** @param {StationTileOptions} options */
  constructor({ name, title, token, onPlayRefused }) {
    this.#onPlayRefused = onPlayRefused;
    childOf(this.element, ".tile-name", HTMLElement).textContent = title;
    this.element.setAttribute("aria-label", title);
    this.#volume.addEventListener("input", () => this.#setVolume());
    this.#setVolume();
    this.#player = new Player({ url: whepEndpoint(name), token }, {
      onState: (state) => this.#showState(state),
      onStream: (stream) => {
        this.#audio.srcObject = stream;
        this.play();
      },
    });
  }

  /** Call it in a user gesture. */
  start() {
    this.#player.start();
  }

  play() {
    if (this.#audio.srcObject === null) return;
    this.#audio.play().catch((error) => {
      if (error.name === "NotAllowedError") this.#onPlayRefused();
    });
  }

  networkChanged() {
    this.#player.networkChanged();
  }

  /** @param {string} id of the speaker */
  setSpeaker(id) {
    this.#audio.setSinkId?.(id).catch(() => {});
  }

  /** @param {boolean} keepalive the page is being closed */
  stop(keepalive = false) {
    this.#player.stop(keepalive);
    this.element.remove();
  }

  /** @param {import("../../player/player.js").PlayerState} state */
  #showState(state) {
    const { status } = statusStrings(state, { needsTap: false, online: navigator.onLine, station: null, muted: false });
    const unauthorized = state.kind === "failed" && state.reason === "unauthorized";
    this.element.dataset.state = state.kind;
    setTextOf(this.#status, unauthorized ? "For invited people" : status);
  }

  #setVolume() {
    this.#audio.volume = volumeOf(Number(this.#volume.value));
    this.#volume.style.setProperty("--value", this.#volume.value);
  }
}
