/**
 * The page's modules are `.js` and have no package beside them to say that they are modules: browsers know it from the
 * HTML. Nodes before 20.19 have to be told.
 */

import { register } from "node:module";

const hook = `export const load = (url, context, next) =>
  next(url, /\\/www\\/.+\\.js$/.test(url) ? { ...context, format: "module" } : context);`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
