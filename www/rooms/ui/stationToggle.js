/**
 * Adds and removes the tile of the host's station.
 */

import { buttonsFor, setPressed } from "../../shared/dom.js";
import { DEFAULT_TITLE } from "../../shared/stationStrings.js";
import { StationTile } from "./stationTile.js";

export class StationToggle {
  #grid;
  #token;
  #onPlayRefused;
  /** @type {StationTile | null} */
  #tile = null;
  /** Empty while the host has no station. */
  #name = "";
  #speakerId = "";
  title = DEFAULT_TITLE;

  /**
   * @param {HTMLElement} grid
   * @param {() => string | null} token access token
   * @param {() => void} onPlayRefused the browser does not play audio without a user gesture
   */
  constructor(grid, token, onPlayRefused) {
    this.#grid = grid;
    this.#token = token;
    this.#onPlayRefused = onPlayRefused;
  }

  /** The buttons, without the tile's own. */
  get #buttons() {
    return buttonsFor("station").filter((button) => !this.#grid.contains(button));
  }

  /** @param {string | null} name of the station, null if there is none */
  setStation(name) {
    this.#name = name ?? "";
    for (const button of this.#buttons) button.hidden = name === null;
    if (name === null) this.setOn(false);
  }

  toggle() {
    this.setOn(this.#tile === null);
  }

  /** @param {boolean} on */
  setOn(on) {
    if (on && this.#tile === null && this.#name !== "") {
      this.#tile = new StationTile({ name: this.#name, title: this.title, token: this.#token, onPlayRefused: this.#onPlayRefused });
      this.#tile.setSpeaker(this.#speakerId);
      this.#grid.append(this.#tile.element);
      this.#tile.start();
    } else if (!on && this.#tile !== null) {
      this.#tile.stop();
      this.#tile = null;
    }
    setPressed(this.#buttons, this.#tile !== null, "Station");
  }

  play() {
    this.#tile?.play();
  }

  networkChanged() {
    this.#tile?.networkChanged();
  }

  /** The page is being closed. */
  pageClosed() {
    this.#tile?.stop(true);
  }

  /** @param {string} id of the speaker */
  setSpeaker(id) {
    this.#speakerId = id;
    this.#tile?.setSpeaker(id);
  }
}
