/**
 * A clock and timers that a test moves.
 */

/** Runs promise callbacks until none are left, for any chain of ordinary length. */
export async function settle() {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
}

export class VirtualClock {
  #nowMs = 0;
  #timers = new Map();
  #nextId = 1;

  /** What classes take as their clock. Without chance: backoff delays are the longest. */
  platform = {
    now: () => this.#nowMs,
    setTimeout: (callback, delayMs) => {
      const id = this.#nextId++;
      this.#timers.set(id, { callback, dueMs: this.#nowMs + delayMs });
      return id;
    },
    clearTimeout: (id) => this.#timers.delete(id),
    random: () => 1,
  };

  get nowMs() {
    return this.#nowMs;
  }

  get pendingTimers() {
    return this.#timers.size;
  }

  /** Time goes on, and no timer runs. */
  sleep(durationMs) {
    this.#nowMs += durationMs;
  }

  /** Runs all timers of the next so many milliseconds in order, and the promises that follow from them. */
  async advance(durationMs) {
    const endMs = this.#nowMs + durationMs;
    for (;;) {
      await settle();
      const [next] = [...this.#timers].filter(([, { dueMs }]) => dueMs <= endMs).sort(([, a], [, b]) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      const [id, { callback, dueMs }] = next;
      this.#timers.delete(id);
      this.#nowMs = Math.max(this.#nowMs, dueMs);
      callback();
    }
    this.#nowMs = endMs;
  }
}
