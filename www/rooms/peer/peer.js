/**
 * One of the others, and the line between the two of us: an RTCPeerConnection that repairs itself, and is replaced by a
 * new one when it cannot.
 *
 * A path that is gone is looked for anew (ICE restart); if that does not help, both ends begin again with a new connection.
 * Each end gives its connection a tag, so that what was said about an old one is told from what is said about the new. A
 * client that knows nothing of tags is known by the session id in its descriptions.
 */

import { MUSIC_BPS, VOICE_BPS } from "./sendLimits.js";
import { flowOf } from "./peerStats.js";
import { Link } from "./peerConnection.js";
import { NOTHING } from "./remoteMedia.js";
import { Reconnect } from "../../shared/backoff.js";
import { sessionOf, withMusic, withVoice } from "../../shared/sdp.js";
import { Watch } from "./packetMonitor.js";

/** A path that comes back within this time needs no help. */
const DISCONNECTED_PATIENCE_MS = 4000;
/** A restart that brought no path after this time brings none. */
const RESTART_PATIENCE_MS = 8000;
/** A new connection that does not stand after this time never will. */
const CONNECT_PATIENCE_MS = 15_000;
/** Who was there before us waits so long for the newcomer's offer, and then makes its own. */
const OFFER_PATIENCE_MS = 10_000;
/** Of two ends that see the same break, one begins: the other only if nothing came of it. */
const POLITE_WAIT_MS = 1000;
/** Who gives way waits so long for the other to prepare what a shared screen needs. */
const PREPARE_PATIENCE_MS = 3000;
/** How often packets are counted. */
const TICK_MS = 1000;

/** @typedef {import("./remoteMedia.js").PeerState} PeerState */
/** @typedef {import("./remoteMedia.js").Tracks} Tracks */
/** @typedef {"connecting" | "connected" | "repairing"} LineState */

/**
 * @typedef {object} PeerCallbacks
 * @property {(type: "offer" | "answer" | "ice-candidate", payload: object) => void} send
 * @property {(line: LineState) => void} onLine
 * @property {(tracks: Tracks) => void} onTracks
 * @property {(now: import("./peerStats.js").Flow) => void} onFlow once a second while there is a line
 */

/**
 * @typedef {object} World Replaced in tests.
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} peerConnection
 * @property {() => number} now
 * @property {(run: () => void, wait_ms: number) => any} later
 * @property {(timer: any) => void} never
 * @property {() => string} tag
 * @property {() => number} random
 */

/** @type {World} */
const BROWSER = {
  peerConnection: (configuration) => new RTCPeerConnection(configuration),
  now: () => performance.now(),
  later: (run, wait_ms) => setTimeout(run, wait_ms),
  never: (timer) => clearTimeout(timer),
  tag: () => Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, "0")).join(""),
  random: Math.random,
};

export class Peer {
  id;
  #polite;
  #outgoing;
  #callbacks;
  #world;
  #configuration;
  #reconnect;

  /** @type {PeerState | null} null of a client that says nothing of itself */
  #state = null;
  /** @type {LineState} */
  #line = "connecting";
  /** @type {Link | null} */
  #link = null;
  #tag = "";
  /** Our own first offer is not answered yet. */
  #calling = false;
  /** @type {string | null} */
  #their_tag = null;
  /** The other's connections have tags: it is of our kind. */
  #kin = false;
  #music = false;

  #others = 1;
  /** The server can pass our words on now. */
  #reachable = true;
  #closed = false;
  /** @type {any} */
  #repair_timer;
  /** @type {any} */
  #tick_timer;
  #watch = new Watch(0);
  /** A host wishes it silent, and it has not said that it is. */
  #silenced = false;

  /**
   * @param {string} id
   * @param {{ polite: boolean, outgoing: import("./transceivers.js").Outgoing, configuration: RTCConfiguration }} around
   * @param {PeerCallbacks} callbacks
   * @param {World} world
   */
  constructor(id, { polite, outgoing, configuration }, callbacks, world = BROWSER) {
    this.id = id;
    this.#polite = polite;
    this.#outgoing = outgoing;
    this.#configuration = configuration;
    this.#callbacks = callbacks;
    this.#world = world;
    this.#reconnect = new Reconnect(world.random);
  }

  get state() {
    return this.#state;
  }

  get line() {
    return this.#line;
  }

  /** The line stands, and packets of theirs have come in just now. */
  get flowing() {
    return this.#link?.pc.connectionState === "connected" && !this.#watch.stalled(this.#world.now());
  }

  // --- from the room ---------------------------------------------------------------------------------------------------

  /** We are the newcomer: we offer. */
  call() {
    this.#build();
    this.#calling = true;
    this.#link?.slots.open(["sound", "camera"]);
    this.update();
    this.#patience(CONNECT_PATIENCE_MS);
  }

  /** The other is the newcomer: it will offer. */
  await() {
    this.#world.never(this.#repair_timer);
    this.#repair_timer = this.#world.later(() => this.#rebuild(), OFFER_PATIENCE_MS);
  }

