/**
 * Every sentence that depends on what happens: states in, plain words out. Pure, so that a test can read them all.
 */

/** @typedef {import("./player.js").TunerState} TunerState */
/** @typedef {import("./whepSession.js").Reason} Reason */
/** @typedef {import("../shared/status.js").Station} Station */

/**
 * @typedef {object} Words
 * @property {string} status a few words
 * @property {string} advice a sentence or two: why, and what to do; empty when there is nothing to say
 */

/** @type {Record<Reason, string>} */
const WHY = {
  unreachable: "The host does not answer. It may be restarting, or the network in between is down.",
  full: "The host has no free place right now.",
  missing: "This station does not exist here. It may have another name now: look at the front page.",
  uninvited: "This station is private. Open the link you were invited with.",
  refused: "The host refused. Reload the page; if that changes nothing, the host’s log says why.",
  "no-path": "The host answers, but its sound finds no way here. A firewall may block UDP: the host’s port has to be open for UDP as well as for TCP.",
  stalled: "The sound stopped coming although the line was open.",
  cut: "The host closed the line. It may have been restarted.",
  unsupported: "This browser cannot receive live sound. A current Firefox, Chrome, Edge or Safari can, unless WebRTC is switched off in its settings.",
};

/**
 * @param {Reason} reason
 * @param {string} detail what the host said
 * @param {boolean} online what the browser knows of its own network
 */
function whyOf(reason, detail, online) {
  if (!online) return "This device is offline.";
  const said = detail !== "" && (reason === "refused" || reason === "missing") ? ` It said: “${detail}”` : "";
  return WHY[reason] + said;
}

/**
 * @param {Station | null} station
 * @returns {string} empty while the source is well
 */
export function troubleOf(station) {
  switch (station?.source.state) {
    case "reopening":
      return "The host’s sound device is gone. You hear silence until it comes back.";
    case "silent":
      return "The host’s sound source is silent at the moment.";
    case "opening":
      return "The host is just opening its sound device.";
    default:
      return "";
  }
}

/**
 * @param {TunerState} state
 * @param {{ tap_needed: boolean, online: boolean, station: Station | null, muted: boolean }} around
 * @returns {Words}
 */
export function wordsOf(state, { tap_needed, online, station, muted }) {
  switch (state.kind) {
    case "idle":
      return { status: "Ready when you are", advice: "" };
    case "connecting":
      return { status: "Connecting …", advice: "" };
    case "live":
      if (tap_needed) {
        return { status: "One more tap", advice: "Your browser waits for a tap before it plays sound. Tap anywhere." };
      }
      if (muted) return { status: "Live, but muted", advice: "Move the volume up to hear it." };
      return { status: "Live", advice: troubleOf(station) };
    case "repairing":
      return { status: "Reconnecting …", advice: "The network changed. Looking for another way." };
    case "waiting":
    case "retrying":
      return { status: "Reconnecting …", advice: whyOf(state.reason, state.detail, online) };
    case "failed":
      return { status: "No sound", advice: whyOf(state.reason, state.detail, online) };
  }
}

/**
 * @param {TunerState} state
 * @param {number} now_ms
 * @returns {string} empty when no try is planned
 */
export function countdownOf(state, now_ms) {
  if (state.kind === "retrying") return "Trying now";
  if (state.kind !== "waiting") return "";
  const seconds = Math.ceil((state.due_ms - now_ms) / 1000);
  return seconds < 1 ? "Trying now" : `Next try in ${seconds} s`;
}

/**
 * What the front page says under a station's name.
 * @param {Station} station
 * @returns {string}
 */
export function offerOf({ source, listeners }) {
  const state = { opening: "Opening", live: "On air", silent: "Silent", reopening: "Waiting for its device" }[source.state];
  return listeners === 0 ? state : `${state} · ${listeners} listening`;
}

/**
 * @param {Station | null} station
 * @returns {string}
 */
export function titleOf(station) {
  return station?.source.name || "Sound of this host";
}

/**
 * Where the sound comes from, in a word or two.
 * @param {Station | null} station
 * @returns {string}
 */
export function originOf(station) {
  switch (station?.source.kind) {
    case "sine": return "This host sends";
    case "device": return "Microphone or line";
    case "loopback": return "What this host plays";
    case "file": return "A recording";
    case "pipe": return "A feed";
    default: return "Station";
  }
}

/**
 * @param {number} dbfs
 * @returns {string} with a true minus sign
 */
export function decibelsOf(dbfs) {
  if (!Number.isFinite(dbfs)) return "−∞";
  const whole = Math.round(dbfs);
  return whole < 0 ? `−${-whole}` : `${whole}`;
}

/**
 * @param {number | null} value
 * @param {number} digits after the point while it is small
 * @returns {string}
 */
export function figureOf(value, digits) {
  if (value === null) return "–";
  return value === 0 || value >= 10 ? value.toFixed(0) : value.toFixed(digits);
}
