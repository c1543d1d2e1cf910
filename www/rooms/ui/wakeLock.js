/**
 * Keeps the screen on while the page is in a room (Screen Wake Lock API).
 */

export class ScreenWakeLock {
  /** @type {WakeLockSentinel | null} */
  #lock = null;

  /** Browsers release the lock when the page is hidden: request it again when it is visible. */
  async request() {
    try {
      this.#lock = await navigator.wakeLock?.request("screen") ?? null;
    } catch {
      // The battery is low, or the browser does not support it.
    }
  }

  release() {
    void this.#lock?.release();
    this.#lock = null;
  }
}
