/**
 * Waiting for something to become true.
 */

/** A busy machine may need this long for anything. */
const TIMEOUT_MS = 30_000;
const POLL_INTERVAL_MS = 50;

/**
 * Calls `probe` until it returns something truthy, and returns that.
 * @template T
 * @param {string} what for the error message
 * @param {() => T | Promise<T>} probe
 * @param {number} timeoutMs
 * @returns {Promise<T>}
 */
export async function waitFor(what, probe, timeoutMs = TIMEOUT_MS) {
  const endMs = Date.now() + timeoutMs;
  for (;;) {
    const result = await probe();
    if (result) return result;
    if (Date.now() > endMs) throw new Error(`timeout after ${timeoutMs} ms, waiting for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_INTERVAL_MS));
  }
}