  /**
   * Something the other says to us alone.
   * @param {string} type
   * @param {any} payload
   */
  hear(type, payload) {
    const { mine: theirs, yours: ours } = payload.pair ?? {};
    if (typeof ours === "string" && ours !== this.#tag) return;
    if (type === "ice-candidate") {
      if (payload.wish === "offer" || payload.wish === "restart") this.#link?.negotiation.offer({ restart: payload.wish === "restart" });
      if (typeof theirs === "string" && theirs !== this.#their_tag) return;
      if (typeof payload.candidate === "object" && payload.candidate !== null) this.#link?.negotiation.candidate(payload.candidate);
      return;
    }
    if (type !== "offer" && type !== "answer") return;
    const sdp = typeof payload.sdp === "string" ? payload.sdp : payload.sdp?.sdp;
    if (typeof sdp !== "string") return;
    const tag = typeof theirs === "string" ? theirs : sessionOf(sdp);
    if (type === "offer") {
      const anew = this.#their_tag !== null && tag !== this.#their_tag;
      // Both called in the same moment, and it is us who give way. Browsers take back a first offer badly.
      const crossed = this.#calling && this.#polite;
      if (this.#link === null || anew || crossed) {
        this.#build();
        this.#patience(CONNECT_PATIENCE_MS);
      }
    } else {
      // An offer may follow before this answer has taken effect.
      this.#calling = false;
    }
    this.#their_tag = tag;
    this.#kin = typeof theirs === "string";
    this.#link?.negotiation.described({ type, sdp });
  }

  /**
   * A host wishes its microphone off. Until it says that it is, nothing of it is to be played: not every client obeys. One
   * that is muted already has nothing more to say.
   */
  silence() {
    this.#silenced = this.#state?.muted !== true;
  }

  get silenced() {
    return this.#silenced;
  }

  /** @param {PeerState} state */
  describe(state) {
    this.#state = state;
    if (state.muted) this.#silenced = false;
    this.#show();
    this.update();
  }

  /** How many there are besides us: the more, the less each gets. @param {number} others */
  share(others) {
    this.#others = others;
    void this.#link?.slots.limit(this.#others);
  }

  /** What we send has changed. */
  update() {
    const link = this.#link;
    if (link === null) return;
    if (this.#state !== null && link.pc.currentRemoteDescription !== null) {
      this.#prepareScreen();
      if (this.#musical !== this.#music) link.negotiation.offer();
    }
    void link.slots.fill(this.#state === null).then(() => this.#link?.slots.limit(this.#others));
  }

  /**
   * Has the ways for a shared screen ready before anybody shares one: then sharing needs no words, and no offers that add
   * media can cross, after which Chrome shows nothing of what the one who gave way receives. So one of the two prepares
   * them; the other only if that did not happen, because the one is not of our kind.
   */
  #prepareScreen() {
    const link = this.#link;
    if (link === null || link.slots.has("screen")) return;
    if (!this.#polite) {
      link.slots.open(["screen", "screenSound"]);
    } else if (this.#outgoing.tracks.screen !== null) {
      this.#world.later(() => {
        if (this.#link === link && this.#outgoing.tracks.screen !== null) link.slots.open(["screen", "screenSound"]);
        void link.slots.fill(false);
      }, PREPARE_PATIENCE_MS);
    }
  }

  /**
   * Whether the server can pass our words on.
   * @param {boolean} reachable
   */
  reach(reachable) {
    this.#reachable = reachable;
  }

  /** The other's line to the server, or ours, is back: words may have been lost meanwhile. */
  resume() {
    this.#link?.negotiation.repeat();
  }

  /** The network under us changed: a path that hangs is not waited for. */
  hurry() {
    if (this.#link?.pc.connectionState === "disconnected") this.#restart();
  }

  close() {
    this.#closed = true;
    this.#world.never(this.#repair_timer);
    this.#unlink();
  }

  /** How loud the other is just now, 0 to 1. */
  get level() {
    return this.#silenced ? 0 : this.#link?.received.level ?? 0;
  }

  // --- the connection --------------------------------------------------------------------------------------------------

  #unlink() {
    this.#world.never(this.#tick_timer);
    this.#link?.close();
    this.#link = null;
  }

  #build() {
    this.#unlink();
    this.#tag = this.#world.tag();
    this.#their_tag = null;
    this.#calling = false;
    this.#watch = new Watch(this.#world.now());
    const pc = this.#world.peerConnection(this.#configuration);
    this.#link = new Link(pc, this.#polite, this.#outgoing, {
      onDescription: (description) => this.#send(description.type, { sdp: description }),
      onCandidate: (candidate) => this.#send("ice-candidate", { candidate }),
      ask: (restart) => {
        if (!this.#kin) return false;
        // It travels with what every client takes and passes over: the word that no candidate is left.
        this.#send("ice-candidate", { candidate: null, wish: restart ? "restart" : "offer" });
        return true;
      },
      onOffered: () => this.update(),
      onStable: () => {
        this.#show();
        this.update();
      },
      onError: (error) => {
        console.warn(`the line to ${this.id} has to begin anew:`, error);
        this.#rebuildLater();
      },
      onTracks: () => this.#show(),
      onState: (state) => this.#changed(state),
      theirs: (sdp) => {
        this.#music = this.#musical;
        return this.#music ? withMusic(sdp, MUSIC_BPS) : withVoice(sdp, VOICE_BPS);
      },
    });
    this.#become("connecting");
    this.#show();
    this.#tickLater(pc);
  }

