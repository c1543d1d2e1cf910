import assert from "node:assert/strict";
import { test } from "node:test";
import { layoutTiles } from "../../../../www/rooms/ui/gridLayout.js";

const AREAS = [[304, 480], [374, 680], [828, 260], [1400, 760], [3800, 2000]];

test("all tiles fit, for any number in any area, and cover a good part of it", () => {
  for (const [width, height] of AREAS) {
    for (let tiles = 1; tiles <= 32; tiles += 1) {
      const { columns, rows, widthPx, heightPx } = layoutTiles(tiles, width, height, 8);
      const what = `${tiles} tiles in ${width} × ${height}`;
      assert.ok(columns * rows >= tiles && columns * (rows - 1) < tiles, what);
      assert.ok(columns * widthPx + (columns - 1) * 8 <= width, `${what} are too wide`);
      assert.ok(rows * heightPx + (rows - 1) * 8 <= height, `${what} are too high`);
      assert.ok(tiles * widthPx * heightPx > 0.4 * width * height, `${what} leave too much empty`);
      assert.ok(widthPx / heightPx < 1.8 && widthPx / heightPx > 0.74, `${what} have the shape ${widthPx} × ${heightPx}`);
    }
  }
});

test("two tiles are stacked on a phone, and side by side on a wide screen", () => {
  assert.equal(layoutTiles(2, 374, 680, 8).columns, 1);
  assert.equal(layoutTiles(2, 1400, 760, 8).columns, 2);
  assert.equal(layoutTiles(6, 374, 680, 8).columns, 2);
  assert.equal(layoutTiles(4, 1400, 760, 8).columns, 2);
  assert.equal(layoutTiles(16, 1400, 760, 8).columns, 4);
});

test("an area without size, and no tiles, are no error", () => {
  assert.equal(layoutTiles(0, 400, 400, 8).columns, 1);
  assert.equal(layoutTiles(3, 0, 0, 8).widthPx, 0);
});
