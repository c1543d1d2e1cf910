/**
 * Why access was refused, and what to do: the server's codes as sentences. Pure.
 */

/** @typedef {"room" | "station" | "moderator"} Subject What was refused. */

/**
 * @typedef {object} Notice
 * @property {string} title what happened
 * @property {string} text what to do
 */

/**
 * @param {string} code
 * @param {Subject} subject
 * @param {number} retryAfterMs 0 if the server did not ask to wait
 * @returns {Notice}
 */
export function accessStrings(code, subject, retryAfterMs = 0) {
  switch (code) {
    case "token-required":
      return { title: `This ${subject === "moderator" ? "server" : subject} is private.`, text: "Open the link in your invitation." };
    case "token-invalid":
      return { title: "This link has expired or was withdrawn.", text: "Ask for a new one." };
    case "not-allowed":
      return notAllowed(subject);
    case "too-many-failures":
      return {
        title: "Too many invalid links.",
        text: `Your network sent too many invalid links. Wait ${durationOf(retryAfterMs)}, then try again.`,
      };
    case "foreign-origin":
      return { title: "This page came from another site.", text: "Open it at the server’s own address." };
    case "misdirected":
      return { title: "The server does not know this name.", text: "Open it by its IP address, or ask the person who runs it to set --allow-host." };
    default:
      return { title: "The server refused access.", text: "Ask the person who runs the server." };
  }
}

/**
 * @param {Subject} subject
 * @returns {Notice}
 */
function notAllowed(subject) {
  switch (subject) {
    case "room":
      return { title: "This link is for another room.", text: "Ask for a link to this room." };
    case "station":
      return { title: "This link does not allow listening.", text: "Ask for a link to listen." };
    case "moderator":
      return { title: "This link does not make you a moderator.", text: "Ask for the moderator link." };
  }
}

/** @param {number} durationMs */
function durationOf(durationMs) {
  const seconds = Math.ceil(durationMs / 1000);
  if (seconds < 1) return "a minute";
  if (seconds < 90) return seconds === 1 ? "a second" : `${seconds} seconds`;
  return `${Math.ceil(seconds / 60)} minutes`;
}
