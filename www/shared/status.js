/**
 * The server's status, from `/api/status`.
 */

import { addressOf } from "./address.js";
import { abortAfter } from "./requests.js";
import { authorizationHeaders } from "./tokenStore.js";

const TIMEOUT_MS = 5000;

/** @typedef {import("./protocol.js").Status} Status */
/** @typedef {import("./protocol.js").StationStatus} StationStatus */

/**
 * @param {string | null} token
 * @returns {Promise<Status | null>} null if the server does not answer, or refuses
 */
export async function fetchStatus(token) {
  try {
    const response = await fetch(addressOf("api/status"), {
      headers: authorizationHeaders(token),
      cache: "no-store",
      signal: abortAfter(TIMEOUT_MS),
    });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

/**
 * @param {Status | null} status
 * @param {string | null} name null for the first station
 * @returns {StationStatus | null}
 */
export function findStation(status, name) {
  const stations = status?.stations ?? [];
  return (name === null ? stations[0] : stations.find((station) => station.name === name)) ?? null;
}

/**
 * @param {string | null} stationName null for the first station
 * @returns {string} the station's WHEP endpoint
 */
export function whepEndpoint(stationName) {
  return addressOf(stationName === null ? "whep" : `whep/${encodeURIComponent(stationName)}`);
}
