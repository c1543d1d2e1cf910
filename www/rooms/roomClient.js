/**
 * A room from the inside: who is in it, the line to each, and what is said to all.
 *
 * The newcomer offers, those who are there answer. When the server has been away, lines on which media flow go on, and
 * whoever is known is waited for a while; who is new has offered, or will.
 */

import { Peer } from "./peer/peer.js";
import { Signaling } from "./signaling.js";

/** After a restart of the server, the others come back within this time or are gone. */
const RETURN_PATIENCE_MS = 30_000;
/** People press buttons faster than the others need to know. */
const STATE_PACE_MS = 100;

/**
 * @typedef {object} ChatLine
 * @property {string} sender_id
 * @property {string} name
 * @property {string} text
 * @property {number} age_ms
 * @property {boolean} old it was said before we came
 */

/**
 * @typedef {object} MeetingCallbacks
 * @property {(line: import("./signaling.js").LineState) => void} onSignal
 * @property {(config: import("./signaling.js").Config) => void} onConfig
 * @property {(peer: Peer, fresh: boolean) => void} onPeer somebody is there; fresh if it came after us
 * @property {(peer: Peer) => void} onGone
 * @property {(peer: Peer) => void} onChange its state or its line changed
 * @property {(peer: Peer, tracks: import("./peer/peer.js").Tracks) => void} onTracks
 * @property {(peer: Peer, flow: import("./peer/peerStats.js").Flow) => void} onFlow
 * @property {(line: ChatLine) => void} onChat
 * @property {(locked: boolean) => void} onLock nobody new comes in, or anybody again
 * @property {() => void} onMuted a host wishes our microphone off
 * @property {(code: string, message: string) => void} onError
 * @property {() => object} describe what the others are to know of us
 */

export class Meeting {
  #callbacks;
  #outgoing;
  #signaling;
  #hostname;
  id = "";
  /** @type {Map<string, Peer>} */
  #peers = new Map();
  /** Those the server does not name since it came back. @type {Map<string, ReturnType<typeof setTimeout>>} */
  #missing = new Map();
  /** @type {import("./signaling.js").Config | null} */
  #config = null;
  /** The last line of the talk we have, and of which run of the server. */
  #seq = 0;
  #told = "";
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #state_timer;

