/**
 * How tiles share a space: the number of columns that makes them largest. Pure.
 */

/** Tiles are as wide as cameras see: 16 to 9; on a tall narrow space they may be as square as this. */
const WIDEST = 16 / 9;
const SQUAREST = 1;

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
  let best_score = -1;
  for (let columns = 1; columns <= Math.max(1, tiles); columns += 1) {
    const rows = Math.ceil(Math.max(1, tiles) / columns);
    const cell_width = (width_px - gap_px * (columns - 1)) / columns;
    const cell_height = (height_px - gap_px * (rows - 1)) / rows;
    if (cell_width <= 0 || cell_height <= 0) continue;
    const width = Math.min(cell_width, cell_height * WIDEST);
    const height = Math.min(cell_height, width / SQUAREST);
    // What counts is how large a 16 to 9 picture appears, then how much is covered: empty cells are no gain.
    const picture = Math.min(width, height * WIDEST);
    const score = picture * 1000 + width * height / 1000 - (columns * rows - tiles);
    if (score > best_score) {
      best_score = score;
      best = { columns, rows, width_px: Math.floor(width), height_px: Math.floor(height) };
    }
  }
  return best;
}
