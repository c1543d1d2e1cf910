/**
 * The talk of a room: a page module of lines, a field to write in, and a count of what was not seen.
 */

/** Lines kept on the page. */
const LINES = 500;

export class Chat {
  #panel;
  #talk;
  #words;
  #unread_mark;
  #unread = 0;
  #onSay;

  /**
   * @param {{ panel: HTMLElement, talk: HTMLElement, form: HTMLFormElement, words: HTMLInputElement, unread: HTMLElement }} parts
   * @param {(text: string) => boolean} onSay false when it cannot be said now
   */
  constructor({ panel, talk, form, words, unread }, onSay) {
    this.#panel = panel;
    this.#talk = talk;
    this.#words = words;
    this.#unread_mark = unread;
    this.#onSay = onSay;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say();
    });
  }

  get open() {
    return !this.#panel.hidden;
  }

  /** @param {boolean} open */
  show(open) {
    this.#panel.hidden = !open;
    if (!open) return;
    this.#count(0);
    this.#talk.scrollTop = this.#talk.scrollHeight;
    this.#words.focus();
  }

  /**
   * @param {{ called: string, text: string, own: boolean, said_at: Date, old: boolean }} line
   */
  add({ called, text, own, said_at, old }) {
    const at_end = this.#talk.scrollHeight - this.#talk.scrollTop - this.#talk.clientHeight < 40;
    const item = document.createElement("li");
    item.classList.toggle("own", own);
    const [who, when, what] = ["strong", "time", "p"].map((each) => document.createElement(each));
    who.textContent = called;
    /** @type {HTMLTimeElement} */ (when).dateTime = said_at.toISOString();
    when.textContent = said_at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    what.textContent = text;
    item.append(who, when, what);
    this.#talk.append(item);
    while (this.#talk.childElementCount > LINES) this.#talk.firstElementChild?.remove();
    if (at_end) this.#talk.scrollTop = this.#talk.scrollHeight;
    if (!this.open && !own && !old) this.#count(this.#unread + 1);
  }

  /** @param {number} unread */
  #count(unread) {
    this.#unread = unread;
    this.#unread_mark.hidden = unread === 0;
    this.#unread_mark.textContent = unread > 99 ? "99+" : String(unread);
    this.#unread_mark.setAttribute("aria-label", `${unread} unread`);
  }

  #say() {
    const text = this.#words.value.trim();
    if (text === "") return;
    // What cannot be said stays in the field.
    if (this.#onSay(text)) this.#words.value = "";
  }
}
