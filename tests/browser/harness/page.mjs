/**
 * What tests of all pages need: contexts, opening a page, reading texts.
 */

import { waitFor } from "./waitFor.mjs";

/**
 * A browser context with its own storage, as another person's browser has.
 * @param {import("node:test").TestContext} t
 * @param {import("puppeteer-core").Browser} browser
 */
export async function newContext(t, browser) {
  const context = await browser.createBrowserContext();
  t.after(() => context.close());
  return context;
}

/**
 * Collects exceptions of a page, and violations of its Content-Security-Policy.
 * @param {import("puppeteer-core").Page} page
 * @returns {string[]}
 */
export function collectErrors(page) {
  /** @type {string[]} */
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (/Content.Security.Policy/i.test(message.text())) errors.push(message.text());
  });
  return errors;
}

/** The text of a visible element, or empty. */
export const textOf = (page, selector) => page.$eval(selector, (element) => (element.checkVisibility() ? element.textContent.trim() : ""));

/** Waits until an element shows a text. @param {RegExp} pattern */
export const shows = (page, selector, pattern) => waitFor(
  `${selector} to show ${pattern}`,
  async () => pattern.test(await textOf(page, selector)),
);

/** Controls without a name in an accessibility tree. @param {RegExp} roles */
export async function unnamedControls(page, roles) {
  const nodesOf = (node) => [node, ...(node.children ?? []).flatMap(nodesOf)];
  return nodesOf(await page.accessibility.snapshot()).filter(({ role, name }) => roles.test(role) && !name);
}
