/**
 * Signaling: a WebSocket to the server that reconnects by itself, under the same peer id (protocol: see the README).
 *
 * Messages are passed on only after `config`, because only `config` tells whether the server still had this peer's place.
 * A message to one peer is queued while the connection is down. Other messages are lost then, because they would be
 * outdated when it is back.
 *
 * A connection can fall silent without being closed, as after sleep: then the server is asked for a sign of life.
 *
 * Each attempt asks for access first: a browser does not tell a page why a WebSocket was refused, and the answer has a ticket,
 * so that neither the access token nor the resume token is in a URL.
 */

import { Backoff } from "../shared/backoff.js";
import { browserClock } from "../shared/clock.js";

/** A connection attempt without `config` after this time has failed. */
const CONFIG_TIMEOUT_MS = 10_000;
/** Silence of the server after which it is asked for a sign of life. */
const PING_AFTER_MS = 8_000;
/** Without an answer after this time, the connection is dead. */
const PONG_TIMEOUT_MS = 6_000;
/** A timer that fires so much too late says that the computer slept: the answer may only wait to be read. */
const LATE_MS = 2_000;
/** So many refused WebSockets in a row are no accident. */
const REFUSED_SOCKETS = 2;
/** Messages queued at most. The server keeps 64 for each peer, and a pair of peers needs about ten. */
const MAX_QUEUED = 200;

const CODE_NORMAL = 1000;
/** Closed by us because the network changed. After any code but 1000 and 1001 the server reserves our place. */
const CODE_NETWORK_CHANGED = 4000;
/** Final close codes of the server, with the code of the `error` that precedes them. */
const FINAL_CODES = new Map([[4001, "replaced"], [4003, "removed"], [4004, "room-locked"], [4005, "room-ended"]]);
const FINAL_ERRORS = new Set(FINAL_CODES.values());

/** @typedef {import("../shared/protocol.js").Config} Config */
/** @typedef {import("../shared/protocol.js").ServerMessage} ServerMessage */
/** @typedef {import("../shared/protocol.js").ClientMessage} ClientMessage */

/**
 * @typedef {{ kind: "idle" }
 *   | { kind: "connecting", socketRefused: boolean }
 *   | { kind: "open" }
 *   | { kind: "waiting", dueMs: number, socketRefused: boolean }
 *   | { kind: "refused", code: string, message: string, retryAfterMs: number }} SignalingState `socketRefused`: requests are
 *   answered, and WebSockets are not
 */

/**
 * @typedef {object} AccessControl
 * @property {(resume: string | null) => Promise<import("../shared/checkAccess.js").Access>} check also gives a ticket
 */

/**
 * @typedef {object} SignalingCallbacks
 * @property {(state: SignalingState) => void} onState
 * @property {(id: string, peerIds: string[], config: Config, mayHaveMissed: boolean) => void} onConfig after each connection;
 *   `mayHaveMissed`: messages of the server may have been lost before
 * @property {(message: import("../shared/protocol.js").RoomMessage) => void} onMessage all that follows
 * @property {() => import("../shared/protocol.js").PeerState} peerState what to send after each connection
 */

/** @typedef {import("../shared/clock.js").Clock & { createWebSocket: (url: string) => WebSocket }} Platform Replaced in tests. */

/** @type {AccessControl} */
const OPEN_ACCESS = { check: async () => ({ kind: "unknown" }) };

/** @type {Platform} */
const browserPlatform = { ...browserClock, createWebSocket: (url) => new WebSocket(url) };

export class Signaling {
  #endpoint;
  #room;
  #callbacks;
  #access;
  #platform;
  #backoff;

  /** @type {SignalingState} */
  #state = { kind: "idle" };
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {string | null} secret, sent only to the server */
  #resumeToken = null;
  /** @type {import("../shared/protocol.js").InitPeers | null} from `init-peers` until `config` */
  #initPeers = null;
  /** @type {import("../shared/protocol.js").RoomError | null} the last `error` on this socket */
  #error = null;
  /** WebSockets that were closed before any message, one after the other, although the access check before was answered. */
  #refusedSockets = 0;
  /** Counts attempts, so that an answer for an earlier attempt can be ignored. */
  #attempt = 0;
  /** @type {ClientMessage[]} messages to single peers, while the connection is down */
  #queue = [];
  /** @type {number | undefined} */
  #timer;
  /** When the server last sent anything on this socket. */
  #heardAtMs = 0;
  /** The server has sent anything on this socket. */
  #isHeard = false;
  /** The access check before this socket was answered. */
  #isAnswered = false;
  /** How often it was asked for a sign of life, which has not come. */
  #unansweredPings = 0;
  /** @type {number | undefined} */
  #silenceTimer;
  /** Messages of the server may have been lost before this connection. */
  #mayHaveMissed = false;

