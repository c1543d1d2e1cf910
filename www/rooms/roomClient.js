/**
 * The client of one room: its peers, and the messages of the room.
 *
 * A newcomer makes an offer to each peer that was in the room before. After a restart of the server, connections on which
 * media flows continue, and known peers get some time to return.
 */

import { Peer } from "./peer/peer.js";
import { Signaling } from "./signaling.js";

/** After a restart of the server, known peers return within this time or are removed. */
const RETURN_TIMEOUT_MS = 30_000;
/** Shortest time between two `peer-state` messages. */
const STATE_INTERVAL_MS = 100;

/** @typedef {import("../shared/protocol.js").Config} Config */
/** @typedef {import("../shared/protocol.js").RoomMessage} RoomMessage */

/**
 * @typedef {object} ReceivedChat
 * @property {string} senderId
 * @property {string} name
 * @property {string} text
 * @property {number} ageMs
 * @property {boolean} isHistory it was sent before we joined
 */

/**
 * @typedef {object} RoomCallbacks
 * @property {(state: import("./signaling.js").SignalingState) => void} onSignaling
 * @property {(config: Config) => void} onConfig
 * @property {(peer: Peer, isNew: boolean) => void} onPeerAdded `isNew`: it joined after us
 * @property {(peer: Peer) => void} onPeerRemoved
 * @property {(peer: Peer) => void} onPeerChanged its state or the status of its connection changed
 * @property {(peer: Peer, tracks: import("./peer/remoteMedia.js").RemoteTracks) => void} onTracks
 * @property {(peer: Peer, snapshot: import("./peer/peerStats.js").Snapshot) => void} onStats
 * @property {(message: ReceivedChat) => void} onChat
 * @property {(locked: boolean) => void} onLock
 * @property {() => void} onMuted a moderator muted our microphone
 * @property {(error: import("../shared/protocol.js").RoomError) => void} onError
 * @property {() => import("../shared/protocol.js").PeerState} peerState what to tell other peers about us
 */

export class RoomClient {
  #callbacks;
  #outgoing;
  #signaling;
  #hostname;
  /** Our own peer id, empty before the first `config`. */
  id = "";
  /** @type {Map<string, Peer>} */
  #peers = new Map();
  /** Timers of peers that have not returned since a restart of the server. @type {Map<string, number>} */
  #returnTimers = new Map();
  /** @type {Config | null} */
  #config = null;
  /** `seq` of the last chat message. */
  #chatSeq = 0;
  /** The last state sent, as JSON. */
  #sentState = "";
  /** @type {number | undefined} */
  #stateTimer;

