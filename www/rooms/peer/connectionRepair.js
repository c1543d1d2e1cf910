/**
 * Decides when the connection to a peer is repaired: first by an ICE restart, then by a new connection. It knows the
 * connection's state and the number of received packets, and acts through callbacks.
 */

import { Backoff } from "../../shared/backoff.js";
import { PacketMonitor } from "./packetMonitor.js";

/** A disconnected connection often recovers within this time without help. */
const DISCONNECTED_GRACE_MS = 4000;
/** An ICE restart without packets after this time has failed. */
const RESTART_TIMEOUT_MS = 8000;
/** A new connection without packets after this time has failed. */
const CONNECT_TIMEOUT_MS = 15_000;
/** A peer that was in the room first waits this long for the newcomer's offer, then makes its own. */
const OFFER_TIMEOUT_MS = 10_000;
/** Both peers notice the same failure. The polite one waits this much longer, so that only one of them acts. */
const POLITE_DELAY_MS = 1000;
/** How long an ICE restart waits while messages do not reach the other peer. */
const SIGNALING_RETRY_MS = 1000;

/** @typedef {"connecting" | "connected" | "repairing"} PeerStatus */

/**
 * @typedef {object} RepairCallbacks
 * @property {() => void} restartIce
 * @property {() => void} connect replaces the connection
 * @property {() => boolean} isConnected
 * @property {() => boolean} isSignalingOpen whether messages reach the other peer
 * @property {() => void} onStatus
 */

export class ConnectionRepair {
  #callbacks;
  #clock;
  #backoff;
  #monitor;
  #politeDelayMs;
  /** @type {PeerStatus} */
  #status = "connecting";
  /** @type {number | undefined} */
  #timer;
  #stopped = false;

  /**
   * @param {boolean} polite see `negotiation.js`
   * @param {RepairCallbacks} callbacks
   * @param {import("../../shared/clock.js").Clock} clock
   */
  constructor(polite, callbacks, clock) {
    this.#politeDelayMs = polite ? POLITE_DELAY_MS : 0;
    this.#callbacks = callbacks;
    this.#clock = clock;
    this.#backoff = new Backoff(clock.random);
    this.#monitor = new PacketMonitor(clock.now());
  }

  get status() {
    return this.#status;
  }

  /** Nothing has arrived for a while, although something was expected. */
  get stalled() {
    return this.#monitor.stalled(this.#clock.now());
  }

  stop() {
    this.#stopped = true;
    this.#clock.clearTimeout(this.#timer);
  }

  /** The other peer is the newcomer and should make an offer. */
  awaitOffer() {
    this.#setTimer(() => this.#reconnect(), OFFER_TIMEOUT_MS);
  }

  /** A connection was created, and is replaced if no packets arrive. */
  connectionCreated() {
    this.#monitor = new PacketMonitor(this.#clock.now());
    this.#setStatus("connecting");
    this.#expectPackets(CONNECT_TIMEOUT_MS);
  }

  /** @param {RTCPeerConnectionState} state */
  connectionStateChanged(state) {
    if (state === "connected") {
      this.#clock.clearTimeout(this.#timer);
      this.#monitor.connected(this.#clock.now());
      this.#setStatus("connected");
    } else if (state === "disconnected") {
      this.#restartIceAfter(DISCONNECTED_GRACE_MS);
    } else if (state === "failed") {
      this.#restartIceAfter(0);
    }
  }

  /** The connection cannot continue: replaces it after a backoff delay. */
  connectionFailed() {
    this.#setStatus("repairing");
    const nowMs = this.#clock.now();
    const dueMs = this.#backoff.failed(nowMs);
    this.#setTimer(() => this.#reconnect(), dueMs - nowMs + this.#politeDelayMs);
  }

  restartIce() {
    this.#setStatus("repairing");
    if (!this.#callbacks.isSignalingOpen()) {
      this.#restartIceAfter(SIGNALING_RETRY_MS);
      return;
    }
    this.#monitor.receivedAny = false;
    this.#callbacks.restartIce();
    this.#expectPackets(RESTART_TIMEOUT_MS);
  }

  /**
   * Call it every second.
   * @param {number | null} packets received so far, null if not known
   * @param {boolean} expectsMedia the other peer says that it sends something
   */
  tick(packets, expectsMedia) {
    const nowMs = this.#clock.now();
    const connected = this.#callbacks.isConnected();
    this.#monitor.tick(nowMs);
    const works = packets !== null && this.#monitor.update(packets, connected && !expectsMedia, nowMs);
    if (works && connected && !this.#monitor.receivedAny) {
      this.#monitor.receivedAny = true;
      this.#backoff.reset();
      this.#clock.clearTimeout(this.#timer);
      this.#setStatus("connected");
    }
    if (connected && this.#status === "connected" && expectsMedia && this.#monitor.stalled(nowMs)) this.restartIce();
  }

  /** @param {PeerStatus} status */
  #setStatus(status) {
    if (this.#status === status) return;
    this.#status = status;
    this.#callbacks.onStatus();
  }

  /**
   * @param {() => void} callback
   * @param {number} delayMs
   */
  #setTimer(callback, delayMs) {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = this.#clock.setTimeout(callback, delayMs);
  }

  /** @param {number} delayMs */
  #restartIceAfter(delayMs) {
    this.#setStatus("repairing");
    this.#setTimer(() => this.restartIce(), delayMs + this.#politeDelayMs);
  }

  /** @param {number} timeoutMs */
  #expectPackets(timeoutMs) {
    this.#setTimer(() => {
      if (!this.#callbacks.isConnected() || !this.#monitor.receivedAny) this.connectionFailed();
    }, timeoutMs);
  }

  #reconnect() {
    if (this.#stopped) return;
    this.#backoff.attemptStarted();
    if (this.#callbacks.isSignalingOpen()) this.#callbacks.connect();
    else this.connectionFailed();
  }
}