  /**
   * @param {string} endpoint such as `ws://host/ws`
   * @param {string} room
   * @param {SignalingCallbacks} callbacks
   * @param {AccessControl} access
   * @param {Platform} platform
   */
  constructor(endpoint, room, callbacks, access = OPEN_ACCESS, platform = browserPlatform) {
    this.#endpoint = endpoint;
    this.#room = room;
    this.#callbacks = callbacks;
    this.#access = access;
    this.#platform = platform;
    this.#backoff = new Backoff(platform.random);
  }

  get state() {
    return this.#state;
  }

  async start() {
    if (this.#state.kind !== "idle" && this.#state.kind !== "refused") return;
    this.#backoff.reset();
    await this.#connect();
  }

  /** Leaves the room for good. */
  stop() {
    this.#attempt += 1;
    this.#platform.clearTimeout(this.#timer);
    this.#queue = [];
    if (this.#state.kind === "open") this.#write({ type: "leave", payload: {} });
    this.#closeSocket(CODE_NORMAL);
    this.#resumeToken = null;
    this.#setState({ kind: "idle" });
  }

  /**
   * Sends a message to the server or to all peers.
   * @param {import("../shared/protocol.js").OutgoingRoomMessage} message
   * @returns {boolean} false if the connection is down: the message is lost
   */
  send(message) {
    if (this.#state.kind !== "open") return false;
    this.#write(message);
    return true;
  }

  /**
   * Sends a message to one peer, or queues it while the connection is down.
   * @param {import("../shared/protocol.js").OutgoingPeerMessage} message
   */
  sendToPeer(message) {
    if (this.#state.kind === "open") this.#write(message);
    else if (this.#state.kind !== "idle") this.#queue = [...this.#queue, message].slice(-MAX_QUEUED);
  }

  /** The network changed: replaces a connection that may be dead, and retries now if a retry is scheduled. */
  networkChanged() {
    if (this.#state.kind === "open") this.#replaceConnection();
    else this.#retryNow();
  }

  /** The page is looked at again, perhaps after sleep: the connection may be dead, and a retry need not wait. */
  check() {
    if (this.#state.kind !== "open") this.#retryNow();
    else if (this.#unansweredPings === 0) this.#ping();
  }

  get #socketRefused() {
    return this.#refusedSockets >= REFUSED_SOCKETS;
  }

  #retryNow() {
    if (this.#state.kind !== "waiting") return;
    this.#backoff.retryNow(this.#platform.now());
    this.#scheduleRetry();
  }

  /** Connects anew in place of an open connection. To the server the old one may still seem to work, so what it sent may be lost. */
  #replaceConnection() {
    this.#mayHaveMissed = true;
    this.#closeSocket(CODE_NETWORK_CHANGED);
    this.#backoff.reset();
    void this.#connect();
  }

  /** @param {SignalingState} state */
  #setState(state) {
    this.#state = state;
    this.#callbacks.onState(state);
  }

  /** @param {ClientMessage} message */
  #write(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  /** Checks access, then opens a WebSocket. */
  async #connect() {
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#platform.clearTimeout(this.#timer);
    this.#setState({ kind: "connecting", socketRefused: this.#socketRefused });
    const access = await this.#access.check(this.#resumeToken);
    if (attempt !== this.#attempt) return;
    const isReturning = this.#resumeToken !== null;
    if (access.kind === "refused") {
      // A peer with a reserved place that is only asked to wait keeps retrying.
      if (isReturning && access.retryAfterMs > 0) this.#failed(access.retryAfterMs);
      else this.#refuse(access.code, "", access.retryAfterMs);
    } else if (access.kind === "unknown" && isReturning) {
      // The server is away. Without a ticket this peer would lose its place.
      this.#failed();
    } else {
      this.#isAnswered = access.kind === "allowed";
      this.#openSocket(access.kind === "allowed" ? access.ticket : null);
    }
  }

  /** @param {string | null} ticket */
  #openSocket(ticket) {
    this.#initPeers = null;
    this.#error = null;
    this.#isHeard = false;
    const query = new URLSearchParams({ room: this.#room, ...(ticket !== null && { ticket }) });
    const socket = this.#platform.createWebSocket(`${this.#endpoint}?${query}`);
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      if (socket === this.#socket) this.#onMessage(data);
    });
    socket.addEventListener("close", ({ code }) => {
      if (socket === this.#socket) this.#onClose(code);
    });
    this.#timer = this.#platform.setTimeout(() => {
      if (socket !== this.#socket) return;
      this.#closeSocket(CODE_NETWORK_CHANGED);
      this.#onClose(0);
    }, CONFIG_TIMEOUT_MS);
  }

  /** @param {number} code */
  #closeSocket(code) {
    const socket = this.#socket;
    this.#socket = null;
    this.#platform.clearTimeout(this.#silenceTimer);
    socket?.close(code);
  }

  /** @param {number} code */
  #onClose(code) {
    this.#refusedSockets = this.#isAnswered && !this.#isHeard ? this.#refusedSockets + 1 : 0;
    this.#socket = null;
    this.#platform.clearTimeout(this.#silenceTimer);
    this.#platform.clearTimeout(this.#timer);
    const finalError = this.#finalError(code);
    if (finalError !== undefined) {
      this.#refuse(finalError, this.#error?.message ?? "");
      return;
    }
    this.#failed();
  }

  #failed(retryAfterMs = 0) {
    this.#backoff.failed(this.#platform.now(), retryAfterMs);
    this.#scheduleRetry();
  }

  /** The error code after which there is no reconnect. @param {number} closeCode */
  #finalError(closeCode) {
    const code = this.#error?.code;
    // A full room is final for newcomers only.
    if (code === "room-full" && this.#resumeToken === null) return code;
    return code !== undefined && FINAL_ERRORS.has(code) ? code : FINAL_CODES.get(closeCode);
  }

  /**
   * @param {string} code
   * @param {string} message
   * @param {number} retryAfterMs
   */
  #refuse(code, message, retryAfterMs = 0) {
    this.#attempt += 1;
    this.#platform.clearTimeout(this.#timer);
    this.#queue = [];
    this.#resumeToken = null;
    this.#setState({ kind: "refused", code, message, retryAfterMs });
  }

  #scheduleRetry() {
    const { dueMs } = this.#backoff;
    if (dueMs === null) return;
    this.#platform.clearTimeout(this.#timer);
    this.#timer = this.#platform.setTimeout(() => {
      this.#backoff.attemptStarted();
      void this.#connect();
    }, Math.max(0, dueMs - this.#platform.now()));
    this.#setState({ kind: "waiting", dueMs, socketRefused: this.#socketRefused });
  }

