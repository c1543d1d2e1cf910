/**
 * Why a WHEP session cannot be had, or has ended.
 */

import { retryAfterMs } from "../shared/retryAfter.js";

/** Longer messages are not shown to people. */
const MAX_DETAIL_CHARS = 300;

/**
 * @typedef {"unreachable" | "full" | "not-found" | "refused" | "unauthorized" | "ice-failed" | "stalled" | "closed" | "unsupported"} Reason
 * `playerStrings.js` has the sentences.
 */

export class SessionError extends Error {
  /**
   * @param {Reason} reason
   * @param {string} detail message of the server or the browser, for people; with `unauthorized`, the server's code
   * @param {number} retryAfterMs from the server's `Retry-After`, 0 if absent
   */
  constructor(reason, detail = "", retryAfterMs = 0) {
    super(detail || reason);
    this.reason = reason;
    this.detail = detail;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * The error that a response with another status than 201 means.
 * @param {Response} response
 * @returns {Promise<SessionError>}
 */
export async function errorFrom(response) {
  const body = await response.text().catch(() => "");
  const { code, message = body } = parseError(body);
  const detail = typeof message === "string" && message.length < MAX_DETAIL_CHARS ? message.trim() : "";
  const waitMs = retryAfterMs(response.headers.get("Retry-After"), Date.now());
  const { status } = response;
  if (status === 401 || status === 403) return new SessionError("unauthorized", typeof code === "string" ? code : "");
  if (code === "too-many-failures") return new SessionError("unauthorized", code, waitMs);
  if (status === 503 || status === 409 || status === 429) return new SessionError("full", detail, waitMs);
  if (status === 404 || status === 410) return new SessionError("not-found", detail);
  if (status >= 500) return new SessionError("unreachable", detail, waitMs);
  return new SessionError("refused", detail || `the server answered ${status}`);
}

/**
 * @param {string} body
 * @returns {Partial<import("../shared/protocol.js").ErrorBody["error"]>} empty if a proxy sent a body of its own
 */
function parseError(body) {
  try {
    /** @type {Partial<import("../shared/protocol.js").ErrorBody> | null} */
    const json = JSON.parse(body);
    return json?.error ?? {};
  } catch {
    return {};
  }
}
