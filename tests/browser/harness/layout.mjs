/**
 * The look of a page in the sizes and colours it may be seen in: nothing cut off, too small for a finger, or one over another.
 */

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { until } from "./server.mjs";

const SIZES = [[320, 640], [390, 844], [844, 390], [1440, 900], [3840, 2160]];

/** Runs in the page. @param {string} within only what is in there, where a dialog covers the rest */
function measure(within) {
  return new Promise((done) => {
    requestAnimationFrame(() => requestAnimationFrame(() => {
      const boxes = [...document.querySelector(within).querySelectorAll("button, input, select, a, .tile, .tile-foot, h1, .lead")]
        .filter((each) => each.checkVisibility() && !each.classList.contains("unseen"))
        .map((each) => ({ is: each.className || each.id || each.tagName, element: each, box: each.getBoundingClientRect() }));
      const small = boxes.filter(({ element, box }) => element.matches("button, input, select, a") && (box.width < 43.9 || box.height < 43.9));
      const out = boxes.filter(({ box }) => box.left < -0.5 || box.right > innerWidth + 0.5);
      const over = [];
      for (const [at, a] of boxes.entries()) {
        for (const b of boxes.slice(at + 1)) {
          if (a.element.contains(b.element) || b.element.contains(a.element)) continue;
          const wide = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
          const high = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
          if (wide > 1 && high > 1) over.push(`${a.is} and ${b.is}`);
        }
      }
      done({ wide: document.documentElement.scrollWidth - innerWidth, small: small.map(({ is }) => is), out: out.map(({ is }) => is), over });
    }));
  });
}

/**
 * @param {import("puppeteer-core").Page} page
 * @param {string} name of the pictures, which are taken where SCREENSHOTS names a folder
 * @param {string} within
 */
export async function assertLaidOut(page, name, within = "body") {
  await page.bringToFront();
  for (const scheme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
    for (const [width, height] of SIZES) {
      await page.setViewport({ width, height });
      const found = await until("the layout", () => page.evaluate(measure, within));
      assert.deepEqual(found, { wide: 0, small: [], out: [], over: [] }, `${name} at ${width} × ${height}`);
      if (!process.env.SCREENSHOTS) continue;
      await mkdir(process.env.SCREENSHOTS, { recursive: true });
      await page.screenshot({ path: join(process.env.SCREENSHOTS, `${name}-${width}-${scheme}.png`) });
    }
  }
}
