/**
 * Keeps one station playing for as long as somebody wants it: sessions, back-off, and a watch over the packets.
 *
 * "Connected" is not believed: live means that packets come in. When they stop, the host is asked whether it still knows
 * us, and a stream that stands still is given up even if every state says it is well.
 */

import { Reconnect } from "../shared/backoff.js";
import { snapshotOf } from "./receiverStats.js";
import { SessionError, WhepSession } from "./whepSession.js";

/** How often packets are looked for until the first one came. */
const TUNING_TICK_MS = 200;
/** How often they are counted afterwards. */
const LIVE_TICK_MS = 1000;
/** No sound after this time: this try has failed. */
const CONNECT_PATIENCE_MS = 10_000;
/** Silence on the wire that makes us ask the host. The longest gap it leaves on purpose (Opus DTX) is 0.4 s. */
const SUSPICION_MS = 1500;
/** Silence on a wire that calls itself connected, and that is a break all the same. One that does not is under repair. */
const STALL_MS = 5000;
/** Snapshots kept: figures of loss are over this many seconds. */
const HISTORY = 11;

/** Reasons that no new try will mend. */
const FINAL = new Set(["missing", "refused", "unsupported"]);

/** @typedef {import("./whepSession.js").Place} Place */
/** @typedef {import("./whepSession.js").Reason} Reason */
/** @typedef {import("./receiverStats.js").Snapshot} Snapshot */

/**
 * @typedef {{ kind: "idle" }
 *   | { kind: "connecting" }
 *   | { kind: "live" }
 *   | { kind: "repairing" }
 *   | { kind: "waiting", reason: Reason, detail: string, due_ms: number }
 *   | { kind: "retrying", reason: Reason, detail: string }
 *   | { kind: "failed", reason: Reason, detail: string }} TunerState
 */

/**
 * @typedef {object} TunerCallbacks
 * @property {(state: TunerState) => void} onState
 * @property {(stream: MediaStream | null) => void} onStream called within `start()`, so within the tap that called it
 * @property {(history: Snapshot[]) => void} onHistory once a second while live, oldest first
 */

/** @typedef {Pick<WhepSession, "stream" | "connected" | "start" | "stop" | "hurry" | "getStats" | "isKnown">} Session */

/**
 * @typedef {object} Surroundings Replaced in tests.
 * @property {(place: Place, callbacks: import("./whepSession.js").Callbacks) => Session} session
 * @property {() => number} now milliseconds that never go back
 * @property {(run: () => void, wait_ms: number) => any} later
 * @property {(timer: any) => void} never
 * @property {() => number} random
 */

/** @type {Surroundings} */
const BROWSER = {
  session: (place, callbacks) => new WhepSession(place, callbacks),
  now: () => performance.now(),
  later: (run, wait_ms) => setTimeout(run, wait_ms),
  never: (timer) => clearTimeout(timer),
  random: Math.random,
};

export class Tuner {
  #place;
  #callbacks;
  #around;
  #reconnect;

  /** @type {TunerState} */
  #state = { kind: "idle" };
  /** @type {Session | null} */
  #session = null;
  /** @type {{ reason: Reason, detail: string } | null} why the session before this one ended */
  #trouble = null;

  /** @type {any} */
  #retry_timer;
  /** @type {any} */
  #tick_timer;
  #opened_ms = 0;

  /** @type {Snapshot[]} */
  #history = [];
  #packets = 0;
  #progress_ms = 0;
  #asking = false;

  /**
   * @param {Place} place
   * @param {TunerCallbacks} callbacks
   * @param {Surroundings} around
   */
  constructor(place, callbacks, around = BROWSER) {
    this.#place = place;
    this.#callbacks = callbacks;
    this.#around = around;
    this.#reconnect = new Reconnect(around.random);
  }

  get state() {
    return this.#state;
  }

  /** True between start and stop, whether or not anything is heard. */
  get wanted() {
    return this.#state.kind !== "idle" && this.#state.kind !== "failed";
  }

  /** Begins to listen. Call it within a tap: the stream is handed over before it returns. */
  start() {
    if (this.wanted) return;
    this.#trouble = null;
    this.#reconnect.reset();
    this.#open();
  }

  /**
   * Ends it.
   * @param {boolean} leaving true while the page goes away
   */
  stop(leaving = false) {
    this.#close(leaving);
    this.#around.never(this.#retry_timer);
    this.#reconnect.reset();
    this.#become({ kind: "idle" });
  }

