/**
 * The tiles of a room: one for each person, one for each shared screen. A page module: it makes what is seen of them and
 * lays them out; it knows nothing of lines and servers.
 */

import { figuresOf } from "../peer/peerStats.js";
import { layoutOf } from "./gridLayout.js";
import { initialsOf } from "../../shared/roomName.js";
import { figureRows } from "./roomStrings.js";

/** Between two tiles, in px. */
const GAP_PX = 8;
/** Louder than breath and fans; 1 is full scale. */
const SPEECH = 0.015;
/** The mark of who speaks stays through pauses between words. */
const SPEECH_HOLD_MS = 700;

/**
 * @template {Element} T
 * @param {ParentNode} within
 * @param {string} selector
 * @param {new (...any: any[]) => T} type
 * @returns {T}
 */
function partOf(within, selector, type) {
  const element = within.querySelector(selector);
  if (!(element instanceof type)) throw new Error(`a tile has no ${selector}`);
  return element;
}

/**
 * A copy of what a template holds.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function copyOf(id) {
  const template = document.getElementById(id);
  if (!(template instanceof HTMLTemplateElement)) throw new Error(`the page has no template #${id}`);
  return /** @type {HTMLElement} */ (/** @type {Element} */ (template.content.firstElementChild).cloneNode(true));
}

/**
 * @param {HTMLMediaElement} element
 * @param {MediaStreamTrack | null} track
 * @returns {boolean} whether that changed anything
 */
function attach(element, track) {
  const held = /** @type {MediaStream | null} */ (element.srcObject)?.getTracks()[0] ?? null;
  if (held === track) return false;
  element.srcObject = track === null ? null : new MediaStream([track]);
  return track !== null;
}

export class Tile {
  element;
  #video;
  #audio;
  #face;
  #name;
  #line;
  #figures;
  #onRefused;
  /** @type {import("../peer/peerStats.js").Flow | null} */
  #flow = null;
  /** @type {MediaStreamTrack | null} */
  #picture = null;
  #spoke_ms = -Infinity;
  #called = "";