  /** Sound that is not speech goes out: at least as good as music is meant to. */
  get #musical() {
    return this.#outgoing.music || (this.#outgoing.tracks.screenSound !== null && this.#state !== null);
  }

  /**
   * @param {"offer" | "answer" | "ice-candidate"} type
   * @param {object} payload
   */
  #send(type, payload) {
    this.#callbacks.send(type, { ...payload, pair: { mine: this.#tag, yours: this.#their_tag } });
  }

  /** @param {LineState} line */
  #become(line) {
    if (this.#line === line) return;
    this.#line = line;
    this.#callbacks.onLine(line);
  }

  #show() {
    this.#callbacks.onTracks(this.#link?.received.tracks(this.#state) ?? NOTHING);
  }

  // --- the watch -------------------------------------------------------------------------------------------------------

  /** @param {RTCPeerConnectionState} state */
  #changed(state) {
    if (state === "connected") {
      this.#world.never(this.#repair_timer);
      this.#watch.begin(this.#world.now());
      this.#become("connected");
      void this.#link?.slots.limit(this.#others);
    } else if (state === "disconnected") {
      this.#repairAfter(DISCONNECTED_PATIENCE_MS);
    } else if (state === "failed") {
      this.#repairAfter(0);
    }
  }

  /** @param {number} wait_ms */
  #repairAfter(wait_ms) {
    this.#become("repairing");
    this.#world.never(this.#repair_timer);
    this.#repair_timer = this.#world.later(() => this.#restart(), wait_ms + (this.#polite ? POLITE_WAIT_MS : 0));
  }

  /** Looks for another path. */
  #restart() {
    if (this.#link === null) return;
    this.#become("repairing");
    if (!this.#reachable) {
      this.#repairAfter(TICK_MS);
      return;
    }
    this.#watch.lived = false;
    this.#link.negotiation.offer({ restart: true });
    this.#patience(RESTART_PATIENCE_MS);
  }

  /** @param {number} patience_ms */
  #patience(patience_ms) {
    this.#world.never(this.#repair_timer);
    this.#repair_timer = this.#world.later(() => {
      if (this.#link?.pc.connectionState !== "connected" || !this.#watch.lived) this.#rebuildLater();
    }, patience_ms);
  }

  #rebuildLater() {
    this.#become("repairing");
    const now_ms = this.#world.now();
    const due_ms = this.#reconnect.broken(now_ms);
    this.#world.never(this.#repair_timer);
    this.#repair_timer = this.#world.later(() => this.#rebuild(), due_ms - now_ms + (this.#polite ? POLITE_WAIT_MS : 0));
  }

  #rebuild() {
    if (this.#closed) return;
    this.#reconnect.trying();
    if (this.#reachable) this.call();
    else this.#rebuildLater();
  }

  /** The other says that it sends something. */
  get #sending() {
    return this.#state !== null && (!this.#state.muted || this.#state.camera || this.#state.screen !== null);
  }

  /** @param {RTCPeerConnection} pc */
  #tickLater(pc) {
    this.#world.never(this.#tick_timer);
    this.#tick_timer = this.#world.later(() => void this.#tick(pc), TICK_MS);
  }

  /** @param {RTCPeerConnection} pc */
  async #tick(pc) {
    const report = await pc.getStats().catch(() => null);
    if (this.#link?.pc !== pc) return;
    if (pc.connectionState === "closed") {
      // Not by us: browsers close what they run out of room for.
      this.#rebuildLater();
      return;
    }
    const now_ms = this.#world.now();
    this.#watch.look(now_ms);
    if (report !== null) this.#count(flowOf(/** @type {any} */ (report), now_ms), now_ms);
    if (pc.connectionState === "connected" && this.#line === "connected" && this.#sending && this.#watch.stalled(now_ms)) {
      this.#restart();
    }
    this.#tickLater(pc);
  }

  /**
   * @param {import("./peerStats.js").Flow} flow
   * @param {number} now_ms
   */
  #count(flow, now_ms) {
    const connected = this.#link?.pc.connectionState === "connected";
    if (this.#watch.count(flow.packets_in, connected && !this.#sending, now_ms) && connected && !this.#watch.lived) {
      this.#watch.lived = true;
      this.#reconnect.reset();
      this.#world.never(this.#repair_timer);
      this.#become("connected");
    }
    this.#callbacks.onFlow(flow);
  }
}
