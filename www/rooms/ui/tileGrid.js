/**
 * Keeps the tiles of a room as large as their area allows.
 */

import { layoutTiles } from "./gridLayout.js";

/** As in room.css. */
const GAP_PX = 8;

export class TileGrid {
  #area;
  #grid;

  /**
   * @param {HTMLElement} area
   * @param {HTMLElement} grid inside the area, contains the tiles
   */
  constructor(area, grid) {
    this.#area = area;
    this.#grid = grid;
    new ResizeObserver(() => this.update()).observe(area);
    new MutationObserver(() => this.update()).observe(grid, { childList: true });
  }

  update() {
    const { clientWidth, clientHeight } = this.#area;
    const { columns, widthPx, heightPx } = layoutTiles(this.#grid.childElementCount, clientWidth, clientHeight, GAP_PX);
    this.#grid.style.setProperty("--columns", String(columns));
    this.#grid.style.setProperty("--tile-width", `${widthPx}px`);
    this.#grid.style.setProperty("--tile-height", `${heightPx}px`);
  }
}
