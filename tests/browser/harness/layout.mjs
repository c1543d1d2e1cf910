/**
 * Layout checks in several window sizes and both colour schemes: nothing is cut off, too small to tap, or overlapping.
 */

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { waitFor } from "./waitFor.mjs";

const SIZES = [[320, 640], [390, 844], [844, 390], [1440, 900], [3840, 2160]];

/** Runs in the page. @param {string} within checks only this element's content, where a dialog covers the rest */
function measure(within) {
  return new Promise((resolve) => {
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const controls = "button, input, select, a";
      const boxes = [...document.querySelector(within).querySelectorAll(`${controls}, .tile, .tile-caption, h1, .lead`)]
        .filter((element) => element.checkVisibility() && !element.classList.contains("visually-hidden"))
        .map((element) => ({ name: element.className || element.id || element.tagName, element, box: element.getBoundingClientRect() }));
      const tooSmall = boxes.filter(({ element, box }) => element.matches(controls) && (box.width < 43.9 || box.height < 43.9));
      const outside = boxes.filter(({ box }) => box.left < -0.5 || box.right > innerWidth + 0.5);
      const overlapping = [];
      for (const [index, a] of boxes.entries()) {
        for (const b of boxes.slice(index + 1)) {
          if (a.element.contains(b.element) || b.element.contains(a.element)) continue;
          const widthPx = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
          const heightPx = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
          if (widthPx > 1 && heightPx > 1) overlapping.push(`${a.name} and ${b.name}`);
        }
      }
      resolve({
        overflowPx: document.documentElement.scrollWidth - innerWidth,
        tooSmall: tooSmall.map(({ name }) => name),
        outside: outside.map(({ name }) => name),
        overlapping,
      });
    }));
  });
}

/**
 * Saves a screenshot if SCREENSHOTS names a folder.
 * @param {import("puppeteer-core").Page} page
 * @param {string} name
 */
export async function saveScreenshot(page, name) {
  const folder = process.env.SCREENSHOTS;
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`) });
}

/**
 * @param {import("puppeteer-core").Page} page
 * @param {string} name of the screenshots
 * @param {string} within selector
 */
export async function assertLayout(page, name, within = "body") {
  await page.bringToFront();
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    for (const [width, height] of SIZES) {
      await page.setViewport({ width, height });
      const found = await waitFor("the layout", () => page.evaluate(measure, within));
      assert.deepEqual(found, { overflowPx: 0, tooSmall: [], outside: [], overlapping: [] }, `${name} at ${width} × ${height}`);
      await saveScreenshot(page, `${name}-${width}-${scheme}`);
    }
  }
}
