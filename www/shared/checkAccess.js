/**
 * Asks the host, before anything is opened, whether one may: a browser does not tell a page why a WebSocket was refused,
 * and an answer in time spares a person the question for the camera.
 */

import { bearer } from "./tokenStore.js";
import { retryAfterOf } from "../player/whepSession.js";

/** An answer that takes longer is none. */
const PATIENCE_MS = 5000;

/** @typedef {import("./tokenStore.js").Scope} Scope */

/**
 * @typedef {object} Refusal
 * @property {"refused"} kind
 * @property {string} code the host's own word; `doorwords.js` has the sentences
 * @property {number} retry_after_ms what the host asked to wait, 0 if nothing
 */

/**
 * @typedef {Refusal
 *   | { kind: "allowed", private: boolean, host: boolean }
 *   | { kind: "unknown" }} Knock `unknown`: the host did not answer, so it has refused nothing
 */

/**
 * @param {Scope} scope
 * @param {string | null} resume
 */
function addressOf(scope, resume) {
  if (scope === "admin") return "/api/access";
  if (scope === "listen") return "/api/access?listen";
  const query = new URLSearchParams({ room: scope.slice("room:".length) });
  if (resume !== null) query.set("resume", resume);
  return `/api/access?${query}`;
}

/**
 * What a refusing answer says: the status and the body agree, but a proxy in between may have put its own.
 * @param {Response} response
 * @returns {Promise<Refusal | null>} null when it says something else than no
 */
export async function refusalOf(response) {
  const usual = { 401: "token-required", 403: "not-allowed", 429: "too-many-failures" }[response.status];
  if (usual === undefined) return null;
  const code = await response.json().then((body) => body?.error?.code, () => null);
  const retry_after_ms = retryAfterOf(response.headers.get("Retry-After"), Date.now());
  return { kind: "refused", code: typeof code === "string" ? code : usual, retry_after_ms };
}

/**
 * Knocks with the best key there is. One that turns out to be no good is thrown away, and the next is tried: an old key of
 * the host's must not keep anybody out of an open room. If the door stays shut, what was wrong with the key is the answer.
 * @param {import("./tokenStore.js").Keys} keys
 * @param {Scope} scope
 * @param {object} more
 * @param {string | null} [more.fresh] the key of a link just opened: when that is no good, nothing else is tried
 * @param {string | null} [more.resume] what shows that we were in: a key that is used up still lets those back in
 * @param {typeof globalThis.fetch} [more.ask] replaced in tests
 * @returns {Promise<Knock>}
 */
export async function knock(keys, scope, { fresh = null, resume = null, ask = (...request) => fetch(...request) } = {}) {
  /** @type {Refusal | null} */
  let first = null;
  for (;;) {
    const token = keys.for(scope);
    const answer = await knockOnce(addressOf(scope, resume), token, ask);
    const useless = answer.kind === "refused" && (answer.code === "token-invalid" || answer.code === "not-allowed");
    if (!useless || token === null) return answer.kind === "refused" ? first ?? answer : answer;
    keys.forget(token);
    if (token === fresh) return answer;
    first ??= answer;
  }
}

/**
 * @param {string} address
 * @param {string | null} token
 * @param {typeof globalThis.fetch} ask
 * @returns {Promise<Knock>}
 */
async function knockOnce(address, token, ask) {
  try {
    const response = await ask(address, {
      headers: bearer(token),
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const refusal = await refusalOf(response);
    if (refusal !== null) return refusal;
    if (!response.ok) return { kind: "unknown" };
    const body = await response.json();
    return { kind: "allowed", private: body.private === true, host: body.host === true };
  } catch {
    return { kind: "unknown" };
  }
}
