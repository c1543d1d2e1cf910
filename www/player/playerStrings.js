/**
 * The player's state in words. Pure.
 */

import { stationProblem } from "../shared/stationStrings.js";

/** @typedef {import("./player.js").PlayerState} PlayerState */
/** @typedef {import("./sessionError.js").Reason} Reason */

/**
 * @typedef {object} StatusStrings
 * @property {string} status a few words
 * @property {string} advice a sentence or two: why, and what to do; empty if there is nothing to say
 */

/**
 * @typedef {object} Context
 * @property {boolean} needsTap the browser does not play without a user gesture
 * @property {boolean} online
 * @property {import("../shared/protocol.js").StationStatus | null} station
 * @property {boolean} muted
 */

/** @type {Record<Reason, string>} */
const SENTENCES = {
  unreachable: "The server does not answer. It may be restarting, or the network is down.",
  full: "The server has no free place for a listener.",
  "not-found": "This station does not exist. It may have another name now: see the front page.",
  unauthorized: "This station is private. Open the link in your invitation.",
  refused: "The server refused. Reload the page. If that does not help, the server’s log says why.",
  "ice-failed": "The server answers, but no sound arrives. A firewall may block UDP: the server’s port must be open for UDP as well as for TCP.",
  stalled: "No sound arrives, although the connection is open.",
  closed: "The server closed the connection. It may have restarted.",
  unsupported: "This browser cannot receive live sound. Use a current Firefox, Chrome, Edge or Safari, and check that WebRTC is not disabled.",
};

/**
 * @param {Reason} reason
 * @param {string} detail message of the server
 * @param {boolean} online
 */
function sentenceFor(reason, detail, online) {
  if (!online) return "This device is offline.";
  const message = detail !== "" && (reason === "refused" || reason === "not-found") ? ` Its message: “${detail}”` : "";
  return SENTENCES[reason] + message;
}

/**
 * @param {PlayerState} state
 * @param {Context} context
 * @returns {StatusStrings}
 */
export function statusStrings(state, { needsTap, online, station, muted }) {
  switch (state.kind) {
    case "idle":
      return { status: "Press Start to listen", advice: "" };
    case "connecting":
      return { status: "Connecting …", advice: "" };
    case "live":
      if (needsTap) {
        return { status: "Tap to play", advice: "Your browser plays sound only after a tap. Tap anywhere." };
      }
      if (muted) return { status: "Live, muted", advice: "Move the volume up to hear it." };
      return { status: "Live", advice: stationProblem(station) };
    case "repairing":
      return { status: "Reconnecting …", advice: "The network changed. Looking for another network path." };
    case "waiting":
    case "retrying":
      return { status: "Reconnecting …", advice: sentenceFor(state.reason, state.detail, online) };
    case "failed":
      return { status: "No sound", advice: sentenceFor(state.reason, state.detail, online) };
  }
}

/**
 * @param {PlayerState} state
 * @param {number} nowMs
 * @returns {string} empty if no retry is scheduled
 */
export function retryCountdown(state, nowMs) {
  if (state.kind === "retrying") return "Retrying now";
  if (state.kind !== "waiting") return "";
  const seconds = Math.ceil((state.dueMs - nowMs) / 1000);
  return seconds < 1 ? "Retrying now" : `Retrying in ${seconds} s`;
}

/**
 * @param {number} dbfs
 * @returns {string} with a true minus sign
 */
export function formatDecibels(dbfs) {
  if (!Number.isFinite(dbfs)) return "−∞";
  const rounded = Math.round(dbfs);
  return rounded < 0 ? `−${-rounded}` : `${rounded}`;
}

/**
 * @param {number | null} value
 * @param {number} digits after the decimal point, while the value is small
 * @returns {string}
 */
export function formatNumber(value, digits) {
  if (value === null) return "–";
  return value === 0 || value >= 10 ? value.toFixed(0) : value.toFixed(digits);
}
