/**
 * The list of stations on the front page: one card each, copied from the first one in the HTML.
 */

import { addressOf } from "../shared/address.js";
import { childOf, setTextOf } from "../shared/dom.js";
import { DEFAULT_TITLE, stationSummary, stationTitle } from "../shared/stationStrings.js";

/** @typedef {import("../shared/protocol.js").StationStatus} StationStatus */

export class StationList {
  #list;
  #firstItem;

  /** @param {HTMLElement} list with one item, the pattern for all */
  constructor(list) {
    this.#list = list;
    this.#firstItem = childOf(list, "li", HTMLElement);
  }

  /** @param {StationStatus[]} stations at least one */
  show(stations) {
    const { children } = this.#list;
    while (children.length > stations.length) children[children.length - 1].remove();
    while (children.length < stations.length) this.#list.append(this.#firstItem.cloneNode(true));
    stations.forEach((station, index) => {
      const item = /** @type {HTMLElement} */ (children[index]);
      // `/listen` without a name plays the first station.
      const path = index === 0 ? "listen" : `listen?station=${encodeURIComponent(station.name)}`;
      childOf(item, "a", HTMLAnchorElement).href = addressOf(path);
      fill(item, stationTitle(station), stationSummary(station), station.source.state);
    });
  }

  /** Shows one card for all stations. @param {string} summary */
  showNone(summary) {
    fill(this.#firstItem, DEFAULT_TITLE, summary, "unknown");
  }

  /** Keeps the cards, because the server may come back. */
  showUnreachable() {
    for (const item of this.#list.children) {
      const title = childOf(item, ".card-title", HTMLElement).textContent ?? "";
      fill(/** @type {HTMLElement} */ (item), title, "Not reachable", "unknown");
    }
  }
}

/**
 * @param {HTMLElement} item
 * @param {string} title
 * @param {string} summary
 * @param {string} state for the status dot
 */
function fill(item, title, summary, state) {
  setTextOf(childOf(item, ".card-title", HTMLElement), title);
  setTextOf(childOf(item, ".card-status-text", HTMLElement), summary);
  item.dataset.state = state;
}
