/**
 * What the host says of itself at `/api/status`.
 */

import { bearer } from "./tokenStore.js";

/** An answer that takes longer is none. */
const PATIENCE_MS = 5000;

/**
 * @typedef {object} Source Where a station's sound comes from.
 * @property {string} kind `sine`, `device`, `loopback`, `file` or `pipe`
 * @property {string} name
 * @property {"opening" | "live" | "silent" | "reopening"} state
 * @property {string | null} [problem]
 */

/**
 * @typedef {object} Station
 * @property {string} name
 * @property {Source} source
 * @property {{ packet_ms: number }} encoding
 * @property {number} listeners
 */

/**
 * @typedef {object} Host
 * @property {string} version
 * @property {number} uptime_s
 * @property {Station[]} stations
 */

/**
 * @param {string | null} key
 * @returns {Promise<Host | null>} null when the host does not answer, or not to us
 */
export async function askHost(key) {
  try {
    const response = await fetch("/api/status", {
      headers: bearer(key),
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

/**
 * The station of that name, or the host's first when none is named.
 * @param {Host | null} host
 * @param {string | null} name
 * @returns {Station | null}
 */
export function stationOf(host, name) {
  const stations = host?.stations ?? [];
  return (name === null ? stations[0] : stations.find((station) => station.name === name)) ?? null;
}

/**
 * Where to ask for the sound of a station.
 * @param {string | null} name
 * @returns {string}
 */
export function endpointOf(name) {
  return name === null ? "/whep" : `/whep/${encodeURIComponent(name)}`;
}
