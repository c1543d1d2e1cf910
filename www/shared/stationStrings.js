/**
 * A station in words. Pure.
 */

/** @typedef {import("./protocol.js").StationStatus} StationStatus */

/** Title of a station whose source has no name, or is not known yet. */
export const DEFAULT_TITLE = "Sound of this host";

/**
 * @param {StationStatus | null} station
 * @returns {string}
 */
export function stationTitle(station) {
  return station?.source.name || DEFAULT_TITLE;
}

/**
 * Where the sound comes from.
 * @param {StationStatus | null} station
 * @returns {string}
 */
export function sourceLabel(station) {
  switch (station?.source.kind) {
    case "device": return "Microphone or line input";
    case "loopback": return "Sound that the host plays";
    case "file": return "File";
    case "pipe": return "Audio stream";
    default: return "Station";
  }
}

/**
 * State and number of listeners, for a list of stations.
 * @param {StationStatus} station
 * @returns {string}
 */
export function stationSummary({ source, listeners }) {
  const state = { opening: "Starting", live: "On air", silent: "Silent", reopening: "Waiting for its device" }[source.state];
  return listeners === 0 ? state : `${state} · ${listeners} listening`;
}

/**
 * Why a station is silent.
 * @param {StationStatus | null} station
 * @returns {string} empty while the source delivers sound
 */
export function stationProblem(station) {
  switch (station?.source.state) {
    case "reopening":
      return "The host lost its sound device. You hear silence until the device is back.";
    case "silent":
      return "The host’s sound source is silent at the moment.";
    case "opening":
      return "The host is opening its sound device.";
    default:
      return "";
  }
}
