/**
 * The line to the server: a WebSocket that comes back by itself, under the same id (the protocol is in the README).
 *
 * Nothing is passed on before `config` has come, because only it tells whether the seat was kept. What is said to one
 * other person while the line is away is kept and said later; what concerns the moment alone is not.
 */

import { Reconnect } from "../shared/backoff.js";

/** No welcome after this time: this try has failed. */
const WELCOME_PATIENCE_MS = 10_000;
/** Messages kept for one that is away: the server keeps 64 for each seat, and a pair needs some ten. */
const OUTBOX = 200;

/** Closed by us because the network changed: any code that is not 1000 or 1001 keeps the seat. */
const CODE_CHANGED = 4000;
/** Closed by the server for good, by the close code: what its `error` said before is the same word. */
const FAREWELLS = new Map([[4001, "replaced"], [4003, "removed"], [4004, "room-locked"], [4005, "room-ended"]]);
const FINAL = new Set(FAREWELLS.values());

/**
 * @typedef {object} Limits
 * @property {number} roomSize
 * @property {number} nameChars
 * @property {number} chatChars
 * @property {number} seatSeconds
 */

/**
 * @typedef {object} Config
 * @property {string} instance another after each start of the server
 * @property {string} resume
 * @property {boolean} resumed
 * @property {string} room
 * @property {RTCIceServer[]} iceServers
 * @property {number} [stunPort]
 * @property {string[]} stations
 * @property {Limits} limits
 * @property {boolean} [host] we came with the host's key
 * @property {boolean} [locked] nobody new comes in
 */

/**
 * @typedef {{ kind: "idle" }
 *   | { kind: "connecting" }
 *   | { kind: "open" }
 *   | { kind: "waiting", due_ms: number }
 *   | { kind: "refused", code: string, message: string, retry_after_ms: number }} LineState
 */

/**
 * @typedef {object} Door What lets us in.
 * @property {() => string | null} key
 * @property {(resume: string | null) => Promise<import("../shared/checkAccess.js").Knock>} knock
 */

/**
 * @typedef {object} SignalingCallbacks
 * @property {(state: LineState) => void} onState
 * @property {(id: string, peer_ids: string[], config: Config) => void} onWelcome after each (re)connection
 * @property {(type: string, payload: any) => void} onMessage all that follows
 * @property {() => object} hello what to say of oneself after each (re)connection
 */

/**
 * @typedef {object} World Replaced in tests.
 * @property {(url: string) => WebSocket} socket
 * @property {() => number} now milliseconds that never go back
 * @property {(run: () => void, wait_ms: number) => any} later
 * @property {(timer: any) => void} never
 * @property {() => number} random
 */

/** @type {Door} One that everybody may go through. */
const OPEN_DOOR = { key: () => null, knock: async () => ({ kind: "unknown" }) };

/** @type {World} */
const BROWSER = {
  socket: (url) => new WebSocket(url),
  now: () => performance.now(),
  later: (run, wait_ms) => setTimeout(run, wait_ms),
  never: (timer) => clearTimeout(timer),
  random: Math.random,
};

export class Signaling {
  #endpoint;
  #room;
  #callbacks;
  #door;
  #world;
  #reconnect;

  /** @type {LineState} */
  #state = { kind: "idle" };
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {string | null} shown to nobody but the server */
  #token = null;
  /** @type {{ id: string, peer_ids: string[] } | null} between `init-peers` and `config` */
  #greeting = null;
  /** @type {{ code: string, message: string } | null} the last `error` of this socket */
  #error = null;
  /** This socket has said something, so it was let in. */
  #heard = false;
  /** Counts what we set out to do, so that an answer to something earlier is known as such. */
  #turn = 0;
  /** @type {string[]} */
  #outbox = [];
  /** @type {any} */
  #timer;

  /**
   * @param {string} endpoint such as `ws://host/ws`
   * @param {string} room
   * @param {SignalingCallbacks} callbacks
   * @param {Door} door
   * @param {World} world
   */
  constructor(endpoint, room, callbacks, door = OPEN_DOOR, world = BROWSER) {
    this.#endpoint = endpoint;
    this.#room = room;
    this.#callbacks = callbacks;
    this.#door = door;
    this.#world = world;
    this.#reconnect = new Reconnect(world.random);
  }

  get state() {
    return this.#state;
  }

