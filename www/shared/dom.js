/**
 * The parts of a page by their names, and words written into them. For the page modules, which alone touch `document`.
 */

/**
 * @template {Element} T
 * @param {string} id
 * @param {new (...any: any[]) => T} type
 * @returns {T}
 */
export function part(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return element;
}

/**
 * Writes only what changed: a live region may repeat even the same text.
 * @param {string} id
 * @param {string} text
 */
export function write(id, text) {
  const element = part(id, HTMLElement);
  if (element.textContent !== text) element.textContent = text;
}

/** Reads out what is not shown. @param {string} text */
export const announce = (text) => write("announce", text);

/**
 * All buttons that do the same.
 * @param {string} action
 * @returns {NodeListOf<HTMLButtonElement>}
 */
export const buttonsOf = (action) => document.querySelectorAll(`[data-action=${action}]`);

/**
 * @param {Iterable<HTMLElement>} elements
 * @param {boolean} pressed
 * @param {string} label
 */
export function press(elements, pressed, label) {
  for (const element of elements) {
    element.setAttribute("aria-pressed", String(pressed));
    const words = element.querySelector("span");
    if (element.classList.contains("row")) continue;
    if (words !== null) words.textContent = label;
    else element.setAttribute("aria-label", label);
  }
}