  /**
   * @param {object} options
   * @param {string} options.endpoint WebSocket URL
   * @param {string} options.hostname of the server, which also answers STUN
   * @param {string} options.room
   * @param {import("./peer/transceivers.js").Outgoing} options.outgoing
   * @param {import("./signaling.js").AccessControl} options.access
   * @param {RoomCallbacks} callbacks
   */
  constructor({ endpoint, hostname, room, outgoing, access }, callbacks) {
    this.#callbacks = callbacks;
    this.#outgoing = outgoing;
    this.#hostname = hostname;
    this.#signaling = new Signaling(endpoint, room, {
      onState: (state) => {
        for (const peer of this.#peers.values()) peer.setSignalingOpen(state.kind === "open");
        callbacks.onSignaling(state);
      },
      onConfig: (...config) => this.#onConfig(...config),
      onMessage: (message) => this.#onMessage(message),
      peerState: () => {
        const state = callbacks.peerState();
        this.#sentState = JSON.stringify(state);
        return state;
      },
    }, access);
  }

  get peers() {
    return [...this.#peers.values()];
  }

  join() {
    void this.#signaling.start();
  }

  leave() {
    clearTimeout(this.#stateTimer);
    this.#signaling.stop();
    for (const timer of this.#returnTimers.values()) clearTimeout(timer);
    this.#returnTimers.clear();
    for (const peer of this.#peers.values()) peer.close();
    this.#peers.clear();
  }

  /**
   * @param {string} text
   * @returns {boolean} false while the connection to the server is down
   */
  sendChat(text) {
    return this.#signaling.send({ type: "chat", payload: { text } });
  }

  // For moderators only. A command that cannot be sent now is not sent later, when it may not be wanted any more.

  /** @param {boolean} locked */
  setLocked(locked) {
    this.#signaling.send({ type: "lock", payload: { locked } });
  }

  /** @param {string} peerId */
  mutePeer(peerId) {
    this.#signaling.send({ type: "mute", targetId: peerId, payload: {} });
  }

  /** @param {string} peerId */
  removePeer(peerId) {
    this.#signaling.send({ type: "remove", targetId: peerId, payload: {} });
  }

  endRoom() {
    this.#signaling.send({ type: "end-room", payload: {} });
  }

  /** What we send, or our state, has changed. */
  update() {
    for (const peer of this.#peers.values()) peer.updateMedia();
    clearTimeout(this.#stateTimer);
    this.#stateTimer = setTimeout(() => {
      const state = this.#callbacks.peerState();
      const json = JSON.stringify(state);
      if (json !== this.#sentState && this.#signaling.send({ type: "peer-state", payload: state })) this.#sentState = json;
    }, STATE_INTERVAL_MS);
  }

  /** The page is looked at again. */
  checkConnection() {
    this.#signaling.check();
  }

  networkChanged() {
    this.#signaling.networkChanged();
    for (const peer of this.#peers.values()) peer.networkChanged();
  }

  /**
   * @param {string} id
   * @param {string[]} peerIds
   * @param {Config} config
   * @param {boolean} mayHaveMissed
   */
  #onConfig(id, peerIds, config, mayHaveMissed) {
    const serverRestarted = this.#config?.instance !== config.instance;
    this.id = id;
    this.#config = config;
    if (serverRestarted) this.#chatSeq = 0;
    for (const knownId of [...this.#peers.keys()]) {
      if (peerIds.includes(knownId)) this.#peerReturned(knownId);
      else if (config.resumed) this.#removePeer(knownId);
      else this.#awaitReturn(knownId);
    }
    for (const peerId of peerIds) {
      const peer = this.#peers.get(peerId);
      if (peer === undefined) {
        const added = this.#addPeer(peerId, false);
        // A peer that joined while we were away has sent its offer, and the server has kept it, unless it was sent to the old connection.
        if (config.resumed && !mayHaveMissed) added.waitForOffer();
        else added.connect();
      } else if (!config.resumed && !peer.receiving) {
        peer.connect();
      } else {
        peer.signalingResumed();
      }
    }
    this.#callbacks.onConfig(config);
    this.#callbacks.onLock(config.locked === true);
  }

  /** @param {RoomMessage} message */
  #onMessage(message) {
    switch (message.type) {
      case "new-peer":
        if (this.#peers.has(message.payload.id)) this.#peerReturned(message.payload.id);
        else this.#addPeer(message.payload.id, true).waitForOffer();
        break;
      case "peer-disconnect":
        this.#removePeer(message.payload.id);
        break;
      case "peer-state":
        this.#onPeerState(message.payload);
        break;
      case "chat":
        this.#onChat(message.payload);
        break;
      case "room-state":
        this.#callbacks.onLock(message.payload.locked === true);
        break;
      case "mute":
        this.#onMute(message.payload.id);
        break;
      case "error":
        this.#callbacks.onError(message.payload);
        break;
      case "offer":
      case "answer":
      case "ice-candidate":
        this.#peers.get(message.payload.senderId)?.receive(message);
        break;
      default:
        // A type of a later version of the protocol.
    }
  }

  /** @param {import("../shared/protocol.js").PeerState & import("../shared/protocol.js").PeerId} payload */
  #onPeerState({ id, name, muted, camera, screen }) {
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    peer.setState({ name: String(name ?? ""), muted: muted === true, camera: camera === true, screen: screen ?? null });
    this.#callbacks.onPeerChanged(peer);
  }

  /** A moderator muted a peer, or us. @param {string} id */
  #onMute(id) {
    if (id === this.id) {
      this.#callbacks.onMuted();
      // Sent at once and in any case: other peers do not play our audio until they receive it.
      this.#signaling.send({ type: "peer-state", payload: this.#callbacks.peerState() });
      return;
    }
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    peer.muteByModerator();
    this.#callbacks.onPeerChanged(peer);
  }

  /** @param {import("../shared/protocol.js").ChatMessage} message */
  #onChat({ seq, senderId, name, text, ageMs }) {
    // After a reconnect, the server sends the history again.
    if (seq <= this.#chatSeq) return;
    this.#chatSeq = seq;
    this.#callbacks.onChat({
      senderId: String(senderId),
      name: String(name ?? ""),
      text: String(text ?? ""),
      ageMs: Number(ageMs ?? 0),
      isHistory: !this.#peers.has(senderId) && senderId !== this.id,
    });
  }

  /**
   * @param {string} id
   * @param {boolean} isNew
   */
  #addPeer(id, isNew) {
    const peer = new Peer(
      id,
      // Both sides compare the same two ids, so exactly one of them is polite.
      { polite: this.id < id, outgoing: this.#outgoing, configuration: this.#rtcConfiguration() },
      {
        send: (message) => this.#signaling.sendToPeer({ ...message, targetId: id }),
        onStatus: () => {
          if (this.#peers.get(id) === peer) this.#callbacks.onPeerChanged(peer);
        },
        onTracks: (tracks) => this.#callbacks.onTracks(peer, tracks),
        onStats: (snapshot) => this.#callbacks.onStats(peer, snapshot),
      },
    );
    this.#peers.set(id, peer);
    this.#updatePeerCount();
    this.#callbacks.onPeerAdded(peer, isNew);
    return peer;
  }

  /** @param {string} id */
  #removePeer(id) {
    this.#clearReturnTimer(id);
    const peer = this.#peers.get(id);
    if (peer === undefined) return;
    this.#peers.delete(id);
    peer.close();
    this.#updatePeerCount();
    this.#callbacks.onPeerRemoved(peer);
  }

  /** The server does not know this peer: not yet, or not any more. @param {string} id */
  #awaitReturn(id) {
    if (this.#returnTimers.has(id)) return;
    this.#returnTimers.set(id, setTimeout(() => {
      this.#returnTimers.delete(id);
      // A peer that does not return to the server may still send media, and stays as long as it does.
      if (this.#peers.get(id)?.receiving) this.#awaitReturn(id);
      else this.#removePeer(id);
    }, RETURN_TIMEOUT_MS));
  }

  /** @param {string} id */
  #peerReturned(id) {
    this.#clearReturnTimer(id);
    this.#peers.get(id)?.signalingResumed();
  }

  /** @param {string} id */
  #clearReturnTimer(id) {
    clearTimeout(this.#returnTimers.get(id));
    this.#returnTimers.delete(id);
  }

  #updatePeerCount() {
    const count = Math.max(1, this.#peers.size);
    for (const peer of this.#peers.values()) peer.setPeerCount(count);
  }

  /** @returns {RTCConfiguration} */
  #rtcConfiguration() {
    const iceServers = [...(this.#config?.iceServers ?? [])];
    const stunPort = this.#config?.stunPort;
    // The server answers STUN itself, so no other party is asked.
    if (stunPort !== undefined && this.#hostname !== "") iceServers.unshift({ urls: [`stun:${this.#hostname}:${stunPort}`] });
    return { iceServers, bundlePolicy: "max-bundle" };
  }
}
