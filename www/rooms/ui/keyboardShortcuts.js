/**
 * Keyboard shortcuts of the room page: one letter for each button, Escape closes the chat, and the space bar unmutes while
 * it is held.
 */

import { buttonsFor, isDialogOpen, onDocument } from "../../shared/dom.js";

/** @type {Record<string, string>} */
const ACTIONS = { m: "mute", v: "camera", s: "screen", c: "chat", h: "station", l: "lock", "?": "settings" };

const CONTROLS = "input, select, textarea, button, a, summary, dialog, [role=log]";
const TEXT_FIELDS = "input:not([type=range]), select, textarea";

/**
 * @param {EventTarget | null} target
 * @param {string} selector
 */
const isWithin = (target, selector) => target instanceof Element && target.closest(selector) !== null;

/**
 * @param {object} handlers
 * @param {(action: string) => void} handlers.run performs the action of a button
 * @param {() => boolean} handlers.inRoom
 * @param {(talking: boolean) => void} handlers.pushToTalk
 * @param {() => boolean} handlers.closeChat returns whether the chat was open
 * @param {HTMLElement} handlers.chatInput
 */
export function listenForShortcuts({ run, inRoom, pushToTalk, closeChat, chatInput }) {
  onDocument("keydown", (event) => {
    if (event.key === "Escape" && event.target === chatInput) closeChat();
    if (event.ctrlKey || event.metaKey || event.altKey || isWithin(event.target, TEXT_FIELDS)) return;
    if (event.key === " " && inRoom() && !isWithin(event.target, CONTROLS)) {
      event.preventDefault();
      if (!event.repeat) pushToTalk(true);
      return;
    }
    if (event.key === "Escape" && !isDialogOpen() && closeChat()) return;
    const action = ACTIONS[event.key.toLowerCase()];
    if (event.repeat || action === undefined || !isOffered(action)) return;
    event.preventDefault();
    run(action);
  });
  onDocument("keyup", (event) => {
    if (event.key === " ") pushToTalk(false);
  });
  addEventListener("blur", () => pushToTalk(false));
}

/** Whether a button for this action is visible. @param {string} action */
function isOffered(action) {
  return buttonsFor(action).some((button) => !button.hidden && button.checkVisibility?.() !== false);
}
