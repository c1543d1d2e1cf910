/**
 * How tiles share a space: the number of columns that makes them largest. Pure.
 */

/** Tiles are as wide as cameras see at most, 16 to 9. */
const WIDEST = 16 / 9;
/** Where the space is upright, as on a phone, tiles may be upright too, for a face is; on a wide one they stay wide. */
const NARROWEST = 3 / 4;
const NARROWEST_WIDE = 4 / 3;

/**
 * @typedef {object} Layout
 * @property {number} columns
 * @property {number} rows
 * @property {number} width_px of one tile
 * @property {number} height_px of one tile
 */

/**
 * The columns with which tiles cover most of the space. A tile fills its cell as far as its shape may vary.
 * @param {number} tiles
 * @param {number} width_px of the space
 * @param {number} height_px of the space
 * @param {number} gap_px between tiles
 * @returns {Layout}
 */
export function layoutOf(tiles, width_px, height_px, gap_px) {
  /** @type {Layout} */
  let best = { columns: 1, rows: Math.max(1, tiles), width_px: 0, height_px: 0 };
  let best_area = -1;
  const narrowest = Math.min(NARROWEST_WIDE, Math.max(NARROWEST, width_px / height_px));
  for (let columns = 1; columns <= Math.max(1, tiles); columns += 1) {
    const rows = Math.ceil(Math.max(1, tiles) / columns);
    const cell_width = (width_px - gap_px * (columns - 1)) / columns;
    const cell_height = (height_px - gap_px * (rows - 1)) / rows;
    if (cell_width <= 0 || cell_height <= 0) continue;
    const width = Math.min(cell_width, cell_height * WIDEST);
    const height = Math.min(cell_height, width / narrowest);
    if (width * height > best_area) {
      best_area = width * height;
      best = { columns, rows, width_px: Math.floor(width), height_px: Math.floor(height) };
    }
  }
  return best;
}
