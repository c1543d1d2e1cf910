import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { LISTENER_BROWSERS } from "../harness/browsers.mjs";
import { collectErrors, shows } from "../harness/page.mjs";
import { Server } from "../harness/server.mjs";

const WWW = fileURLToPath(new URL("../../../www", import.meta.url));

/** What each page shows once its script has run. */
const PAGES = { "/": [".card-status-text", /^On air/], "/listen": ["#play", /Start/], "/room/assets": ["#prejoin-title", /assets/] };

describe("files of the pages", { timeout: 60_000 }, () => {
  /** @type {import("puppeteer-core").Browser} */
  let browser;
  before(async () => {
    browser = await LISTENER_BROWSERS.Chromium();
  });
  after(() => browser?.close());

  /** Opens every page and returns how many scripts and styles each has loaded. */
  async function loadPages(t, flags) {
    const server = await Server.start(0, flags);
    t.after(() => server.kill());
    const counts = [];
    for (const [path, [selector, pattern]] of Object.entries(PAGES)) {
      const context = await browser.createBrowserContext();
      const page = await context.newPage();
      const errors = collectErrors(page);
      await page.goto(server.origin + path, { waitUntil: "load" });
      await shows(page, selector, pattern);
      counts.push(await page.evaluate(() => performance.getEntriesByType("resource")
        .filter(({ name }) => /\.(js|css)$/.test(new URL(name).pathname)).length));
      assert.deepEqual(errors, [], path);
      await context.close();
    }
    return counts;
  }

  test("a page of the binary loads one script and one style sheet, and the listening page its worker", { skip: process.env.ROOMTONE_WWW !== undefined }, async (t) => {
    assert.deepEqual(await loadPages(t, []), [2, 3, 2]);
  });

  test("a page from a folder loads its modules one by one", async (t) => {
    for (const count of await loadPages(t, process.env.ROOMTONE_WWW === undefined ? ["--www", WWW] : [])) assert.ok(count > 10);
  });
});
