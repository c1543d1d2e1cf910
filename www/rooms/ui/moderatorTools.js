/**
 * What only a host sees in a room: the lock, a sheet of wishes for each person, and the end of it all. A page module; whether
 * a wish is granted is the server's business, which knows who came with the host's key.
 */

import { announce, buttonsOf, part, press, write } from "../../shared/dom.js";
import { endQuestion, lockWords, removeQuestion } from "./roomStrings.js";

/**
 * @typedef {object} HostCallbacks
 * @property {(locked: boolean) => void} onLock
 * @property {(id: string) => void} onMute
 * @property {(id: string) => void} onRemove
 * @property {() => void} onEnd
 */

export class HostTools {
  #callbacks;
  #wishes = part("wishes", HTMLDialogElement);
  #sure = part("sure", HTMLDialogElement);
  #locked = false;
  /** Whom the open sheet is about. */
  #id = "";
  #called = "";

  /** @param {HostCallbacks} callbacks */
  constructor(callbacks) {
    this.#callbacks = callbacks;
    part("wish-mute", HTMLButtonElement).addEventListener("click", () => {
      this.#wishes.close();
      callbacks.onMute(this.#id);
      announce(`${this.#called} is muted.`);
    });
    part("wish-remove", HTMLButtonElement).addEventListener("click", () => {
      this.#wishes.close();
      void this.#remove(this.#id, this.#called);
    });
    for (const dialog of [this.#wishes, this.#sure]) {
      dialog.addEventListener("click", (event) => {
        // Beside the sheet.
        if (event.target === dialog) dialog.close();
      });
    }
  }

  /** Whether one is a host here. @param {boolean} hosting */
  show(hosting) {
    document.body.toggleAttribute("data-hosting", hosting);
    if (!hosting) this.close();
  }

  /** Everybody sees it. @param {boolean} locked */
  showLock(locked) {
    part("locked", HTMLElement).hidden = !locked;
    press(buttonsOf("lock"), locked, lockWords(locked));
    if (this.#locked !== locked) announce(locked ? "The room is locked: nobody else can come in." : "The room is open again.");
    this.#locked = locked;
  }

  toggleLock() {
    this.#callbacks.onLock(!this.#locked);
  }

  /**
   * Opens the sheet of one person.
   * @param {string} id
   * @param {string} called
   * @param {boolean} muted nothing is left to be muted
   */
  openFor(id, called, muted) {
    this.#id = id;
    this.#called = called;
    write("wishes-title", called);
    write("wish-mute-label", muted ? `${called} is muted` : `Mute ${called}`);
    write("wish-remove-label", `Remove ${called}`);
    part("wish-mute", HTMLButtonElement).disabled = muted;
    this.#wishes.showModal();
  }

  /** That person is gone. @param {string} id */
  forget(id) {
    if (id === this.#id) this.close();
  }

  close() {
    this.#wishes.close();
    this.#sure.close();
    this.#id = "";
  }

  async askEnd() {
    this.#id = "";
    if (await this.#ask(endQuestion())) this.#callbacks.onEnd();
  }

  /**
   * @param {string} id
   * @param {string} called
   */
  async #remove(id, called) {
    if (await this.#ask(removeQuestion(called, this.#locked))) this.#callbacks.onRemove(id);
  }

  /**
   * Asks once. Escape, a tap beside it and the first button all mean no.
   * @param {import("./roomStrings.js").Question} question
   * @returns {Promise<boolean>}
   */
  #ask({ question, words, yes }) {
    write("sure-title", question);
    write("sure-words", words);
    write("sure-yes", yes);
    this.#sure.returnValue = "";
    this.#sure.showModal();
    return new Promise((done) => {
      this.#sure.addEventListener("close", () => done(this.#sure.returnValue === "yes"), { once: true });
    });
  }
}