  /** Knocks, and comes in. A browser does not tell a page why a WebSocket was refused; a knock is answered. */
  async start() {
    if (this.#state.kind !== "idle" && this.#state.kind !== "refused") return;
    this.#reconnect.reset();
    this.#turn += 1;
    const turn = this.#turn;
    this.#become({ kind: "connecting" });
    const answer = await this.#door.knock(this.#token);
    if (turn !== this.#turn) return;
    if (answer.kind === "refused") this.#refuse(answer.code, "", answer.retry_after_ms);
    else this.#open();
  }

  /** Gives the seat up, and does not come back. */
  stop() {
    this.#turn += 1;
    this.#world.never(this.#timer);
    this.#outbox = [];
    if (this.#state.kind === "open") this.#write({ type: "leave", payload: {} });
    this.#drop(1000);
    this.#token = null;
    this.#become({ kind: "idle" });
  }

  /**
   * Says something to the server or to all; lost while the line is away, for it would be old by then.
   * @param {string} type
   * @param {object} payload
   * @param {string} [target_id] whom it concerns
   * @returns {boolean} whether it left
   */
  tell(type, payload, target_id) {
    if (this.#state.kind !== "open") return false;
    this.#write(target_id === undefined ? { type, payload } : { type, targetId: target_id, payload });
    return true;
  }

  /**
   * Says something to one other person; kept while the line is away.
   * @param {string} target_id
   * @param {string} type
   * @param {object} payload
   */
  tellOne(target_id, type, payload) {
    const message = { type, targetId: target_id, payload };
    if (this.#state.kind === "open") this.#write(message);
    else if (this.#state.kind !== "idle") this.#outbox = [...this.#outbox, JSON.stringify(message)].slice(-OUTBOX);
  }

  /** The network changed: a line that may hang is not waited for, and a try that is planned is made now. */
  hurry() {
    if (this.#state.kind === "open") {
      this.#drop(CODE_CHANGED);
      this.#reconnect.reset();
      this.#open();
    } else if (this.#state.kind === "waiting") {
      this.#reconnect.hurry(this.#world.now());
      this.#plan();
    }
  }

  /** @param {LineState} state */
  #become(state) {
    this.#state = state;
    this.#callbacks.onState(state);
  }

  /** @param {object} message */
  #write(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  #url() {
    const query = new URLSearchParams({ room: this.#room });
    if (this.#token !== null) query.set("resume", this.#token);
    const key = this.#door.key();
    if (key !== null) query.set("token", key);
    return `${this.#endpoint}?${query}`;
  }

  #open() {
    this.#greeting = null;
    this.#error = null;
    this.#heard = false;
    this.#turn += 1;
    const socket = this.#world.socket(this.#url());
    this.#socket = socket;
    socket.addEventListener("message", ({ data }) => {
      if (socket === this.#socket) this.#hear(data);
    });
    socket.addEventListener("close", ({ code }) => {
      if (socket === this.#socket) this.#closed(code);
    });
    this.#world.never(this.#timer);
    this.#timer = this.#world.later(() => {
      if (socket !== this.#socket) return;
      this.#drop(CODE_CHANGED);
      this.#closed(0);
    }, WELCOME_PATIENCE_MS);
    this.#become({ kind: "connecting" });
  }

  /** @param {number} code */
  #drop(code) {
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(code);
  }

  /** @param {number} code */
  #closed(code) {
    this.#socket = null;
    this.#world.never(this.#timer);
    const said = this.#error;
    // A full room is a refusal only for those who were not in it.
    const full = said?.code === "room-full" && this.#token === null;
    const farewell = full || FINAL.has(said?.code ?? "") ? said?.code : FAREWELLS.get(code);
    if (farewell !== undefined) {
      this.#refuse(farewell, said?.message ?? "");
      return;
    }
    this.#reconnect.broken(this.#world.now());
    this.#plan();
    if (!this.#heard) void this.#askWhy();
  }

  /** A socket that never said a word: the host may be away, or the door may be shut. The next try is planned all the same. */
  async #askWhy() {
    const turn = this.#turn;
    const answer = await this.#door.knock(this.#token);
    if (turn !== this.#turn) return;
    // Who has a seat and is only asked to wait, waits.
    const patient = this.#token !== null && answer.kind === "refused" && answer.retry_after_ms > 0;
    if (answer.kind === "refused" && !patient) this.#refuse(answer.code, "", answer.retry_after_ms);
  }

  /**
   * This was the end of it.
   * @param {string} code
   * @param {string} message
   * @param {number} retry_after_ms
   */
  #refuse(code, message, retry_after_ms = 0) {
    this.#turn += 1;
    this.#world.never(this.#timer);
    this.#outbox = [];
    this.#token = null;
    this.#become({ kind: "refused", code, message, retry_after_ms });
  }

  #plan() {
    const { due_ms } = this.#reconnect;
    if (due_ms === null) return;
    this.#world.never(this.#timer);
    this.#timer = this.#world.later(() => {
      this.#reconnect.trying();
      this.#open();
    }, Math.max(0, due_ms - this.#world.now()));
    this.#become({ kind: "waiting", due_ms });
  }

  /** @param {unknown} data */
  #hear(data) {
    /** @type {any} */
    let message = null;
    try {
      message = JSON.parse(String(data));
    } catch {
      return;
    }
    const { type, payload } = message ?? {};
    if (typeof type !== "string" || typeof payload !== "object" || payload === null) return;
    this.#heard = true;
    if (type === "init-peers") {
      this.#greeting = { id: payload.id, peer_ids: payload.peerIds };
    } else if (type === "config") {
      this.#welcome(payload);
    } else {
      if (type === "error") this.#error = { code: String(payload.code), message: String(payload.message) };
      if (this.#state.kind === "open") this.#callbacks.onMessage(type, payload);
    }
  }

  /** @param {Config} config */
  #welcome(config) {
    if (this.#greeting === null) return;
    const { id, peer_ids } = this.#greeting;
    this.#world.never(this.#timer);
    this.#token = config.resume;
    this.#reconnect.reset();
    this.#state = { kind: "open" };
    this.#write({ type: "hello", payload: this.#callbacks.hello() });
    const outbox = this.#outbox;
    this.#outbox = [];
    for (const text of outbox) this.#socket?.send(text);
    this.#callbacks.onWelcome(id, peer_ids, config);
    this.#callbacks.onState(this.#state);
  }
}
