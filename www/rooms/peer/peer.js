/**
 * Another peer in the room, and the connection to it. The connection repairs itself by an ICE restart; if that does not
 * help, both peers replace it with a new one.
 *
 * Each peer gives each of its connections an id, so that a message about an old connection can be ignored. A client that
 * sends no ids is told apart by the session ids in its descriptions.
 */

import { browserClock } from "../../shared/clock.js";
import { sessionIdOf, withMusic, withSpeech } from "../../shared/sdp.js";
import { ConnectionRepair } from "./connectionRepair.js";
import { PeerConnection } from "./peerConnection.js";
import { snapshotOf } from "./peerStats.js";
import { NO_TRACKS } from "./remoteMedia.js";
import { MUSIC_BPS, SPEECH_BPS } from "./sendLimits.js";

/** The polite peer waits this long for the other one to add the transceivers for a shared screen. */
const SCREEN_TIMEOUT_MS = 3000;
const STATS_INTERVAL_MS = 1000;
/** Bytes of a connection id. */
const ID_BYTES = 6;

/** @typedef {import("../../shared/protocol.js").PeerState} PeerState */
/** @typedef {import("../../shared/protocol.js").PeerMessage} PeerMessage */
/** @typedef {import("../../shared/protocol.js").PeerMessageBody} PeerMessageBody */
/** @typedef {import("./connectionRepair.js").PeerStatus} PeerStatus */

/**
 * @typedef {object} PeerCallbacks
 * @property {(message: PeerMessageBody) => void} send
 * @property {() => void} onStatus
 * @property {(tracks: import("./remoteMedia.js").RemoteTracks) => void} onTracks
 * @property {(snapshot: import("./peerStats.js").Snapshot) => void} onStats once a second while there is a connection
 */

/**
 * @typedef {import("../../shared/clock.js").Clock & {
 *   createPeerConnection: (configuration: RTCConfiguration) => RTCPeerConnection,
 *   createConnectionId: () => string,
 * }} Platform Replaced in tests.
 */

/** @type {Platform} */
const browserPlatform = {
  ...browserClock,
  createPeerConnection: (configuration) => new RTCPeerConnection(configuration),
  createConnectionId: () => Array.from(
    crypto.getRandomValues(new Uint8Array(ID_BYTES)),
    (byte) => byte.toString(16).padStart(2, "0"),
  ).join(""),
};

export class Peer {
  id;
  #polite;
  #outgoing;
  #callbacks;
  #platform;
  #configuration;
  #repair;

  /** @type {PeerState | null} null for a client that sends no `peer-state` */
  #state = null;
  /** @type {PeerConnection | null} */
  #connection = null;
  #connectionId = "";
  /** @type {string | null} */
  #remoteConnectionId = null;
  /** Our first offer of this connection is not answered yet. */
  #firstOfferPending = false;
  /** The other client is roomtone's page: it makes an offer on request. */
  #supportsOfferRequest = false;
  /** The remote description in force allows us to send music. */
  #sendsMusic = false;

  /** Number of peers in the room, without ourselves. */
  #peerCount = 1;
  /** Messages reach the other peer at present. */
  #signalingOpen = true;
  /** @type {number | undefined} */
  #statsTimer;
  #mutedByModerator = false;