  /**
   * @param {object} around
   * @param {string} around.endpoint
   * @param {string} around.hostname
   * @param {string} around.room
   * @param {import("./peer/transceivers.js").Outgoing} around.outgoing
   * @param {import("./signaling.js").Door} around.door
   * @param {MeetingCallbacks} callbacks
   */
  constructor({ endpoint, hostname, room, outgoing, door }, callbacks) {
    this.#callbacks = callbacks;
    this.#outgoing = outgoing;
    this.#hostname = hostname;
    this.#signaling = new Signaling(endpoint, room, {
      onState: (state) => {
        for (const peer of this.#peers.values()) peer.reach(state.kind === "open");
        callbacks.onSignal(state);
      },
      onWelcome: (id, peer_ids, config) => this.#welcome(id, peer_ids, config),
      onMessage: (type, payload) => this.#hear(type, payload),
      hello: () => {
        const state = callbacks.describe();
        this.#told = JSON.stringify(state);
        return state;
      },
    }, door);
  }

  get peers() {
    return [...this.#peers.values()];
  }

  enter() {
    void this.#signaling.start();
  }

  leave() {
    clearTimeout(this.#state_timer);
    this.#signaling.stop();
    for (const timer of this.#missing.values()) clearTimeout(timer);
    this.#missing.clear();
    for (const peer of this.#peers.values()) peer.close();
    this.#peers.clear();
  }

  /**
   * Says something to all.
   * @param {string} text
   * @returns {boolean} false while the server is away
   */
  say(text) {
    return this.#signaling.tell("chat", { text });
  }

  // What only a host may wish. A wish that cannot be said now is not said later, when it may not be meant any more.

  /** @param {boolean} locked */
  lock(locked) {
    this.#signaling.tell("lock", { locked });
  }

  /** @param {string} id */
  mute(id) {
    this.#signaling.tell("mute", {}, id);
  }

  /** @param {string} id */
  remove(id) {
    this.#signaling.tell("remove", {}, id);
  }

  /** Ends the room for everybody. */
  end() {
    this.#signaling.tell("end-room", {});
  }

  /** What we send, or what is to be known of us, has changed. */
  update() {
    for (const peer of this.#peers.values()) peer.update();
    clearTimeout(this.#state_timer);
    this.#state_timer = setTimeout(() => {
      const state = this.#callbacks.describe();
      const text = JSON.stringify(state);
      if (text !== this.#told && this.#signaling.tell("peer-state", state)) this.#told = text;
    }, STATE_PACE_MS);
  }

  /** The network changed. */
  hurry() {
    this.#signaling.hurry();
    for (const peer of this.#peers.values()) peer.hurry();
  }

  /**
   * @param {string} id
   * @param {string[]} peer_ids
   * @param {import("./signaling.js").Config} config
   */
  #welcome(id, peer_ids, config) {
    const anew = this.#config?.instance !== config.instance;
    this.id = id;
    this.#config = config;
    if (anew) this.#seq = 0;
    const known = [...this.#peers.keys()];
    for (const other of known) {
      if (peer_ids.includes(other)) this.#back(other);
      else if (config.resumed) this.#remove(other);
      else this.#miss(other);
    }
    for (const other of peer_ids) {
      const peer = this.#peers.get(other);
      if (peer === undefined) {
        const newcomer = this.#add(other, false);
        // Who came while we were away has offered to us, and the server has kept it.
        if (config.resumed) newcomer.await();
        else newcomer.call();
      } else if (!config.resumed && !peer.flowing) {
        peer.call();
      } else {
        peer.resume();
      }
    }
    this.#callbacks.onConfig(config);
    this.#callbacks.onLock(config.locked === true);
  }

  /**
   * @param {string} type
   * @param {any} payload
   */
  #hear(type, payload) {
    switch (type) {
      case "new-peer": {
        const known = this.#peers.get(payload.id);
        if (known === undefined) this.#add(payload.id, true).await();
        else this.#back(payload.id);
        break;
      }
      case "peer-disconnect":
        this.#remove(payload.id);
        break;
      case "peer-state": {
        const { id, name, muted, camera, screen } = payload;
        const peer = this.#peers.get(id);
        if (peer === undefined) break;
        peer.describe({ name: String(name ?? ""), muted: muted === true, camera: camera === true, screen: screen ?? null });
        this.#callbacks.onChange(peer);
        break;
      }
      case "chat":
        this.#chat(payload);
        break;
      case "room-state":
        this.#callbacks.onLock(payload.locked === true);
        break;
      case "mute":
        this.#silence(payload.id);
        break;
      case "error":
        this.#callbacks.onError(String(payload.code), String(payload.message));
        break;
      default:
        if (typeof payload.senderId === "string") this.#peers.get(payload.senderId)?.hear(type, payload);
    }
  }

  /** A host wishes somebody's microphone off. @param {string} id */
  #silence(id) {
    if (id === this.id) {
      this.#callbacks.onMuted();
      // Said at once, and in any case: the others play nothing of us until they have heard it.
      this.#signaling.tell("peer-state", this.#callbacks.describe());
      return;
    }
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    peer.silence();
    this.#callbacks.onChange(peer);
  }

  /** @param {any} payload */
  #chat({ seq, senderId, name, text, ageMs }) {
    // After a return all that is remembered comes again.
    if (seq <= this.#seq) return;
    this.#seq = seq;
    this.#callbacks.onChat({
      sender_id: String(senderId),
      name: String(name ?? ""),
      text: String(text ?? ""),
      age_ms: Number(ageMs ?? 0),
      old: !this.#peers.has(senderId) && senderId !== this.id,
    });
  }

  /**
   * @param {string} id
   * @param {boolean} fresh
   */
  #add(id, fresh) {
    const peer = new Peer(
      id,
      // Both compare the same two ids, so exactly one of them gives way.
      { polite: this.id < id, outgoing: this.#outgoing, configuration: this.#configuration() },
      {
        send: (type, payload) => this.#signaling.tellOne(id, type, payload),
        onLine: () => {
          if (this.#peers.get(id) === peer) this.#callbacks.onChange(peer);
        },
        onTracks: (tracks) => this.#callbacks.onTracks(peer, tracks),
        onFlow: (flow) => this.#callbacks.onFlow(peer, flow),
      },
    );
    this.#peers.set(id, peer);
    this.#share();
    this.#callbacks.onPeer(peer, fresh);
    return peer;
  }

  /** @param {string} id */
  #remove(id) {
    clearTimeout(this.#missing.get(id));
    this.#missing.delete(id);
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    this.#peers.delete(id);
    peer.close();
    this.#share();
    this.#callbacks.onGone(peer);
  }

  /** The server does not know it: not yet, or not any more. @param {string} id */
  #miss(id) {
    if (this.#missing.has(id)) return;
    this.#missing.set(id, setTimeout(() => {
      this.#missing.delete(id);
      // A client that does not come back to the server may still send: it is there as long as its media flow.
      if (this.#peers.get(id)?.flowing) this.#miss(id);
      else this.#remove(id);
    }, RETURN_PATIENCE_MS));
  }

  /** @param {string} id */
  #back(id) {
    clearTimeout(this.#missing.get(id));
    this.#missing.delete(id);
    this.#peers.get(id)?.resume();
  }

  #share() {
    const others = this.#peers.size;
    for (const peer of this.#peers.values()) peer.share(Math.max(1, others));
  }

  /** @returns {RTCConfiguration} */
  #configuration() {
    const servers = [...(this.#config?.iceServers ?? [])];
    const port = this.#config?.stunPort;
    // The host itself tells us our public address: nobody else is asked.
    if (port !== undefined && this.#hostname !== "") servers.unshift({ urls: [`stun:${this.#hostname}:${port}`] });
    return { iceServers: servers, bundlePolicy: "max-bundle" };
  }
}
