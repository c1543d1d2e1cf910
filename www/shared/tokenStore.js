/**
 * Access tokens. An invitation link carries a token in its fragment. This module takes the token out of the address bar,
 * stores it, and returns the token that applies to a request. It does not ask the server whether a token is valid.
 *
 * A token is a secret of the person who was invited: it is never written into the page, a URL or the console.
 */

import { addressOf, frontPage, pagePath } from "./address.js";
import { roomFromPath } from "./roomName.js";

/** Key in localStorage, with the front page's path if it has one. The value is a JSON object: scope to token. */
const STORAGE_KEY = "roomtone.tokens";
/** `#t=TOKEN`: browsers do not send a fragment to the server. */
const FRAGMENT = /^#t=([A-Za-z0-9._-]{1,512})$/;
const TOKEN = /^[A-Za-z0-9._-]{1,512}$/;
/** Tokens kept at most. The oldest tokens of rooms are removed first. */
const MAX_TOKENS = 64;

/**
 * @typedef {"admin" | "listen" | `room:${string}`} Scope What a token gives access to: everything, all stations, or one room.
 */

/**
 * @typedef {object} Platform Replaced in tests.
 * @property {Pick<Storage, "getItem" | "setItem" | "removeItem"> | null} storage null where the browser refuses access
 * @property {string} storageKey
 * @property {{ pathname: string, search: string, hash: string }} location the path is seen from the front page
 * @property {(url: string) => void} replaceUrl changes the address bar without a new history entry
 */

/** @returns {Platform} */
function browserPlatform() {
  let storage = null;
  try {
    storage = localStorage;
  } catch {
    // Private windows and strict settings may refuse access: tokens then last as long as the page.
  }
  const folder = frontPage().pathname;
  return {
    storage,
    // Another server may lie below another path of the same origin.
    storageKey: folder === "/" ? STORAGE_KEY : `${STORAGE_KEY}:${folder}`,
    location: {
      get pathname() { return pagePath(); },
      get search() { return location.search; },
      get hash() { return location.hash; },
    },
    replaceUrl: (url) => history.replaceState(history.state, "", addressOf(`.${url}`)),
  };
}

/**
 * A room's scope. To the server, names that differ only in capital and small letters are one room.
 * @param {string} room
 * @returns {Scope}
 */
export const roomScope = (room) => `room:${room.toLowerCase()}`;

/**
 * The scope of a token in the link to this page.
 * @param {string} path the page's, as seen from the front page
 * @returns {Scope}
 */
export function scopeOf(path) {
  if (/^\/listen(\.html)?$/.test(path)) return "listen";
  if (path.startsWith("/room/")) return roomScope(roomFromPath(path));
  return "admin";
}

/**
 * Request header fields that carry a token (RFC 6750, section 2.1).
 * @param {string | null} token
 * @returns {Record<string, string>}
 */
export const authorizationHeaders = (token) => (token === null ? {} : { Authorization: `Bearer ${token}` });

export class TokenStore {
  #platform;
  /** What is stored, and what could not be stored. @type {Map<string, string>} */
  #tokens = new Map();

  /** @param {Platform} platform */
  constructor(platform = browserPlatform()) {
    this.#platform = platform;
    this.#load();
  }

  /**
   * Moves the token from the address bar into the store.
   * @returns {string | null} the token of the link that was just opened, if there is one
   */
  takeFromUrl() {
    const { pathname, search, hash } = this.#platform.location;
    if (!hash.startsWith("#t=")) return null;
    // An invalid token is removed from the address bar as well.
    this.#platform.replaceUrl(pathname + search);
    const token = FRAGMENT.exec(hash)?.[1];
    if (token === undefined) return null;
    this.#load();
    const scope = scopeOf(pathname);
    this.#tokens.delete(scope);
    this.#tokens.set(scope, token);
    this.#save();
    return token;
  }

  /**
   * The token for a request. An administrator's token applies to every scope.
   * @param {Scope} scope
   * @returns {string | null}
   */
  tokenFor(scope) {
    this.#load();
    return this.#tokens.get("admin") ?? this.#tokens.get(scope) ?? null;
  }

  /**
   * Removes a token from every scope.
   * @param {string} token
   */
  remove(token) {
    this.#load();
    for (const [scope, stored] of this.#tokens) if (stored === token) this.#tokens.delete(scope);
    this.#save();
  }

  /** Other pages of this browser may have added or removed tokens meanwhile. */
  #load() {
    const { storage, storageKey } = this.#platform;
    if (storage === null) return;
    try {
      const stored = JSON.parse(storage.getItem(storageKey) ?? "{}");
      const valid = Object.entries(stored ?? {}).filter(([, token]) => typeof token === "string" && TOKEN.test(token));
      // Earlier versions stored a room's scope in the spelling of its link.
      this.#tokens = new Map(valid.map(([scope, token]) => [scope.toLowerCase(), token]));
    } catch {
      // What cannot be read is overwritten by the next save.
    }
  }

  #save() {
    const { storage, storageKey } = this.#platform;
    while (this.#tokens.size > MAX_TOKENS) {
      this.#tokens.delete([...this.#tokens.keys()].find((scope) => scope.startsWith("room:")) ?? "listen");
    }
    if (storage === null) return;
    try {
      if (this.#tokens.size === 0) storage.removeItem(storageKey);
      else storage.setItem(storageKey, JSON.stringify(Object.fromEntries(this.#tokens)));
    } catch {
      // The storage is full or access is refused: tokens then last as long as the page.
      this.#platform = { ...this.#platform, storage: null };
    }
  }
}
