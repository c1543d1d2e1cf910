/**
 * Texts of the room page that depend on its state. Pure.
 */

import { accessStrings } from "../../shared/accessStrings.js";

/**
 * @typedef {object} Ending Shown after the page has left the room, or was not let in.
 * @property {string} title
 * @property {string} text
 * @property {"prejoin" | "rejoin" | "checkAccess" | null} action what the button does: go to the preview, join again, or
 *   ask again for access; null for no button
 * @property {string} actionLabel
 */

/** @type {Pick<Ending, "action" | "actionLabel">} */
const NO_ACTION = { action: null, actionLabel: "" };
/** @type {Pick<Ending, "action" | "actionLabel">} */
const REJOIN = { action: "rejoin", actionLabel: "Try again" };

const NO_WEBSOCKET = "This page reaches the server, but not by WebSocket, which rooms need. A firewall or proxy of this network may block "
  + "it, or this device does not trust the server’s certificate: iPhones and iPads accept no self-made one for it. Try another network, or "
  + "ask the host for a certificate that this device knows. Reconnecting …";

/**
 * Why the server refused, or ended the connection.
 * @param {{ code: string, message: string, retryAfterMs: number }} refusal
 * @param {boolean} endedByUs we ended the room
 * @returns {Ending}
 */
export function endingFor({ code, message, retryAfterMs }, endedByUs = false) {
  switch (code) {
    case "replaced":
      return {
        title: "You joined on another page.",
        text: "Another page of yours took over your place in this room.",
        action: "prejoin",
        actionLabel: "Rejoin",
      };
    case "room-full":
      return { title: "This room is full.", text: "Wait until somebody leaves, or choose another room.", ...REJOIN };
    case "room-locked":
      return { title: "This room is locked.", text: "Ask somebody in the room to let you in.", ...REJOIN };
    case "removed":
      return { title: "A moderator removed you from this room.", text: "If this was a mistake, ask somebody in the room.", ...NO_ACTION };
    case "room-ended":
      return {
        title: endedByUs ? "You ended this room." : "A moderator ended this room.",
        text: "Everybody has left.",
        ...NO_ACTION,
      };
    case "token-required":
    case "token-invalid":
    case "not-allowed":
    case "too-many-failures":
    case "foreign-origin":
      return { ...accessStrings(code, "room", retryAfterMs), action: "checkAccess", actionLabel: "Try again" };
    default:
      return { title: "The server refused access.", text: message, action: "checkAccess", actionLabel: "Try again" };
  }
}

/**
 * @param {string} room
 * @returns {Ending}
 */
export function leftRoom(room) {
  return { title: "You left the room.", text: `You can rejoin ${room} with the same link.`, action: "prejoin", actionLabel: "Rejoin" };
}

/**
 * @param {string} problem
 * @returns {Ending}
 */
export function invalidRoom(problem) {
  return { title: "This room does not exist.", text: problem, ...NO_ACTION };
}

/**
 * What a room needs of the browser and does not find.
 * @param {object} browser its global object
 * @returns {string | null} a name for people
 */
export function missingForRooms(browser) {
  if (!("RTCPeerConnection" in browser)) return "WebRTC, which carries sound and pictures";
  if (!("WebSocket" in browser)) return "WebSocket";
  return "HTMLDialogElement" in browser ? null : "the dialog element";
}

/**
 * @param {string} missing
 * @returns {Ending}
 */
export function unsupportedBrowser(missing) {
  const text = `It lacks ${missing}, or that is switched off. Use a current Firefox, Chrome, Edge or Safari.`;
  return { title: "This browser cannot join rooms.", text, ...NO_ACTION };
}

/** @param {import("./joinIntent.js").JoinIntent} intent */
export function joinLabel(intent) {
  return { send: "Join the room", watch: "Join to watch and listen" }[intent];
}

/**
 * @param {number} count with ourselves
 * @returns {string}
 */
export function peopleCount(count) {
  return count === 1 ? "only you" : `${count} people`;
}

/**
 * @param {import("../signaling.js").SignalingState} state
 * @param {boolean} online
 * @returns {string} empty while the connection to the server is up
 */
export function connectionProblem(state, online) {
  if (state.kind !== "waiting" && state.kind !== "connecting") return "";
  if (!online) return "This device is offline. It reconnects as soon as the network is back.";
  if (state.socketRefused) return NO_WEBSOCKET;
  return "The server does not answer. Video and audio continue, but nobody can join, and chat waits. Reconnecting …";
}

/** The lock button shows the state, not the action. @param {boolean} locked */
export function lockLabel(locked) {
  return locked ? "Room locked" : "Room open";
}

/** @param {boolean} isPrivate only invited people can join */
export function emptyRoom(isPrivate) {
  return isPrivate ? "Nobody else is here yet. Only invited people can join." : "Nobody else is here yet.";
}

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {string} text
 * @property {string} confirmLabel
 */

/**
 * @param {string} name
 * @param {boolean} locked
 * @returns {Question}
 */
export function removeQuestion(name, locked) {
  const text = locked
    ? "The room is locked, so nobody can rejoin."
    : `While the room is open, ${name} can rejoin with the link.`;
  return { title: `Remove ${name} from this room?`, text, confirmLabel: "Remove" };
}

/** @returns {Question} */
export function endQuestion() {
  return { title: "End this room for everybody?", text: "Everybody leaves the room, including you.", confirmLabel: "End for everybody" };
}

/**
 * @param {import("../peer/peer.js").PeerStatus} status
 * @returns {string}
 */
export function peerStatus(status) {
  return { connecting: "Connecting …", connected: "", repairing: "Reconnecting …" }[status];
}

/**
 * @param {number | null} bps
 * @returns {string}
 */
function bitrate(bps) {
  if (bps === null) return "–";
  return bps >= 1_000_000 ? `${(bps / 1_000_000).toFixed(1)} Mbit/s` : `${Math.round(bps / 1000)} kbit/s`;
}

/**
 * A tile's statistics, as terms and values.
 * @param {import("../peer/peerStats.js").PeerStats} stats
 * @returns {[string, string][]}
 */
export function statisticsRows(stats) {
  /** @type {[string, string][]} */
  const rows = [];
  if (stats.resolution !== "") {
    const rate = stats.frameRateFps === null ? "–" : Math.round(stats.frameRateFps);
    rows.push(["Video", `${stats.resolution}, ${rate}/s`]);
  }
  rows.push(["In", bitrate(stats.receivedBps)], ["Out", bitrate(stats.sentBps)]);
  rows.push(["Loss", stats.lossPercent === null ? "–" : `${stats.lossPercent.toFixed(1)} %`]);
  rows.push(["Round trip", stats.roundTripMs === null ? "–" : `${Math.round(stats.roundTripMs)} ms`]);
  rows.push(["Path", stats.path ?? "–"]);
  return rows;
}
