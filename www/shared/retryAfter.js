/**
 * The `Retry-After` header field. Pure.
 */

/**
 * @param {string | null} value seconds or a date (RFC 9110, section 10.2.3)
 * @param {number} nowMs since the epoch
 * @returns {number} milliseconds from now, 0 if the value is absent or invalid
 */
export function retryAfterMs(value, nowMs) {
  if (value === null) return 0;
  const seconds = /^\s*\d+\s*$/.test(value) ? Number(value) : (Date.parse(value) - nowMs) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : 0;
}
