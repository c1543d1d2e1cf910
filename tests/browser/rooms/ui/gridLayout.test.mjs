import assert from "node:assert/strict";
import { test } from "node:test";
import { layoutOf } from "../../../../www/rooms/ui/gridLayout.js";

const SPACES = [[304, 480], [374, 680], [828, 260], [1400, 760], [3800, 2000]];

test("all tiles fit, for any number in any space, and cover a good part of it", () => {
  for (const [width, height] of SPACES) {
    for (let tiles = 1; tiles <= 32; tiles += 1) {
      const { columns, rows, width_px, height_px } = layoutOf(tiles, width, height, 8);
      const what = `${tiles} tiles in ${width} × ${height}`;
      assert.ok(columns * rows >= tiles && columns * (rows - 1) < tiles, what);
      assert.ok(columns * width_px + (columns - 1) * 8 <= width, `${what} are too wide`);
      assert.ok(rows * height_px + (rows - 1) * 8 <= height, `${what} are too high`);
      assert.ok(tiles * width_px * height_px > 0.4 * width * height, `${what} leave too much empty`);
      assert.ok(width_px / height_px < 1.8 && width_px / height_px > 0.74, `${what} have the shape ${width_px} × ${height_px}`);
    }
  }
});

test("a phone stacks two, and a wide screen puts them side by side", () => {
  assert.equal(layoutOf(2, 374, 680, 8).columns, 1);
  assert.equal(layoutOf(2, 1400, 760, 8).columns, 2);
  assert.equal(layoutOf(6, 374, 680, 8).columns, 2);
  assert.equal(layoutOf(4, 1400, 760, 8).columns, 2);
  assert.equal(layoutOf(16, 1400, 760, 8).columns, 4);
});

test("no space and no tiles are no error", () => {
  assert.equal(layoutOf(0, 400, 400, 8).columns, 1);
  assert.equal(layoutOf(3, 0, 0, 8).width_px, 0);
});
