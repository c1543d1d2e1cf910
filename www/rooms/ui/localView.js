/**
 * What one sees of oneself: the mirror before the door, the buttons' marks, one's own tile inside, and a second one while
 * the screen is shared. A page module; what is sent is `own.js`'s business.
 */

import { OwnLevel } from "./microphoneMeter.js";
import { announce, buttonsOf, part, press, write } from "../../shared/dom.js";
import { enterWords } from "./roomStrings.js";
import { Tile } from "./tile.js";

export class OwnView {
  #own;
  #tiles;
  #callbacks;
  #level = new OwnLevel(part("own-level", HTMLElement));
  /** @type {Tile | null} */
  #tile = null;
  /** @type {Tile | null} */
  #screen = null;
  /** @type {MediaStreamTrack | null} */
  #camera = null;

  /**
   * @param {import("../media/localMedia.js").Own} own
   * @param {HTMLElement} tiles
   * @param {{ onRefused: () => void, onCamera: () => void }} callbacks `onCamera`: another camera is in use, or none
   */
  constructor(own, tiles, callbacks) {
    this.#own = own;
    this.#tiles = tiles;
    this.#callbacks = callbacks;
  }

  /** A tile of one's own, among the others. */
  enter() {
    this.#tile = new Tile({ own: true }, this.#callbacks.onRefused);
    this.#tiles.append(this.#tile.element);
  }

  leave() {
    this.#tile?.remove();
    this.#screen?.remove();
    this.#tile = null;
    this.#screen = null;
  }

  /**
   * @param {string} called
   * @param {string} dark what the mirror says while there is no picture
   */
  show(called, dark) {
    const own = this.#own;
    const { camera, screen, sound } = own.outgoing.tracks;
    press(buttonsOf("mute"), own.muted, own.muted ? "Unmute" : "Mute");
    press(buttonsOf("camera"), camera === null, camera === null ? "Camera on" : "Camera off");
    press(buttonsOf("screen"), own.sharing, own.sharing ? "Stop sharing" : "Share screen");
    press(buttonsOf("music"), own.music, "");
    for (const button of buttonsOf("mute")) button.classList.toggle("absent", sound === null);

    this.#mirror(camera);
    if (camera === null && dark !== "") write("mirror-words", dark);
    write("enter", enterWords(sound !== null, camera !== null));

    this.#tile?.describe({ called, note: " (you)", muted: own.muted, dark: !own.camera });
    this.#tile?.show(camera, null);
    this.#share(screen);
    this.#level.measure(sound);
  }

  /** Within a tap. */
  wake() {
    this.#level.wake();
  }

  /**
   * Looks how loud one is, for the bar or for the mark of who speaks.
   * @param {number} now_ms
   */
  hear(now_ms) {
    const dbfs = this.#level.read(now_ms);
    if (this.#tile === null) this.#level.draw(dbfs);
    else this.#tile.hear(this.#own.muted ? 0 : 10 ** (dbfs / 20), now_ms);
  }

  /** @param {MediaStreamTrack | null} camera */
  #mirror(camera) {
    part("mirror", HTMLElement).classList.toggle("lit", camera !== null);
    if (this.#camera === camera) return;
    this.#camera = camera;
    const picture = part("own-picture", HTMLVideoElement);
    picture.srcObject = camera === null ? null : new MediaStream([camera]);
    if (camera !== null) picture.play().catch(() => {});
    this.#callbacks.onCamera();
  }

  /** @param {MediaStreamTrack | null} screen */
  #share(screen) {
    if (screen !== null && this.#screen === null && this.#tile !== null) {
      this.#screen = new Tile({ own: true, screen: true }, this.#callbacks.onRefused);
      this.#screen.describe({ called: "Your screen" });
      this.#tile.element.after(this.#screen.element);
      announce("You share your screen.");
    } else if (screen === null && this.#screen !== null) {
      this.#screen.remove();
      this.#screen = null;
      announce("You no longer share your screen.");
    }
    this.#screen?.show(screen, null);
  }
}
