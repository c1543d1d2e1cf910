/**
 * Asks the server at `/api/access` whether this browser may enter a room or listen, before the page opens anything. A
 * browser does not tell a page why a WebSocket was refused, and an early answer avoids a useless camera prompt.
 *
 * For a room's WebSocket it can ask for a ticket, too. Proxies log URLs, and a WebSocket has nothing but its URL to carry a
 * secret: so the tokens are sent here, and the URL has the ticket, which is good for one WebSocket within seconds.
 */

import { addressOf } from "./address.js";
import { firstAnswer } from "./requests.js";
import { retryAfterMs } from "./retryAfter.js";
import { authorizationHeaders } from "./tokenStore.js";

const TIMEOUT_MS = 8000;

/** @typedef {import("./tokenStore.js").Scope} Scope */

/**
 * @typedef {object} Refusal
 * @property {"refused"} kind
 * @property {string} code the server's code; `accessStrings.js` has the sentences
 * @property {number} retryAfterMs 0 if the server did not ask to wait
 */

/**
 * @typedef {Refusal
 *   | { kind: "allowed", isPrivate: boolean, isModerator: boolean, ticket: string | null }
 *   | { kind: "unknown" }} Access `unknown`: no answer, so nothing was refused
 */

/** @param {Scope} scope */
function urlFor(scope) {
  if (scope === "admin") return addressOf("api/access");
  if (scope === "listen") return addressOf("api/access?listen");
  return addressOf(`api/access?${new URLSearchParams({ room: scope.slice("room:".length) })}`);
}

/**
 * A request for a ticket, with the resume token of a peer that returns: it is let in although its access token is used up.
 * @param {string | null} resume
 */
const ticketRequest = (resume) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify({ resume }),
});

/**
 * The refusal that a response means. The body has the server's code, unless a proxy sent a body of its own.
 * @param {Response} response
 * @returns {Promise<Refusal | null>} null if the response is no refusal
 */
async function refusalFrom(response) {
  const usualCode = { 401: "token-required", 403: "not-allowed", 421: "misdirected", 429: "too-many-failures" }[response.status];
  if (usualCode === undefined) return null;
  const code = await response.json().then(
    (/** @type {Partial<import("./protocol.js").ErrorBody> | null} */ body) => body?.error?.code,
    () => null,
  );
  return {
    kind: "refused",
    code: typeof code === "string" ? code : usualCode,
    retryAfterMs: retryAfterMs(response.headers.get("Retry-After"), Date.now()),
  };
}

/**
 * Asks with the best token. A token that the server rejects is removed, and the next one is tried: an outdated
 * administrator's token must not keep anybody out of an open room. If access stays refused, the result says what was wrong
 * with the first token.
 * @param {import("./tokenStore.js").TokenStore} tokens
 * @param {Scope} scope
 * @param {object} options
 * @param {string | null} [options.linkToken] token of the link just opened: if the server rejects it, no other is tried
 * @param {string | null} [options.resume] asks for a ticket, with this resume token or, if null, for a new peer
 * @param {typeof globalThis.fetch} [options.fetch] replaced in tests
 * @returns {Promise<Access>}
 */
export async function checkAccess(tokens, scope, { linkToken = null, resume, fetch = globalThis.fetch.bind(globalThis) } = {}) {
  /** @type {Refusal | null} */
  let firstRefusal = null;
  for (;;) {
    const token = tokens.tokenFor(scope);
    const access = await checkOnce(urlFor(scope), token, resume === undefined ? {} : ticketRequest(resume), fetch);
    const rejected = access.kind === "refused" && (access.code === "token-invalid" || access.code === "not-allowed");
    if (!rejected || token === null) return access.kind === "refused" ? firstRefusal ?? access : access;
    tokens.remove(token);
    if (token === linkToken) return access;
    firstRefusal ??= access;
  }
}

/**
 * @param {string} url
 * @param {string | null} token
 * @param {{ method?: string, headers?: Record<string, string>, body?: string }} request
 * @param {typeof globalThis.fetch} fetch
 * @returns {Promise<Access>}
 */
async function checkOnce(url, token, request, fetch) {
  const headers = { ...request.headers, ...authorizationHeaders(token) };
  try {
    return await firstAnswer(async (signal) => accessFrom(await fetch(url, { ...request, headers, cache: "no-store", signal })), TIMEOUT_MS);
  } catch {
    return { kind: "unknown" };
  }
}

/**
 * @param {Response} response
 * @returns {Promise<Access>}
 */
async function accessFrom(response) {
  const refusal = await refusalFrom(response);
  if (refusal !== null) return refusal;
  if (!response.ok) return { kind: "unknown" };
  /** @type {import("./protocol.js").AccessGranted} */
  const granted = await response.json();
  const { private: isPrivate, host, ticket = null } = granted;
  return { kind: "allowed", isPrivate: isPrivate === true, isModerator: host === true, ticket };
}