  // --- silence of the server ---------------------------------------------------------------------------------------------

  #ping() {
    this.#unansweredPings += 1;
    this.#write({ type: "ping", payload: {} });
    this.#checkSilenceIn(PONG_TIMEOUT_MS);
  }

  /** @param {number} delayMs */
  #checkSilenceIn(delayMs) {
    const dueMs = this.#platform.now() + delayMs;
    this.#platform.clearTimeout(this.#silenceTimer);
    this.#silenceTimer = this.#platform.setTimeout(() => this.#checkSilence(dueMs), delayMs);
  }

  /** @param {number} dueMs when this call was to be */
  #checkSilence(dueMs) {
    if (this.#state.kind !== "open") return;
    const nowMs = this.#platform.now();
    const leftMs = this.#heardAtMs + PING_AFTER_MS - nowMs;
    const pings = this.#unansweredPings;
    if (pings === 0 && leftMs > 0) this.#checkSilenceIn(leftMs);
    // Asked again only once: in a hidden page every timer may be late.
    else if (pings === 0 || (pings === 1 && nowMs - dueMs > LATE_MS)) this.#ping();
    else this.#replaceConnection();
  }

  /** @param {unknown} data */
  #onMessage(data) {
    this.#heardAtMs = this.#platform.now();
    this.#isHeard = true;
    this.#unansweredPings = 0;
    const message = parseMessage(data);
    if (message === null) return;
    switch (message.type) {
      case "init-peers":
        this.#initPeers = message.payload;
        break;
      case "config":
        this.#onConfig(message.payload);
        break;
      case "pong":
        break;
      default:
        if (message.type === "error") this.#error = message.payload;
        if (this.#state.kind === "open") this.#callbacks.onMessage(message);
    }
  }

  /** @param {Config} config */
  #onConfig(config) {
    if (this.#initPeers === null) return;
    const { id, peerIds } = this.#initPeers;
    this.#platform.clearTimeout(this.#timer);
    this.#resumeToken = config.resume;
    this.#backoff.reset();
    this.#state = { kind: "open" };
    this.#checkSilenceIn(PING_AFTER_MS);
    this.#write({ type: "hello", payload: this.#callbacks.peerState() });
    for (const message of this.#queue.splice(0)) this.#write(message);
    const mayHaveMissed = this.#mayHaveMissed;
    this.#mayHaveMissed = false;
    this.#callbacks.onConfig(id, peerIds, config, mayHaveMissed);
    this.#callbacks.onState(this.#state);
  }
}

/**
 * Reads a message of the server. Types that this page does not know are ignored later on.
 * @param {unknown} data
 * @returns {ServerMessage | null} null if it is no message of the protocol
 */
function parseMessage(data) {
  try {
    const message = JSON.parse(String(data));
    const isMessage = typeof message?.type === "string" && typeof message.payload === "object" && message.payload !== null;
    return isMessage ? message : null;
  } catch {
    return null;
  }
}