  /**
   * @param {string} id
   * @param {{ polite: boolean, outgoing: import("./transceivers.js").Outgoing, configuration: RTCConfiguration }} options
   * @param {PeerCallbacks} callbacks
   * @param {Platform} platform
   */
  constructor(id, { polite, outgoing, configuration }, callbacks, platform = browserPlatform) {
    this.id = id;
    this.#polite = polite;
    this.#outgoing = outgoing;
    this.#configuration = configuration;
    this.#callbacks = callbacks;
    this.#platform = platform;
    this.#repair = new ConnectionRepair(polite, {
      restartIce: () => this.#connection?.negotiation.offer({ restart: true }),
      connect: () => this.connect(),
      isConnected: () => this.#connection?.connected === true,
      isSignalingOpen: () => this.#signalingOpen,
      onStatus: () => callbacks.onStatus(),
    }, platform);
  }

  get state() {
    return this.#state;
  }

  /** @returns {PeerStatus} */
  get status() {
    return this.#repair.status;
  }

  /** The connection is up, and packets have arrived recently. */
  get receiving() {
    return this.#connection?.connected === true && !this.#repair.stalled;
  }

  /** A moderator muted this peer, and it has not reported itself as muted yet. Until then it must not be played. */
  get mutedByModerator() {
    return this.#mutedByModerator;
  }

  /** Current audio level, 0 to 1. */
  get level() {
    return this.#mutedByModerator ? 0 : this.#connection?.remoteMedia.level ?? 0;
  }

  // --- called by the room ----------------------------------------------------------------------------------------------

  /** Creates a connection and makes the first offer: we are the newcomer. */
  connect() {
    this.#createConnection();
    this.#firstOfferPending = true;
    this.#connection?.transceivers.add(["microphone", "camera"]);
    this.updateMedia();
  }

  /** Waits for the first offer: the other peer is the newcomer. */
  waitForOffer() {
    this.#repair.awaitOffer();
  }

  /**
   * A message that this peer sent to us. Its payload is what another client wrote: nothing in it is certain.
   * @param {PeerMessage} message
   */
  receive(message) {
    const remoteId = message.payload.pair?.mine;
    const localId = message.payload.pair?.yours;
    if (typeof localId === "string" && localId !== this.#connectionId) return;
    if (message.type === "ice-candidate") this.#receiveCandidate(message.payload, remoteId);
    else this.#receiveDescription(message.type, message.payload.sdp, remoteId);
  }

  /** A peer that is already muted has nothing more to report. Not every client obeys a moderator. */
  muteByModerator() {
    this.#mutedByModerator = this.#state?.muted !== true;
  }

  /** @param {PeerState} state */
  setState(state) {
    this.#state = state;
    if (state.muted) this.#mutedByModerator = false;
    this.#reportTracks();
    this.updateMedia();
  }

  /** More peers mean less bitrate for each. @param {number} count without ourselves */
  setPeerCount(count) {
    this.#peerCount = count;
    void this.#connection?.transceivers.applyLimits(count);
  }

  /** What we send has changed. */
  updateMedia() {
    const connection = this.#connection;
    if (connection === null) return;
    if (this.#state !== null && connection.pc.currentRemoteDescription !== null) {
      this.#prepareScreen();
      if (this.#wantsMusic !== this.#sendsMusic) connection.negotiation.offer();
    }
    void connection.transceivers.updateTracks(this.#state === null)
      .then(() => this.#connection?.transceivers.applyLimits(this.#peerCount));
  }

  /** Whether the server can relay our messages. @param {boolean} open */
  setSignalingOpen(open) {
    this.#signalingOpen = open;
  }

  /** Signaling of one of us is back: messages may have been lost meanwhile. */
  signalingResumed() {
    this.#connection?.negotiation.repeatOffer();
  }

  /** Our network changed: a disconnected connection restarts ICE without further delay. */
  networkChanged() {
    if (this.#connection?.pc.connectionState === "disconnected") this.#repair.restartIce();
  }

  close() {
    this.#repair.stop();
    this.#closeConnection();
  }

  // --- messages --------------------------------------------------------------------------------------------------------

  /**
   * @param {import("../../shared/protocol.js").CandidatePayload} payload
   * @param {string | undefined} remoteId
   */
  #receiveCandidate({ wish, candidate }, remoteId) {
    if (wish === "offer" || wish === "restart") this.#connection?.negotiation.offer({ restart: wish === "restart" });
    if (typeof remoteId === "string" && remoteId !== this.#remoteConnectionId) return;
    if (typeof candidate === "object" && candidate !== null) this.#connection?.negotiation.receiveCandidate(candidate);
  }

  /**
   * @param {"offer" | "answer"} type
   * @param {import("../../shared/protocol.js").DescriptionPayload["sdp"] | undefined} description
   * @param {string | undefined} remoteId
   */
  #receiveDescription(type, description, remoteId) {
    const sdp = typeof description === "string" ? description : description?.sdp;
    if (typeof sdp !== "string") return;
    const id = typeof remoteId === "string" ? remoteId : sessionIdOf(sdp);
    if (type === "offer") {
      const isNew = this.#remoteConnectionId !== null && id !== this.#remoteConnectionId;
      // Both made a first offer at the same time, and we are polite. Browsers handle a rollback of a first offer badly.
      const collision = this.#firstOfferPending && this.#polite;
      if (this.#connection === null || isNew || collision) this.#createConnection();
    } else {
      // The next offer may arrive before this answer is applied.
      this.#firstOfferPending = false;
    }
    this.#remoteConnectionId = id;
    this.#supportsOfferRequest = typeof remoteId === "string";
    this.#connection?.negotiation.receiveDescription({ type, sdp });
  }

  #pair() {
    return { mine: this.#connectionId, yours: this.#remoteConnectionId };
  }

  /** @param {boolean} restart @returns {boolean} */
  #requestOffer(restart) {
    if (!this.#supportsOfferRequest) return false;
    // Every client accepts a candidate of null, which means that no more candidates follow.
    const wish = restart ? "restart" : "offer";
    this.#callbacks.send({ type: "ice-candidate", payload: { candidate: null, wish, pair: this.#pair() } });
    return true;
  }

  // --- the connection --------------------------------------------------------------------------------------------------

  #closeConnection() {
    this.#platform.clearTimeout(this.#statsTimer);
    this.#connection?.close();
    this.#connection = null;
  }

  #createConnection() {
    this.#closeConnection();
    this.#connectionId = this.#platform.createConnectionId();
    this.#remoteConnectionId = null;
    this.#firstOfferPending = false;
    const pc = this.#platform.createPeerConnection(this.#configuration);
    this.#connection = new PeerConnection(pc, this.#polite, this.#outgoing, {
      sendDescription: (sdp) => this.#callbacks.send({ type: sdp.type, payload: { sdp, pair: this.#pair() } }),
      sendCandidate: (candidate) => this.#callbacks.send({ type: "ice-candidate", payload: { candidate, pair: this.#pair() } }),
      requestOffer: (restart) => this.#requestOffer(restart),
      onRemoteOffer: () => this.updateMedia(),
      onStable: () => {
        this.#reportTracks();
        this.updateMedia();
      },
      onError: (error) => {
        console.warn(`peer ${this.id}: negotiation failed, reconnecting:`, error);
        this.#repair.connectionFailed();
      },
      onTracks: () => this.#reportTracks(),
      onState: (state) => this.#onConnectionState(state),
      editRemote: (sdp) => {
        this.#sendsMusic = this.#wantsMusic;
        return this.#sendsMusic ? withMusic(sdp, MUSIC_BPS) : withSpeech(sdp, SPEECH_BPS);
      },
    });
    this.#repair.connectionCreated();
    this.#reportTracks();
    this.#scheduleStats(pc);
  }

  /** The screen's audio is treated as music. */
  get #wantsMusic() {
    return this.#outgoing.music || (this.#outgoing.tracks.screenAudio !== null && this.#state !== null);
  }

  /**
   * Adds the transceivers for a shared screen before anybody shares one. Sharing then needs no offer, so offers that add
   * media cannot collide (see `negotiation.js`). The impolite peer adds them; the polite one only if that did not happen,
   * because the other client is a different one.
   */
  #prepareScreen() {
    const connection = this.#connection;
    if (connection === null || connection.transceivers.has("screen")) return;
    if (!this.#polite) {
      connection.transceivers.add(["screen", "screenAudio"]);
    } else if (this.#outgoing.tracks.screen !== null) {
      this.#platform.setTimeout(() => {
        if (this.#connection === connection && this.#outgoing.tracks.screen !== null) {
          connection.transceivers.add(["screen", "screenAudio"]);
        }
        void connection.transceivers.updateTracks(false);
      }, SCREEN_TIMEOUT_MS);
    }
  }

  #reportTracks() {
    this.#callbacks.onTracks(this.#connection?.remoteMedia.tracks(this.#state) ?? NO_TRACKS);
  }

  /** @param {RTCPeerConnectionState} state */
  #onConnectionState(state) {
    this.#repair.connectionStateChanged(state);
    if (state === "connected") void this.#connection?.transceivers.applyLimits(this.#peerCount);
  }

  /** The other peer says that it sends something. */
  get #expectsMedia() {
    return this.#state !== null && (!this.#state.muted || this.#state.camera || this.#state.screen !== null);
  }

  /** @param {RTCPeerConnection} pc */
  #scheduleStats(pc) {
    this.#platform.clearTimeout(this.#statsTimer);
    this.#statsTimer = this.#platform.setTimeout(() => void this.#readStats(pc), STATS_INTERVAL_MS);
  }

  /** @param {RTCPeerConnection} pc */
  async #readStats(pc) {
    const report = await pc.getStats().catch(() => null);
    if (this.#connection?.pc !== pc) return;
    if (pc.connectionState === "closed") {
      // Not closed by us: browsers close connections when they run out of resources.
      this.#repair.connectionFailed();
      return;
    }
    const snapshot = report === null ? null : snapshotOf(/** @type {any} */ (report), this.#platform.now());
    this.#repair.tick(snapshot?.packetsReceived ?? null, this.#expectsMedia);
    if (snapshot !== null) this.#callbacks.onStats(snapshot);
    this.#scheduleStats(pc);
  }
}
