/**
 * A dialog with one question. Escape, a click beside it and the first button all mean no.
 */

import { byId, closeOnBackdropClick, setText } from "../../shared/dom.js";

export class ConfirmDialog {
  #dialog = byId("confirm", HTMLDialogElement);

  constructor() {
    closeOnBackdropClick(this.#dialog);
  }

  /**
   * @param {import("./roomStrings.js").Question} question
   * @returns {Promise<boolean>}
   */
  ask({ title, text, confirmLabel }) {
    setText("confirm-title", title);
    setText("confirm-text", text);
    setText("confirm-yes", confirmLabel);
    this.#dialog.returnValue = "";
    this.#dialog.showModal();
    return new Promise((resolve) => {
      this.#dialog.addEventListener("close", () => resolve(this.#dialog.returnValue === "yes"), { once: true });
    });
  }

  close() {
    this.#dialog.close();
  }
}