  /**
   * @param {{ own?: boolean, screen?: boolean, onWish?: () => void }} kind with `onWish`, a host may wish something of it
   * @param {() => void} onRefused the browser does not play sound without a tap
   */
  constructor({ own = false, screen = false, onWish }, onRefused) {
    this.element = copyOf("tile");
    this.#video = partOf(this.element, "video", HTMLVideoElement);
    this.#audio = partOf(this.element, "audio", HTMLAudioElement);
    this.#face = partOf(this.element, ".tile-face", HTMLElement);
    this.#name = partOf(this.element, ".tile-name", HTMLElement);
    this.#line = partOf(this.element, ".tile-line", HTMLElement);
    this.#figures = partOf(this.element, ".tile-figures", HTMLElement);
    this.#onRefused = onRefused;
    this.element.classList.toggle("own", own);
    this.element.classList.toggle("screen", screen);
    // The attribute alone does not silence an element that was cloned.
    this.#video.muted = true;
    const figures = partOf(this.element, "[data-tool=figures]", HTMLButtonElement);
    figures.hidden = own;
    figures.addEventListener("click", () => this.toggleFigures());
    partOf(this.element, "[data-tool=full]", HTMLButtonElement).addEventListener("click", () => this.fill());
    const wish = partOf(this.element, "[data-tool=wish]", HTMLButtonElement);
    wish.hidden = onWish === undefined;
    if (onWish !== undefined) wish.addEventListener("click", onWish);
    this.element.addEventListener("click", ({ target }) => {
      if (!(target instanceof Element && target.closest("button"))) this.element.classList.toggle("picked");
    });
    this.element.addEventListener("dblclick", (event) => {
      if (!(event.target instanceof Element && event.target.closest("button"))) this.fill();
    });
    // Systems pause what plays when a call comes in; nobody here wants a still picture.
    for (const media of [this.#video, this.#audio]) {
      media.addEventListener("pause", () => {
        if (media.srcObject !== null && document.visibilityState === "visible") this.play();
      });
    }
  }

  get id() {
    return this.element.dataset.peer ?? "";
  }

  /**
   * @param {{ called: string, note?: string, muted?: boolean, dark?: boolean, line?: string }} what
   */
  describe({ called, note = "", muted = false, dark = false, line = "" }) {
    const name = called + note;
    if (this.#called !== name) {
      this.#called = name;
      this.#name.textContent = name;
      this.#face.textContent = initialsOf(called);
      this.element.setAttribute("aria-label", name);
      partOf(this.element, "[data-tool=figures]", HTMLElement).setAttribute("aria-label", `Figures of ${name}`);
      partOf(this.element, "[data-tool=full]", HTMLElement).setAttribute("aria-label", `${name} on the full screen`);
      partOf(this.element, "[data-tool=wish]", HTMLElement).setAttribute("aria-label", `Mute or remove ${name}`);
    }
    if (this.#line.textContent !== line) this.#line.textContent = line;
    partOf(this.element, ".tile-muted", SVGElement).toggleAttribute("hidden", !muted);
    partOf(this.element, ".tile-dark", SVGElement).toggleAttribute("hidden", !dark);
    this.element.classList.toggle("silent", muted);
  }

  /**
   * @param {MediaStreamTrack | null} picture
   * @param {MediaStreamTrack | null} sound
   */
  show(picture, sound) {
    this.#picture = picture;
    const changed = [attach(this.#video, picture), attach(this.#audio, sound)];
    this.element.classList.toggle("lit", picture !== null);
    if (changed.includes(true)) this.play();
  }

  play() {
    if (this.#video.srcObject !== null) this.#video.play().catch(() => {});
    if (this.#audio.srcObject !== null) {
      this.#audio.play().catch((error) => {
        if (error.name === "NotAllowedError") this.#onRefused();
      });
    }
  }

  /** Nothing of it is to be heard, whatever it sends. @param {boolean} silent */
  silence(silent) {
    this.#audio.muted = silent;
  }

  /** @param {string} id of a loudspeaker, empty for the system's choice */
  speakBy(id) {
    this.#audio.setSinkId?.(id).catch(() => {});
  }

  /**
   * @param {number} level 0 to 1
   * @param {number} now_ms
   */
  hear(level, now_ms) {
    if (level > SPEECH) this.#spoke_ms = now_ms;
    this.element.classList.toggle("speaking", now_ms - this.#spoke_ms < SPEECH_HOLD_MS);
  }

  /** @param {import("../peer/peerStats.js").Flow} flow */
  count(flow) {
    const before = this.#flow;
    this.#flow = flow;
    if (before === null || this.#figures.hidden) return;
    const rows = figureRows(figuresOf(before, flow, this.#picture?.id ?? null));
    this.#figures.replaceChildren(...rows.flatMap(([term, value]) => {
      const [dt, dd] = ["dt", "dd"].map((each) => document.createElement(each));
      dt.textContent = term;
      dd.textContent = value;
      return [dt, dd];
    }));
  }

  toggleFigures() {
    this.#figures.hidden = !this.#figures.hidden;
    partOf(this.element, "[data-tool=figures]", HTMLElement).setAttribute("aria-pressed", String(!this.#figures.hidden));
    if (this.#flow !== null) this.count(this.#flow);
  }

  /** Full screen, and back. */
  fill() {
    if (document.fullscreenElement !== null && document.fullscreenElement !== undefined) {
      void document.exitFullscreen();
    } else if (typeof this.element.requestFullscreen === "function") {
      this.element.requestFullscreen().catch(() => {});
    } else {
      // iPhones fill the screen with a video only.
      /** @type {any} */ (this.#video).webkitEnterFullscreen?.();
    }
  }

  remove() {
    this.show(null, null);
    this.element.remove();
  }
}

/** The space in which tiles stand. */
export class Grid {
  #space;
  #tiles;

  /**
   * @param {HTMLElement} space
   * @param {HTMLElement} tiles
   */
  constructor(space, tiles) {
    this.#space = space;
    this.#tiles = tiles;
    new ResizeObserver(() => this.layOut()).observe(space);
    new MutationObserver(() => this.layOut()).observe(tiles, { childList: true });
  }

  layOut() {
    const { clientWidth, clientHeight } = this.#space;
    const { columns, width_px, height_px } = layoutOf(this.#tiles.childElementCount, clientWidth, clientHeight, GAP_PX);
    for (const [name, value] of [["--columns", columns], ["--tile-width", `${width_px}px`], ["--tile-height", `${height_px}px`]]) {
      this.#tiles.style.setProperty(String(name), String(value));
    }
  }
}
