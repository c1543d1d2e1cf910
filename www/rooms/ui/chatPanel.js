/**
 * The chat: its panel, its messages, the field to write in, and the number of unread messages.
 */

import { createElement, hasFocusWithin } from "../../shared/dom.js";

/** Messages kept on the page. */
const MAX_MESSAGES = 500;
/** A log that is scrolled up by less than this follows new messages. */
const FOLLOW_PX = 40;

/**
 * @typedef {object} Elements
 * @property {HTMLElement} room contains the panel
 * @property {HTMLElement} panel
 * @property {HTMLElement} log
 * @property {HTMLFormElement} form
 * @property {HTMLInputElement} input
 * @property {HTMLElement} unread
 * @property {HTMLButtonElement} toggle opens and closes the panel
 */

/**
 * @typedef {object} ChatEntry
 * @property {string} name
 * @property {string} text
 * @property {boolean} isLocal
 * @property {boolean} isHistory it is not counted as unread
 * @property {Date} sentAt
 */

export class ChatPanel {
  #elements;
  #send;
  #unread = 0;

  /**
   * @param {Elements} elements
   * @param {(text: string) => boolean} send false if the message cannot be sent now
   */
  constructor(elements, send) {
    this.#elements = elements;
    this.#send = send;
    elements.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
  }

  get isOpen() {
    return !this.#elements.panel.hidden;
  }

  /** @param {boolean} open */
  setOpen(open) {
    const { room, panel, log, input, toggle } = this.#elements;
    const hadFocus = hasFocusWithin(panel);
    panel.hidden = !open;
    room.classList.toggle("chat-open", open);
    toggle.setAttribute("aria-expanded", String(open));
    if (open) {
      this.#setUnread(0);
      log.scrollTop = log.scrollHeight;
      input.focus();
    } else if (hadFocus) {
      toggle.focus();
    }
  }

  /** @param {ChatEntry} entry */
  add({ name, text, isLocal, isHistory, sentAt }) {
    const { log } = this.#elements;
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < FOLLOW_PX;
    const item = createElement("li", "");
    item.classList.toggle("local", isLocal);
    const time = createElement("time", sentAt.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = sentAt.toISOString();
    item.append(createElement("strong", name), time, createElement("p", text));
    log.append(item);
    while (log.childElementCount > MAX_MESSAGES) log.firstElementChild?.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
    if (!this.isOpen && !isLocal && !isHistory) this.#setUnread(this.#unread + 1);
  }

  /** @param {number} count */
  #setUnread(count) {
    const { unread } = this.#elements;
    this.#unread = count;
    unread.hidden = count === 0;
    unread.textContent = count > 99 ? "99+" : String(count);
    unread.setAttribute("aria-label", `${count} unread`);
  }

  #submit() {
    const { input } = this.#elements;
    const text = input.value.trim();
    // A message that cannot be sent stays in the field.
    if (text !== "" && this.#send(text)) input.value = "";
  }
}
