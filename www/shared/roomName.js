/**
 * Names of rooms and of people: their rules, and where a room's name stands in an address. Pure.
 */

/** The room of those who named none. */
export const DEFAULT_ROOM = "main";
/** Longest name of a room, and of a person: the server's own limits. */
export const NAME_CHARS = 64;

/**
 * What is wrong with the name of a room, in words.
 * @param {string} name
 * @returns {string} empty when it is a good name
 */
export function roomNameProblem(name) {
  if (name === "") return "Give the room a name.";
  const odd = [...new Set(name)].filter((each) => !/[A-Za-z0-9._-]/.test(each));
  if (odd.includes(" ")) return "A room’s name has no spaces. A hyphen does as well.";
  if (odd.length > 0) return `Letters from a to z, digits, hyphen, underscore and dot only: not “${odd.join("")}”.`;
  // A path of dots alone would mean another page.
  if (/^\.+$/.test(name)) return "A room’s name needs more than dots.";
  if (name.length > NAME_CHARS) return `At most ${NAME_CHARS} characters: this has ${name.length}.`;
  return "";
}

/**
 * The path that leads to a room, and can be sent to others.
 * @param {string} name
 * @returns {string}
 */
export function pathOf(name) {
  return `/room/${encodeURIComponent(name)}`;
}

/**
 * The room an address means: `/room/NAME`, or else `?name=NAME`.
 * @param {{ pathname: string, search: string }} address
 * @returns {string}
 */
export function roomOf({ pathname, search }) {
  const found = /^\/room\/([^/]+)\/?$/.exec(pathname);
  if (found === null) return new URLSearchParams(search).get("name") ?? DEFAULT_ROOM;
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}

/**
 * A person's name as it is sent: one line, within the limit, without blanks around it.
 * @param {string} typed
 * @returns {string}
 */
export function personOf(typed) {
  const line = typed.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ").trim();
  return [...line].slice(0, NAME_CHARS).join("").trim();
}

/**
 * What to call somebody.
 * @param {string} name
 * @param {string} id
 * @returns {string} "Guest" and some of the id for those who gave no name
 */
export function calledOf(name, id) {
  return name !== "" ? name : `Guest ${id.slice(0, 3)}`;
}

/**
 * One or two letters for a tile without a picture.
 * @param {string} called
 * @returns {string}
 */
export function initialsOf(called) {
  const words = called.split(/\s+/).filter((word) => word !== "");
  const letters = [words[0], words.length > 1 ? words[words.length - 1] : undefined]
    .map((word) => (word === undefined ? "" : [...word][0]));
  return letters.join("").toLocaleUpperCase();
}
