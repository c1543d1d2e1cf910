/**
 * Addresses of what this server serves. A proxy may serve it below a path, so everything is named as seen from the front page,
 * and the HTML of each page says in `data-root` where that is.
 */

import { rootReference } from "./dom.js";

/** The front page's address. */
export function frontPage() {
  return new URL(rootReference(), location.href);
}

/**
 * @param {string} path from the front page, such as `api/status`
 * @returns {string} the whole address
 */
export function addressOf(path) {
  return new URL(path, frontPage()).href;
}

/**
 * The path of this page as the server knows it, such as `/room/kitchen`.
 * @returns {string}
 */
export function pagePath() {
  return location.pathname.slice(frontPage().pathname.length - 1);
}
