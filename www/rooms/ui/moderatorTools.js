/**
 * What only a moderator sees: the lock, the dialog for one person, and ending the room. The server decides whether a
 * command is allowed.
 */

import { announce, buttonsFor, byId, closeOnBackdropClick, pageData, setHidden, setPressed, setText } from "../../shared/dom.js";
import { ConfirmDialog } from "./confirmDialog.js";
import { endQuestion, lockLabel, removeQuestion } from "./roomStrings.js";

/**
 * @typedef {object} ModeratorCommands
 * @property {(locked: boolean) => void} setLocked
 * @property {(peerId: string) => void} mutePeer
 * @property {(peerId: string) => void} removePeer
 * @property {() => void} endRoom
 */

export class ModeratorTools {
  #commands;
  #dialog = byId("peer-dialog", HTMLDialogElement);
  #muteButton = byId("peer-mute", HTMLButtonElement);
  #confirm = new ConfirmDialog();
  #locked = false;
  /** The person whom an open dialog is about; empty if none. */
  #peerId = "";
  #peerName = "";

  /** @param {ModeratorCommands} commands */
  constructor(commands) {
    this.#commands = commands;
    this.#muteButton.addEventListener("click", () => {
      this.#dialog.close();
      commands.mutePeer(this.#peerId);
      announce(`${this.#peerName} is muted.`);
    });
    byId("peer-remove", HTMLButtonElement).addEventListener("click", () => {
      this.#dialog.close();
      void this.#removePeer(this.#peerId, this.#peerName);
    });
    closeOnBackdropClick(this.#dialog);
  }

  /** @param {boolean} isModerator */
  setModerator(isModerator) {
    if (isModerator) pageData().moderator = "";
    else delete pageData().moderator;
    if (!isModerator) this.close();
  }

  /** Everybody sees the lock. @param {boolean} locked */
  showLock(locked) {
    setHidden("room-locked", !locked);
    setPressed(buttonsFor("lock"), locked, lockLabel(locked));
    if (this.#locked !== locked) announce(locked ? "The room is locked. Nobody else can join." : "The room is open again.");
    this.#locked = locked;
  }

  toggleLock() {
    this.#commands.setLocked(!this.#locked);
  }

  /**
   * Opens the dialog for one person.
   * @param {string} id
   * @param {string} name
   * @param {boolean} muted
   */
  openFor(id, name, muted) {
    this.#peerId = id;
    this.#peerName = name;
    setText("peer-dialog-title", name);
    setText("peer-mute-label", muted ? `${name} is muted` : `Mute ${name}`);
    setText("peer-remove-label", `Remove ${name}`);
    this.#muteButton.disabled = muted;
    this.#dialog.showModal();
  }

  /** Closes what is open about a person who left. @param {string} peerId */
  peerLeft(peerId) {
    if (peerId === this.#peerId) this.close();
  }

  close() {
    this.#dialog.close();
    this.#confirm.close();
    this.#peerId = "";
  }

  async askToEndRoom() {
    this.#peerId = "";
    if (await this.#confirm.ask(endQuestion())) this.#commands.endRoom();
  }

  /**
   * @param {string} id
   * @param {string} name
   */
  async #removePeer(id, name) {
    if (await this.#confirm.ask(removeQuestion(name, this.#locked))) this.#commands.removePeer(id);
  }
}
