/**
 * Why a door stays shut, in words: what the host says by a code, and what one can do about it. Pure.
 */

/** @typedef {"room" | "station" | "host"} Place */

/**
 * @typedef {object} Sentence
 * @property {string} title what is the matter
 * @property {string} words what to do
 */

/**
 * @param {string} code
 * @param {Place} place
 * @param {number} retry_after_ms what the host asked to wait, 0 if nothing
 * @returns {Sentence}
 */
export function doorWords(code, place, retry_after_ms = 0) {
  switch (code) {
    case "token-required":
      return { title: `This ${place} is private.`, words: "Open the link you were invited with." };
    case "token-invalid":
      return { title: "This link has expired or was withdrawn.", words: "Ask for a new one." };
    case "not-allowed":
      return place === "room"
        ? { title: "This link is for another room.", words: "Ask for one to this room." }
        : { title: "This link is for something else.", words: place === "station" ? "Ask for one to listen." : "Ask for the one for hosts." };
    case "too-many-failures":
      return {
        title: "Too many tries.",
        words: `Links that do not work came from your network too often. Wait ${waitWords(retry_after_ms)}, then try again.`,
      };
    case "foreign-origin":
      return { title: "This page came from elsewhere.", words: "Open it at the host’s own address." };
    default:
      return { title: "The host said no.", words: "Ask whoever runs it." };
  }
}

/** @param {number} wait_ms */
function waitWords(wait_ms) {
  const seconds = Math.ceil(wait_ms / 1000);
  if (seconds < 1) return "a minute";
  if (seconds < 90) return seconds === 1 ? "a second" : `${seconds} seconds`;
  return `${Math.ceil(seconds / 60)} minutes`;
}
