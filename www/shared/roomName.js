/**
 * Room names: their rules, and the URL of a room. Pure.
 */

/** The room of a URL without a name. */
const DEFAULT_ROOM = "main";
/** The server's own limit. */
const ROOM_NAME_CHARS = 64;

/**
 * What is wrong with a room name.
 * @param {string} name
 * @returns {string} a sentence, or empty if the name is valid
 */
export function roomNameProblem(name) {
  if (name === "") return "Enter a room name.";
  const invalid = [...new Set(name)].filter((character) => !/[A-Za-z0-9._-]/.test(character));
  if (invalid.includes(" ")) return "Room names have no spaces. Use a hyphen instead.";
  if (invalid.length > 0) return `Use only letters a to z, digits, hyphen, underscore and dot, not “${invalid.join("")}”.`;
  // A path of dots alone means a folder.
  if (/^\.+$/.test(name)) return "A room name needs at least one letter or digit.";
  if (name.length > ROOM_NAME_CHARS) return `Use at most ${ROOM_NAME_CHARS} characters. This name has ${name.length}.`;
  return "";
}

/**
 * @param {string} name
 * @returns {string} the path of the room's page, from the front page
 */
export function roomPath(name) {
  return `room/${encodeURIComponent(name)}`;
}

/**
 * The room that a page's path names.
 * @param {string} path such as `/room/kitchen`
 * @returns {string}
 */
export function roomFromPath(path) {
  const found = /^\/room\/([^/]+)$/.exec(path);
  if (found === null) return DEFAULT_ROOM;
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}
