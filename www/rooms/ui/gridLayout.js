/**
 * The layout of tiles in an area: the number of columns that makes the tiles largest. Pure.
 */

/** Cameras are 16:9 at most. */
const MAX_ASPECT = 16 / 9;
/** In a portrait area, such as a phone's, tiles may be portrait too. In a landscape area they stay landscape. */
const MIN_ASPECT = 3 / 4;
const MIN_ASPECT_LANDSCAPE = 4 / 3;

/**
 * @typedef {object} Layout
 * @property {number} columns
 * @property {number} rows
 * @property {number} widthPx of one tile
 * @property {number} heightPx of one tile
 */

/**
 * A tile fills its cell as far as its aspect ratio allows.
 * @param {number} tiles
 * @param {number} areaWidthPx
 * @param {number} areaHeightPx
 * @param {number} gapPx between tiles
 * @returns {Layout}
 */
export function layoutTiles(tiles, areaWidthPx, areaHeightPx, gapPx) {
  /** @type {Layout} */
  let best = { columns: 1, rows: Math.max(1, tiles), widthPx: 0, heightPx: 0 };
  let bestArea = -1;
  const minAspect = Math.min(MIN_ASPECT_LANDSCAPE, Math.max(MIN_ASPECT, areaWidthPx / areaHeightPx));
  for (let columns = 1; columns <= Math.max(1, tiles); columns += 1) {
    const rows = Math.ceil(Math.max(1, tiles) / columns);
    const cellWidth = (areaWidthPx - gapPx * (columns - 1)) / columns;
    const cellHeight = (areaHeightPx - gapPx * (rows - 1)) / rows;
    if (cellWidth <= 0 || cellHeight <= 0) continue;
    const width = Math.min(cellWidth, cellHeight * MAX_ASPECT);
    const height = Math.min(cellHeight, width / minAspect);
    if (width * height > bestArea) {
      bestArea = width * height;
      best = { columns, rows, widthPx: Math.floor(width), heightPx: Math.floor(height) };
    }
  }
  return best;
}