  /** The network is back, or the page is looked at again. */
  hurry() {
    this.#session?.hurry();
    if (this.#reconnect.hurry(this.#around.now()) !== null) this.#plan();
  }

  /** @param {TunerState} state */
  #become(state) {
    this.#state = state;
    this.#callbacks.onState(state);
  }

  #open() {
    this.#become(this.#trouble === null ? { kind: "connecting" } : { kind: "retrying", ...this.#trouble });
    try {
      const session = this.#around.session(this.#place, {
        onConnected: () => {
          // After a repair the packets get the same time to come as at first.
          this.#progress_ms = this.#around.now();
          if (session === this.#session) this.#tickLater(session, 0);
        },
        onRepairing: () => {
          if (session === this.#session && this.#state.kind === "live") this.#become({ kind: "repairing" });
        },
        onBroken: (error) => {
          if (session === this.#session) this.#break(error);
        },
        onServers: (servers) => {
          this.#place = { ...this.#place, servers };
        },
      });
      this.#session = session;
      this.#opened_ms = this.#around.now();
      this.#history = [];
      this.#packets = 0;
      this.#callbacks.onStream(session.stream);
      void session.start();
      this.#tickLater(session, TUNING_TICK_MS);
    } catch (error) {
      this.#break(new SessionError("unsupported", String(error)));
    }
  }

  /** @param {boolean} leaving */
  #close(leaving) {
    this.#around.never(this.#tick_timer);
    if (this.#session === null) return;
    this.#session.stop(leaving);
    this.#session = null;
    this.#callbacks.onStream(null);
  }

  /** @param {SessionError} error */
  #break(error) {
    this.#close(false);
    const { reason, detail } = error;
    // A host that was there before and does not know the station now may still be starting.
    // Who is not let in any more stays out, and each further try would count against this network.
    if (reason === "uninvited" || (FINAL.has(reason) && this.#trouble === null)) {
      this.#become({ kind: "failed", reason, detail });
      return;
    }
    this.#trouble = { reason, detail };
    this.#reconnect.broken(this.#around.now(), error.retry_after_ms);
    this.#plan();
  }

  /** Sets the timer for the next try and says when it is. */
  #plan() {
    const { due_ms } = this.#reconnect;
    if (due_ms === null || this.#trouble === null) return;
    this.#around.never(this.#retry_timer);
    this.#retry_timer = this.#around.later(() => {
      this.#reconnect.trying();
      this.#open();
    }, Math.max(0, due_ms - this.#around.now()));
    this.#become({ kind: "waiting", ...this.#trouble, due_ms });
  }

  /**
   * @param {Session} session
   * @param {number} wait_ms
   */
  #tickLater(session, wait_ms) {
    this.#around.never(this.#tick_timer);
    this.#tick_timer = this.#around.later(() => void this.#tick(session), wait_ms);
  }

  /** @param {Session} session */
  async #tick(session) {
    if (session !== this.#session) return;
    const report = await session.getStats().catch(() => null);
    if (session !== this.#session) return;
    const snapshot = report === null ? null : snapshotOf(/** @type {any} */ (report));
    const now_ms = this.#around.now();

    if (snapshot !== null && snapshot.packets_received > this.#packets) {
      this.#packets = snapshot.packets_received;
      this.#progress_ms = now_ms;
      this.#hear();
    } else if (this.#packets === 0) {
      if (now_ms - this.#opened_ms > CONNECT_PATIENCE_MS) this.#break(new SessionError("no-path"));
    } else if (session.connected && now_ms - this.#progress_ms > STALL_MS) {
      this.#break(new SessionError("stalled"));
    } else if (now_ms - this.#progress_ms > SUSPICION_MS) {
      void this.#ask(session);
    }
    if (session !== this.#session) return;

    if (snapshot !== null && this.#packets > 0) this.#count(snapshot);
    this.#tickLater(session, this.#packets > 0 ? LIVE_TICK_MS : TUNING_TICK_MS);
  }

  #hear() {
    if (this.#state.kind === "live") return;
    this.#trouble = null;
    this.#reconnect.reset();
    this.#become({ kind: "live" });
  }

  /** @param {Snapshot} snapshot */
  #count(snapshot) {
    this.#history = [...this.#history, snapshot].slice(-HISTORY);
    this.#callbacks.onHistory(this.#history);
  }

  /**
   * No packets for a moment: does the host still know us?
   * @param {Session} session
   */
  async #ask(session) {
    if (this.#asking) return;
    this.#asking = true;
    const known = await session.isKnown();
    this.#asking = false;
    if (!known && session === this.#session) this.#break(new SessionError("cut"));
  }
}
