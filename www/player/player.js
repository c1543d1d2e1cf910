/**
 * Plays one station until it is stopped: starts WHEP sessions, retries with backoff, and monitors the packets.
 *
 * A connection state of "connected" is not enough: the player is live only while packets arrive. When they stop, it asks
 * the server whether the session still exists. It ends a session that receives nothing for too long, whatever its state.
 */

import { Backoff } from "../shared/backoff.js";
import { browserClock } from "../shared/clock.js";
import { snapshotOf } from "./receiverStats.js";
import { SessionError } from "./sessionError.js";
import { WhepSession } from "./whepSession.js";

/** How often to check for packets before the first one. */
const FIRST_PACKET_INTERVAL_MS = 200;
/** How often to count them afterwards. */
const STATS_INTERVAL_MS = 1000;
/** A session without a packet after this time has failed. */
const CONNECT_TIMEOUT_MS = 10_000;
/** After this time without packets, ask the server. The longest intended gap (Opus DTX) is 0.4 s. */
const SUSPICIOUS_GAP_MS = 1500;
/** A connected session without packets for this time has failed. One that is not connected restarts ICE by itself. */
const STALL_TIMEOUT_MS = 5000;
/** Snapshots kept: loss is measured over this many seconds, less one. */
const MAX_SNAPSHOTS = 11;

/** Reasons that end the player on the first attempt: a retry would not help. */
const FINAL_REASONS = new Set(["not-found", "refused", "unsupported"]);

/** @typedef {import("./whepSession.js").Endpoint} Endpoint */
/** @typedef {import("./sessionError.js").Reason} Reason */
/** @typedef {import("./receiverStats.js").Snapshot} Snapshot */

/**
 * @typedef {{ kind: "idle" }
 *   | { kind: "connecting" }
 *   | { kind: "live" }
 *   | { kind: "repairing" }
 *   | { kind: "waiting", reason: Reason, detail: string, dueMs: number }
 *   | { kind: "retrying", reason: Reason, detail: string }
 *   | { kind: "failed", reason: Reason, detail: string }} PlayerState `repairing` while ICE restarts
 */

/**
 * @typedef {object} PlayerCallbacks
 * @property {(state: PlayerState) => void} onState
 * @property {(stream: MediaStream | null) => void} onStream called within `start()`, so in the same user gesture
 * @property {(snapshots: Snapshot[]) => void} [onStats] once a second while live, oldest first
 */

/** @typedef {Pick<WhepSession, "stream" | "connected" | "start" | "stop" | "networkChanged" | "setJitterBufferTarget" | "getStats" | "exists">} Session */

/**
 * @typedef {import("../shared/clock.js").Clock & {
 *   createSession: (endpoint: Endpoint, callbacks: import("./whepSession.js").SessionCallbacks) => Session,
 * }} Platform Replaced in tests.
 */

/** @type {Platform} */
const browserPlatform = {
  ...browserClock,
  createSession: (endpoint, callbacks) => new WhepSession(endpoint, callbacks),
};

export class Player {
  #endpoint;
  #callbacks;
  #platform;
  #backoff;

  /** @type {PlayerState} */
  #state = { kind: "idle" };
  /** @type {Session | null} */
  #session = null;
  /** @type {{ reason: Reason, detail: string } | null} why the previous session ended */
  #lastError = null;

  /** @type {number | undefined} */
  #retryTimer;
  /** @type {number | undefined} */
  #statsTimer;
  #startedMs = 0;

  /** @type {Snapshot[]} */
  #snapshots = [];
  #packetsReceived = 0;
  #lastPacketMs = 0;
  #checkingSession = false;

  /**
   * @param {Endpoint} endpoint
   * @param {PlayerCallbacks} callbacks
   * @param {Platform} platform
   */
  constructor(endpoint, callbacks, platform = browserPlatform) {
    this.#endpoint = endpoint;
    this.#callbacks = callbacks;
    this.#platform = platform;
    this.#backoff = new Backoff(platform.random);
  }

  get state() {
    return this.#state;
  }

  /** True between start and stop, whether or not sound plays. */
  get started() {
    return this.#state.kind !== "idle" && this.#state.kind !== "failed";
  }

  /** Call it in a user gesture: the stream is passed on before it returns. */
  start() {
    if (this.started) return;
    this.#lastError = null;
    this.#backoff.reset();
    this.#openSession();
  }

  /** @param {boolean} keepalive the page is being closed */
  stop(keepalive = false) {
    this.#closeSession(keepalive);
    this.#platform.clearTimeout(this.#retryTimer);
    this.#backoff.reset();
    this.#setState({ kind: "idle" });
  }

