/**
 * The keys of a room: one letter for each button, Escape for the chat, and the space bar to talk while it is held. A page
 * module that knows nothing of what the buttons do.
 */

import { buttonsOf } from "../../shared/dom.js";

/** @type {Record<string, string>} */
const KEYS = { m: "mute", v: "camera", s: "screen", c: "chat", h: "station", l: "lock", "?": "more" };

/** @param {EventTarget | null} target */
const isControl = (target) => target instanceof Element && target.closest("input, select, textarea, button, a, summary, dialog, [role=log]") !== null;
/** @param {EventTarget | null} target */
const isField = (target) => target instanceof Element && target.closest("input:not([type=range]), select, textarea") !== null;

/**
 * @param {object} house
 * @param {(action: string) => void} house.act what a button of that name does
 * @param {() => boolean} house.inside
 * @param {(talking: boolean) => void} house.talk
 * @param {() => boolean} house.closeChat whether there was one to close
 * @param {HTMLElement} house.words the field of the chat
 */
export function listenToKeys({ act, inside, talk, closeChat, words }) {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target === words) closeChat();
    if (event.ctrlKey || event.metaKey || event.altKey || isField(event.target)) return;
    if (event.key === " " && inside() && !isControl(event.target)) {
      event.preventDefault();
      if (!event.repeat) talk(true);
      return;
    }
    const asking = document.querySelector("dialog[open]") !== null;
    if (event.key === "Escape" && !asking && closeChat()) return;
    const action = KEYS[event.key.toLowerCase()];
    const offered = [...buttonsOf(action ?? "none")].some((button) => !button.hidden && button.checkVisibility?.() !== false);
    if (event.repeat || action === undefined || !offered) return;
    event.preventDefault();
    act(action);
  });
  document.addEventListener("keyup", (event) => {
    if (event.key === " ") talk(false);
  });
  addEventListener("blur", () => talk(false));
}
