/**
 * The tile of a person or of a shared screen: video, audio, name and buttons.
 */

import { childOf, cloneTemplate, createElement, exitFullscreen, isFullscreen, isPageVisible, setTextOf } from "../../shared/dom.js";
import { statsOf } from "../peer/peerStats.js";
import { initialsOf } from "./displayName.js";
import { statisticsRows } from "./roomStrings.js";

/** Levels above this are speech, below it breath and fans; 1 is full scale. */
const SPEECH_LEVEL = 0.015;
/** A person counts as speaking through pauses of this length. */
const SPEECH_HOLD_MS = 700;

/**
 * @typedef {object} TileOptions
 * @property {boolean} [isLocal]
 * @property {boolean} [isScreen]
 * @property {() => void} [onModerate] opens the moderator's dialog for this person
 * @property {() => void} onPlayRefused the browser does not play audio without a user gesture
 */

/**
 * @typedef {object} TileInfo
 * @property {string} name
 * @property {string} [suffix] after the name
 * @property {boolean} [muted]
 * @property {boolean} [cameraOff]
 * @property {string} [status] of the connection
 */

/**
 * @param {HTMLMediaElement} element
 * @param {MediaStreamTrack | null} track
 * @returns {boolean} whether the element has a new track to play
 */
function setTrack(element, track) {
  const current = /** @type {MediaStream | null} */ (element.srcObject)?.getTracks()[0] ?? null;
  if (current === track) return false;
  element.srcObject = track === null ? null : new MediaStream([track]);
  return track !== null;
}

/** @param {Event} event */
const isOnButton = ({ target }) => target instanceof Element && target.closest("button") !== null;

export class Tile {
  element = cloneTemplate("tile-template");
  #video = childOf(this.element, "video", HTMLVideoElement);
  #audio = childOf(this.element, "audio", HTMLAudioElement);
  #initials = childOf(this.element, ".tile-initials", HTMLElement);
  #name = childOf(this.element, ".tile-name", HTMLElement);
  #status = childOf(this.element, ".tile-status", HTMLElement);
  #statistics = childOf(this.element, ".tile-statistics", HTMLElement);
  #statisticsButton = childOf(this.element, "[data-tool=statistics]", HTMLButtonElement);
  #fullscreenButton = childOf(this.element, "[data-tool=fullscreen]", HTMLButtonElement);
  #moderateButton = childOf(this.element, "[data-tool=moderate]", HTMLButtonElement);
  #onPlayRefused;
  /** @type {import("../peer/peerStats.js").Snapshot | null} */
  #snapshot = null;
  /** @type {MediaStreamTrack | null} */
  #videoTrack = null;
  #spokeMs = -Infinity;
  #label = "";

  /** @param {TileOptions} options */
  constructor({ isLocal = false, isScreen = false, onModerate, onPlayRefused }) {
    this.#onPlayRefused = onPlayRefused;
    this.element.classList.toggle("local", isLocal);
    this.element.classList.toggle("screen", isScreen);
    // The attribute in the template does not mute a cloned element.
    this.#video.muted = true;
    this.#statisticsButton.hidden = isLocal;
    this.#statisticsButton.addEventListener("click", () => this.#toggleStatistics());
    this.#fullscreenButton.addEventListener("click", () => this.#toggleFullscreen());
    this.#moderateButton.hidden = onModerate === undefined;
    if (onModerate !== undefined) this.#moderateButton.addEventListener("click", onModerate);
    this.element.addEventListener("click", (event) => {
      if (!isOnButton(event)) this.element.classList.toggle("selected");
    });
    this.element.addEventListener("dblclick", (event) => {
      if (!isOnButton(event)) this.#toggleFullscreen();
    });
    // The system may pause media elements, for example for a phone call.
    for (const media of [this.#video, this.#audio]) {
      media.addEventListener("pause", () => {
        if (media.srcObject !== null && isPageVisible()) this.play();
      });
    }
  }

  /** @param {TileInfo} info */
  setInfo({ name, suffix = "", muted = false, cameraOff = false, status = "" }) {
    const label = name + suffix;
    if (this.#label !== label) {
      this.#label = label;
      this.#name.textContent = label;
      this.#initials.textContent = initialsOf(name);
      this.element.setAttribute("aria-label", label);
      this.#statisticsButton.setAttribute("aria-label", `Statistics of ${label}`);
      this.#fullscreenButton.setAttribute("aria-label", `Show ${label} in full screen`);
      this.#moderateButton.setAttribute("aria-label", `Mute or remove ${label}`);
    }
    setTextOf(this.#status, status);
    childOf(this.element, ".tile-muted", SVGElement).toggleAttribute("hidden", !muted);
    childOf(this.element, ".tile-camera-off", SVGElement).toggleAttribute("hidden", !cameraOff);
  }

  /**
   * @param {MediaStreamTrack | null} video
   * @param {MediaStreamTrack | null} audio
   */
  setTracks(video, audio) {
    this.#videoTrack = video;
    const changed = [setTrack(this.#video, video), setTrack(this.#audio, audio)];
    this.element.classList.toggle("has-video", video !== null);
    if (changed.includes(true)) this.play();
  }

  play() {
    // Most browsers play pictures without asking, but not iPhones that save power.
    for (const media of [this.#video, this.#audio]) {
      if (media.srcObject === null) continue;
      media.play().catch((error) => {
        if (error.name === "NotAllowedError") this.#onPlayRefused();
      });
    }
  }

  /** Plays no audio, whatever the peer sends. @param {boolean} muted */
  setAudioMuted(muted) {
    this.#audio.muted = muted;
  }

  /** @param {string} id of the speaker, empty for the system's default */
  setSpeaker(id) {
    this.#audio.setSinkId?.(id).catch(() => {});
  }

  /**
   * Marks the tile while the person speaks.
   * @param {number} level 0 to 1
   * @param {number} nowMs
   */
  updateLevel(level, nowMs) {
    if (level > SPEECH_LEVEL) this.#spokeMs = nowMs;
    this.element.classList.toggle("speaking", nowMs - this.#spokeMs < SPEECH_HOLD_MS);
  }

  /** @param {import("../peer/peerStats.js").Snapshot} snapshot */
  updateStatistics(snapshot) {
    const before = this.#snapshot;
    this.#snapshot = snapshot;
    if (before === null || this.#statistics.hidden) return;
    const rows = statisticsRows(statsOf(before, snapshot, this.#videoTrack?.id ?? null));
    this.#statistics.replaceChildren(...rows.flatMap(([term, value]) => [createElement("dt", term), createElement("dd", value)]));
  }

  #toggleStatistics() {
    this.#statistics.hidden = !this.#statistics.hidden;
    this.#statisticsButton.setAttribute("aria-pressed", String(!this.#statistics.hidden));
    if (this.#snapshot !== null) this.updateStatistics(this.#snapshot);
  }

  #toggleFullscreen() {
    if (isFullscreen()) {
      exitFullscreen();
    } else if (typeof this.element.requestFullscreen === "function") {
      this.element.requestFullscreen().catch(() => {});
    } else {
      // On iPhones only a video can be in full screen.
      /** @type {any} */ (this.#video).webkitEnterFullscreen?.();
    }
  }

  remove() {
    this.setTracks(null, null);
    this.element.remove();
  }
}
