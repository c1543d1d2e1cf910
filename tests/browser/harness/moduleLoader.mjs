/**
 * The modules of the pages are `.js` files without a package.json beside them. Browsers know from the HTML that they are
 * modules. Node.js before 20.19 must be told.
 */

import { register } from "node:module";

const hook = `export const load = (url, context, next) =>
  next(url, /\\/www\\/.+\\.js$/.test(url) ? { ...context, format: "module" } : context);`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);

// What modules ask the page for: where the front page is.
globalThis.document ??= { documentElement: { dataset: { root: "./" } } };
globalThis.location ??= new URL("https://host.test/");
