/**
 * Rules about the files of the pages that neither `tsc` nor a browser checks.
 */

import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const WWW = fileURLToPath(new URL("../../www", import.meta.url));
const TESTS = fileURLToPath(new URL(".", import.meta.url));
const MAX_LINES = 500;

/** Which folders the modules of a folder import from. */
const IMPORTS = {
  shared: ["shared"],
  player: ["player", "shared"],
  lobby: ["lobby", "shared"],
  rooms: ["rooms", "player", "shared"],
};

/** All files of a folder with one of these extensions, as paths relative to it. */
function filesOf(folder, extensions) {
  const walk = (path) => readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    if (entry.name === "node_modules") return [];
    return entry.isDirectory() ? walk(join(path, entry.name)) : [join(path, entry.name)];
  });
  return walk(folder).filter((path) => extensions.some((extension) => path.endsWith(extension))).map((path) => relative(folder, path));
}

const read = (path) => readFileSync(join(WWW, path), "utf8");
const modules = filesOf(WWW, [".js"]);
const pages = filesOf(WWW, [".html"]);
const importsOf = (module) => [...read(module).matchAll(/ from "(\.[^"]+)"/g)].map(([, path]) => join(dirname(module), path));

test("every import names a file, and folders import only from folders below them", () => {
  for (const module of modules) {
    const allowed = IMPORTS[module.split("/")[0]];
    for (const imported of importsOf(module)) {
      assert.ok(existsSync(join(WWW, imported)), `${module} imports ${imported}`);
      assert.ok(allowed?.includes(imported.split("/")[0]), `${module} imports ${imported}`);
    }
  }
});

test("no module imports itself through others", () => {
  const visit = (module, path) => {
    assert.ok(!path.includes(module), [...path, module].join(" > "));
    for (const imported of importsOf(module)) visit(imported, [...path, module]);
  };
  for (const script of modules.filter((module) => /(?:Page|Worker|Worklet)\.js$/.test(module))) visit(script, []);
});

test("no file is served under /room/, where every path is a room's page or is redirected to https", () => {
  assert.deepEqual(filesOf(WWW, [""]).filter((path) => path.startsWith("room/")), []);
});

test("every script and style of a page exists, by its path from the page, which a proxy may serve below a path", () => {
  for (const page of pages) {
    const root = page === "room.html" ? "../" : "./";
    assert.ok(read(page).includes(`<html lang="en" data-root="${root}"`), page);
    assert.doesNotMatch(read(page), /(?:href|src|action)="\//, page);
    const prefix = root === "./" ? "" : root;
    const urls = [...read(page).matchAll(/<(?:script|link)[^>]* (?:src|href)="([^"]+)"/g)].map(([, url]) => url);
    for (const url of urls) assert.ok(url.startsWith(prefix) && existsSync(join(WWW, url.slice(prefix.length))), `${page} loads ${url}`);
  }
  const loaded = pages.map(read).join();
  for (const style of filesOf(WWW, [".css"])) assert.ok(loaded.includes(`${style}"`), `no page loads ${style}`);
});

test("every element that a script takes by its id exists in a page", () => {
  const ids = new Set(pages.flatMap((page) => [...read(page).matchAll(/ id="([^"]+)"/g)].map(([, id]) => id)));
  for (const module of modules) {
    for (const [, id] of read(module).matchAll(/\b(?:byId|setText|setHidden|cloneTemplate)\("([^"]+)"/g)) {
      assert.ok(ids.has(id), `${module} uses #${id}`);
    }
  }
});

test("dom.js is the only module that touches document", () => {
  const touching = modules.filter((module) => /\bdocument\s*[.[]/.test(read(module).replace(/\/\*[^]*?\*\/|\/\/.*/g, "")));
  assert.deepEqual(touching, ["shared/dom.js"]);
});

test("no page sets HTML from text, and none loads anything from elsewhere", () => {
  for (const file of [...modules, ...pages, ...filesOf(WWW, [".css"])]) {
    assert.doesNotMatch(read(file), /innerHTML|outerHTML|insertAdjacentHTML|document\.write|@import/, file);
    assert.doesNotMatch(read(file), /(?:src|href)="(?:https?:)?\/\/|url\(["']?https?:/, file);
  }
});

test(`no file has more than ${MAX_LINES} lines`, () => {
  const paths = [WWW, TESTS].flatMap((folder) => filesOf(folder, [".js", ".mjs", ".css", ".html"]).map((path) => join(folder, path)));
  const tooLong = paths.filter((path) => readFileSync(path, "utf8").split("\n").length - 1 > MAX_LINES);
  assert.deepEqual(tooLong, []);
});
