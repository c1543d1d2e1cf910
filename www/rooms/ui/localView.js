/**
 * How local media is shown: the preview, the state of the buttons, the local tile, and a tile of the shared screen.
 */

import { announce, buttonsFor, byId, setPressed, setText } from "../../shared/dom.js";
import { MicrophoneMeter } from "./microphoneMeter.js";
import { joinIntent } from "./joinIntent.js";
import { joinLabel } from "./roomStrings.js";
import { Tile } from "./tile.js";

export class LocalView {
  #media;
  #grid;
  #callbacks;
  #meter = new MicrophoneMeter(byId("microphone-level", HTMLElement));
  #previewVideo = byId("preview-video", HTMLVideoElement);
  /** @type {Tile | null} while in the room */
  #tile = null;
  /** @type {Tile | null} while a screen is shared */
  #screenTile = null;
  /** @type {MediaStreamTrack | null} */
  #previewTrack = null;

  /**
   * @param {import("../media/localMedia.js").LocalMedia} media
   * @param {HTMLElement} grid
   * @param {{ onPlayRefused: () => void, onCameraChanged: () => void }} callbacks
   */
  constructor(media, grid, callbacks) {
    this.#media = media;
    this.#grid = grid;
    this.#callbacks = callbacks;
  }

  /** Adds the local tile. */
  join() {
    this.#tile = new Tile({ isLocal: true, onPlayRefused: this.#callbacks.onPlayRefused });
    this.#grid.append(this.#tile.element);
  }

  /** Plays pictures that the browser played only after a user gesture. */
  play() {
    this.#tile?.play();
    this.#screenTile?.play();
  }

  leave() {
    this.#tile?.remove();
    this.#screenTile?.remove();
    this.#tile = null;
    this.#screenTile = null;
  }

  /**
   * @param {string} name
   * @param {string} noVideoText for the preview without video
   */
  update(name, noVideoText) {
    const media = this.#media;
    const { camera, screen, microphone } = media.outgoing.tracks;
    // While a device is being opened, its button shows what will be, so that a press can still decide otherwise.
    setPressed(buttonsFor("mute"), media.willBeMuted, media.willBeMuted ? "Unmute" : "Mute");
    setPressed(buttonsFor("camera"), !media.wantsCamera, media.wantsCamera ? "Camera off" : "Camera on");
    setPressed(buttonsFor("screen"), media.sharesScreen, media.sharesScreen ? "Stop sharing" : "Share screen");
    setPressed(buttonsFor("music"), media.music, "");

    this.#updatePreview(camera);
    if (camera === null) setText("preview-text", noVideoText);
    setText("join", joinLabel(joinIntent(media)));

    this.#tile?.setInfo({ name, suffix: " (you)", muted: media.muted, cameraOff: !media.sendsCamera });
    this.#tile?.setTracks(camera, null);
    this.#updateScreen(screen);
    this.#meter.setTrack(microphone);
  }

  /** Call it in a user gesture. */
  resume() {
    this.#meter.resume();
    if (this.#previewVideo.srcObject !== null) void this.#previewVideo.play().catch(() => {});
  }

  /** Shows the microphone's level, in the preview or on the local tile. @param {number} nowMs */
  updateLevel(nowMs) {
    const dbfs = this.#meter.read(nowMs);
    if (this.#tile === null) this.#meter.draw(dbfs);
    else this.#tile.updateLevel(this.#media.muted ? 0 : 10 ** (dbfs / 20), nowMs);
  }

  /** @param {MediaStreamTrack | null} camera */
  #updatePreview(camera) {
    byId("preview", HTMLElement).classList.toggle("has-video", camera !== null);
    if (this.#previewTrack === camera) return;
    this.#previewTrack = camera;
    this.#previewVideo.srcObject = camera === null ? null : new MediaStream([camera]);
    if (camera !== null) this.#previewVideo.play().catch(() => {});
    this.#callbacks.onCameraChanged();
  }

  /** @param {MediaStreamTrack | null} screen */
  #updateScreen(screen) {
    if (screen !== null && this.#screenTile === null && this.#tile !== null) {
      this.#screenTile = new Tile({ isLocal: true, isScreen: true, onPlayRefused: this.#callbacks.onPlayRefused });
      this.#screenTile.setInfo({ name: "Your screen" });
      this.#tile.element.after(this.#screenTile.element);
      announce("You share your screen.");
    } else if (screen === null && this.#screenTile !== null) {
      this.#screenTile.remove();
      this.#screenTile = null;
      announce("You no longer share your screen.");
    }
    this.#screenTile?.setTracks(screen, null);
  }
}
