/**
 * The only module that touches `document`. Others take elements from here and give callbacks.
 */

/**
 * Where the front page is, seen from this page: a relative reference.
 * @returns {string}
 */
export function rootReference() {
  return document.documentElement.dataset.root ?? "./";
}

/**
 * An element of the page.
 * @template {Element} T
 * @param {string} id
 * @param {new (...any: any[]) => T} type
 * @returns {T}
 */
export function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return element;
}

/**
 * A descendant of an element.
 * @template {Element} T
 * @param {ParentNode} parent
 * @param {string} selector
 * @param {new (...any: any[]) => T} type
 * @returns {T}
 */
export function childOf(parent, selector, type) {
  const element = parent.querySelector(selector);
  if (!(element instanceof type)) throw new Error(`no ${type.name} ${selector} in its parent`);
  return element;
}

/**
 * A copy of a template's first element.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function cloneTemplate(id) {
  const { content } = byId(id, HTMLTemplateElement);
  return /** @type {HTMLElement} */ (/** @type {Element} */ (content.firstElementChild).cloneNode(true));
}

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {string} text
 * @returns {HTMLElementTagNameMap[K]}
 */
export function createElement(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text;
  return element;
}

/**
 * Sets an element's text, only if it changed: a screen reader may repeat even the same text of a live region.
 * @param {Element} element
 * @param {string} text
 */
export function setTextOf(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * @param {string} id
 * @param {string} text
 */
export function setText(id, text) {
  setTextOf(byId(id, HTMLElement), text);
}

/**
 * @param {string} id
 * @param {boolean} hidden
 */
export function setHidden(id, hidden) {
  byId(id, HTMLElement).hidden = hidden;
}

/** Makes screen readers say something. @param {string} text */
export const announce = (text) => setText("announcement", text);

/** @param {string} title of the window */
export function setPageTitle(title) {
  document.title = title;
}

/** @returns {DOMStringMap} data attributes of the body, for styles */
export const pageData = () => document.body.dataset;

/** The page's script runs: from now on it says itself what is wrong. */
export function pageStarted() {
  pageData().started = "";
}

/** Whether the page is in the foreground. */
export const isPageVisible = () => document.visibilityState === "visible";

/** Whether a modal dialog is open. */
export const isDialogOpen = () => document.querySelector("dialog[open]") !== null;

/** @param {HTMLElement} element */
export const hasFocusWithin = (element) => element.contains(document.activeElement);

export const isFullscreen = () => (document.fullscreenElement ?? null) !== null;

export function exitFullscreen() {
  if (isFullscreen()) void document.exitFullscreen();
}

/**
 * Adds a listener for events anywhere on the page.
 * @template {keyof DocumentEventMap} K
 * @param {K | K[]} types
 * @param {(event: DocumentEventMap[K]) => void} listener
 * @param {AddEventListenerOptions} options
 */
export function onDocument(types, listener, options = {}) {
  for (const type of [types].flat()) document.addEventListener(/** @type {K} */ (type), listener, options);
}

/**
 * All buttons with the same `data-action`.
 * @param {string} action
 * @returns {HTMLButtonElement[]}
 */
export const buttonsFor = (action) => [...document.querySelectorAll(/** @type {"button"} */ (`[data-action=${action}]`))];

/** @returns {HTMLSelectElement[]} every drop-down list of the page */
export const allSelects = () => [...document.querySelectorAll("select")];

/**
 * @param {string} selector
 * @returns {HTMLElement[]}
 */
export const allMatching = (selector) => [...document.querySelectorAll(/** @type {"div"} */ (selector))];

/**
 * Sets the pressed state of buttons, and their label. In the settings dialog, labels stay as they are.
 * @param {Iterable<HTMLElement>} buttons
 * @param {boolean} pressed
 * @param {string} label
 */
export function setPressed(buttons, pressed, label) {
  for (const button of buttons) {
    button.setAttribute("aria-pressed", String(pressed));
    if (button.classList.contains("setting")) continue;
    const text = button.querySelector("span");
    if (text !== null) text.textContent = label;
    else button.setAttribute("aria-label", label);
  }
}

/**
 * Closes a dialog on a click beside it.
 * @param {HTMLDialogElement} dialog
 */
export function closeOnBackdropClick(dialog) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
}
