/**
 * Display names of peers. Pure.
 */

/** The server's own limit, unless `config` says otherwise. */
const NAME_CHARS = 64;

/**
 * A display name as it is sent: one line, within the limit, without spaces around it.
 * @param {string} input
 * @returns {string}
 */
export function normalizeName(input) {
  const line = input.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim();
  return [...line].slice(0, NAME_CHARS).join("").trim();
}

/**
 * @param {string} name
 * @param {string} id
 * @returns {string} the name, or "Guest" with part of the id if it is empty
 */
export function displayName(name, id) {
  return name !== "" ? name : `Guest ${id.slice(0, 3)}`;
}

/**
 * One or two letters for a tile without a picture.
 * @param {string} name
 * @returns {string}
 */
export function initialsOf(name) {
  const words = name.split(/\s+/).filter((word) => word !== "");
  const last = words.length > 1 ? words[words.length - 1] : undefined;
  const letters = [words[0], last].map((word) => (word === undefined ? "" : [...word][0]));
  return letters.join("").toLocaleUpperCase();
}
