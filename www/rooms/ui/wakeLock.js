/**
 * Keeps the screen on while one is in a room.
 */

export class Awake {
  /** @type {WakeLockSentinel | null} */
  #lock = null;

  async stay() {
    try {
      this.#lock = await navigator.wakeLock?.request("screen") ?? null;
    } catch {
      // Low battery, or a browser that has none: the person keeps it awake.
    }
  }

  end() {
    void this.#lock?.release();
    this.#lock = null;
  }
}
