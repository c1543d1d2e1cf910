/**
 * The links one was invited by: each carries a token, and the token is the key. This takes a key out of the address bar,
 * keeps it, and says which one opens what. Pure but for what it is given: it asks nobody whether a key is good.
 *
 * A key is a secret of whoever was invited: it is never written into the page, an address or the console.
 */

import { roomOf } from "./roomName.js";

/** Under this name the browser keeps them, as a JSON object of tokens by scope. */
const STORED_AS = "roomtone.tokens";
/** `#t=TOKEN`: what stands behind the hash never leaves the browser by itself. */
const IN_LINK = /^#t=([A-Za-z0-9._-]{1,512})$/;
const TOKEN = /^[A-Za-z0-9._-]{1,512}$/;
/** Rooms one was ever invited to, at most: the oldest are forgotten first. */
const KEPT = 64;

/**
 * @typedef {"admin" | "listen" | `room:${string}`} Scope What a key opens: everything, the stations, or one room.
 */

/**
 * @typedef {object} Surroundings Replaced in tests.
 * @property {Pick<Storage, "getItem" | "setItem" | "removeItem"> | null} storage null where the browser refuses to keep anything
 * @property {{ pathname: string, search: string, hash: string }} location
 * @property {(address: string) => void} rewrite puts another address into the bar, without a trace in the history
 */

/** @returns {Surroundings} */
function browser() {
  let storage = null;
  try {
    storage = localStorage;
  } catch {
    // Private windows and strict settings may refuse: keys then last as long as the page.
  }
  return { storage, location, rewrite: (address) => history.replaceState(history.state, "", address) };
}

/**
 * What a link to this page opens.
 * @param {{ pathname: string, search: string }} address
 * @returns {Scope}
 */
export function scopeOf(address) {
  if (/^\/listen(\.html)?\/?$/.test(address.pathname)) return "listen";
  if (/^\/room(\.html)?(\/|$)/.test(address.pathname)) return `room:${roomOf(address)}`;
  return "admin";
}

/**
 * How a key is shown to the host with a request (RFC 6750, section 2.1).
 * @param {string | null} token
 * @returns {Record<string, string>}
 */
export const bearer = (token) => (token === null ? {} : { Authorization: `Bearer ${token}` });

export class Keys {
  #around;
  /** What is kept, and what could not be. @type {Map<string, string>} */
  #held = new Map();

  /** @param {Surroundings} around */
  constructor(around = browser()) {
    this.#around = around;
    this.#read();
  }

  /**
   * Takes the key out of the address bar, if there is one.
   * @returns {string | null} the key that came with the link just opened
   */
  take() {
    const { pathname, search, hash } = this.#around.location;
    if (!hash.startsWith("#t=")) return null;
    // Also what is no key at all: whoever looks over a shoulder cannot tell.
    this.#around.rewrite(pathname + search);
    const token = IN_LINK.exec(hash)?.[1];
    if (token === undefined) return null;
    this.#read();
    const scope = scopeOf(this.#around.location);
    this.#held.delete(scope);
    this.#held.set(scope, token);
    this.#write();
    return token;
  }

  /**
   * The best key for this: the host's own opens everything.
   * @param {Scope} scope
   * @returns {string | null}
   */
  for(scope) {
    this.#read();
    return this.#held.get("admin") ?? this.#held.get(scope) ?? null;
  }

  /**
   * Throws a key away, wherever it is kept: it does not open anything any more, or is not wanted any more.
   * @param {string} token
   */
  forget(token) {
    this.#read();
    for (const [scope, held] of this.#held) if (held === token) this.#held.delete(scope);
    this.#write();
  }

  /** Other pages of this browser may have been given keys, or may have thrown some away, meanwhile. */
  #read() {
    const { storage } = this.#around;
    if (storage === null) return;
    try {
      const stored = JSON.parse(storage.getItem(STORED_AS) ?? "{}");
      this.#held = new Map(Object.entries(stored ?? {}).filter(([, token]) => typeof token === "string" && TOKEN.test(token)));
    } catch {
      // What cannot be read is written anew.
    }
  }

  #write() {
    const { storage } = this.#around;
    while (this.#held.size > KEPT) this.#held.delete([...this.#held.keys()].find((scope) => scope.startsWith("room:")) ?? "listen");
    if (storage === null) return;
    try {
      if (this.#held.size === 0) storage.removeItem(STORED_AS);
      else storage.setItem(STORED_AS, JSON.stringify(Object.fromEntries(this.#held)));
    } catch {
      // A full or closed store: see above.
      this.#around = { ...this.#around, storage: null };
    }
  }
}