  /** Begins a new session in place of the present one, which has lost its sound. */
  renewSession() {
    if (this.#session !== null) this.#sessionFailed(new SessionError("closed"));
  }

  /** How much sound the browser keeps at least before it plays. @param {number} targetMs */
  setJitterBufferTarget(targetMs) {
    this.#endpoint = { ...this.#endpoint, jitterBufferTargetMs: targetMs };
    this.#session?.setJitterBufferTarget(targetMs);
  }

  /** The network changed, or the page is in the foreground again: retry now. */
  networkChanged() {
    this.#session?.networkChanged();
    if (this.#backoff.retryNow(this.#platform.now()) !== null) this.#scheduleRetry();
  }

  /** @param {PlayerState} state */
  #setState(state) {
    this.#state = state;
    this.#callbacks.onState(state);
  }

  #openSession() {
    this.#setState(this.#lastError === null ? { kind: "connecting" } : { kind: "retrying", ...this.#lastError });
    try {
      const session = this.#platform.createSession(this.#endpoint, {
        onConnected: () => {
          // After an ICE restart, packets get the same time to arrive as at first.
          this.#lastPacketMs = this.#platform.now();
          if (session === this.#session) this.#scheduleStats(session, 0);
        },
        onRestarting: () => {
          if (session === this.#session && this.#state.kind === "live") this.#setState({ kind: "repairing" });
        },
        onFailed: (error) => {
          if (session === this.#session) this.#sessionFailed(error);
        },
        onIceServers: (iceServers) => {
          this.#endpoint = { ...this.#endpoint, iceServers };
        },
      });
      this.#session = session;
      this.#startedMs = this.#platform.now();
      this.#snapshots = [];
      this.#packetsReceived = 0;
      this.#callbacks.onStream(session.stream);
      void session.start();
      this.#scheduleStats(session, FIRST_PACKET_INTERVAL_MS);
    } catch (error) {
      this.#sessionFailed(new SessionError("unsupported", String(error)));
    }
  }

  /** @param {boolean} keepalive */
  #closeSession(keepalive) {
    this.#platform.clearTimeout(this.#statsTimer);
    if (this.#session === null) return;
    this.#session.stop(keepalive);
    this.#session = null;
    this.#callbacks.onStream(null);
  }

  /** @param {SessionError} error */
  #sessionFailed(error) {
    this.#closeSession(false);
    const { reason, detail } = error;
    // A server that worked before and does not find the station now may still be starting. A refused token stays refused,
    // and each further attempt would count as a failure of this network.
    if (reason === "unauthorized" || (FINAL_REASONS.has(reason) && this.#lastError === null)) {
      this.#setState({ kind: "failed", reason, detail });
      return;
    }
    this.#lastError = { reason, detail };
    this.#backoff.failed(this.#platform.now(), error.retryAfterMs);
    this.#scheduleRetry();
  }

  #scheduleRetry() {
    const { dueMs } = this.#backoff;
    if (dueMs === null || this.#lastError === null) return;
    this.#platform.clearTimeout(this.#retryTimer);
    this.#retryTimer = this.#platform.setTimeout(() => {
      this.#backoff.attemptStarted();
      this.#openSession();
    }, Math.max(0, dueMs - this.#platform.now()));
    this.#setState({ kind: "waiting", ...this.#lastError, dueMs });
  }

  /**
   * @param {Session} session
   * @param {number} delayMs
   */
  #scheduleStats(session, delayMs) {
    this.#platform.clearTimeout(this.#statsTimer);
    this.#statsTimer = this.#platform.setTimeout(() => void this.#readStats(session), delayMs);
  }

  /** @param {Session} session */
  async #readStats(session) {
    if (session !== this.#session) return;
    const report = await session.getStats().catch(() => null);
    if (session !== this.#session) return;
    const snapshot = report === null ? null : snapshotOf(/** @type {any} */ (report), this.#endpoint.playout?.counters);
    const nowMs = this.#platform.now();
    const gapMs = nowMs - this.#lastPacketMs;

    if (snapshot !== null && snapshot.packetsReceived > this.#packetsReceived) {
      this.#packetsReceived = snapshot.packetsReceived;
      this.#lastPacketMs = nowMs;
      this.#packetsArrive();
    } else if (this.#packetsReceived === 0) {
      if (nowMs - this.#startedMs > CONNECT_TIMEOUT_MS) this.#sessionFailed(new SessionError("ice-failed"));
    } else if (session.connected && gapMs > STALL_TIMEOUT_MS) {
      this.#sessionFailed(new SessionError("stalled"));
    } else if (gapMs > SUSPICIOUS_GAP_MS) {
      void this.#checkSession(session);
    }
    if (session !== this.#session) return;

    if (snapshot !== null && this.#packetsReceived > 0) {
      this.#snapshots = [...this.#snapshots, snapshot].slice(-MAX_SNAPSHOTS);
      this.#callbacks.onStats?.(this.#snapshots);
    }
    this.#scheduleStats(session, this.#packetsReceived > 0 ? STATS_INTERVAL_MS : FIRST_PACKET_INTERVAL_MS);
  }

  #packetsArrive() {
    if (this.#state.kind === "live") return;
    this.#lastError = null;
    this.#backoff.reset();
    this.#setState({ kind: "live" });
  }

  /**
   * Ends a session that the server does not know any more.
   * @param {Session} session
   */
  async #checkSession(session) {
    if (this.#checkingSession) return;
    this.#checkingSession = true;
    const exists = await session.exists();
    this.#checkingSession = false;
    if (!exists && session === this.#session) this.#sessionFailed(new SessionError("closed"));
  }
}
