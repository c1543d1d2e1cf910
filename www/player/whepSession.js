/**
 * One WHEP session, from the offer to the DELETE (draft-ietf-wish-whep-03; PATCH follows RFC 9725).
 *
 * It restarts ICE once by itself. After any other failure it reports an error, and the player starts a new session.
 */

import { browserClock } from "../shared/clock.js";
import { withNack, withStereo } from "../shared/sdp.js";
import { abortAfter } from "../shared/requests.js";
import { authorizationHeaders } from "../shared/tokenStore.js";
import { iceServersFromLinks } from "./iceLinks.js";
import { readFragment, withRestart, writeFragment } from "./sdpFragment.js";
import { SessionError, errorFrom } from "./sessionError.js";

/** A request without an answer after this time has failed. */
const REQUEST_TIMEOUT_MS = 8000;
/** Candidates found within this time share one PATCH. */
const TRICKLE_BATCH_MS = 40;
/** A connection often recovers within this time without help, for example when a phone changes cells. */
const DISCONNECTED_GRACE_MS = 2000;
/** An ICE restart that has not connected after this time has failed. */
const RESTART_TIMEOUT_MS = 4000;

const FRAGMENT_TYPE = "application/trickle-ice-sdpfrag";

/**
 * @typedef {object} Endpoint
 * @property {string} url such as `/whep`
 * @property {() => string | null} token access token; asked for each request, because it may change meanwhile
 * @property {RTCIceServer[]} [iceServers] servers that an earlier answer named
 * @property {number} [jitterBufferTargetMs] how much sound the browser keeps at least before it plays
 * @property {Pick<import("./playout/directPlayout.js").DirectPlayout, "attach" | "counters"> | null} [playout] null if the browser
 *   plays the sound itself
 */

/**
 * @typedef {object} SessionCallbacks
 * @property {() => void} onConnected packets can flow; also after an ICE restart
 * @property {() => void} onRestarting the connection was lost, and ICE restarts
 * @property {(error: SessionError) => void} onFailed called at most once
 * @property {(servers: RTCIceServer[]) => void} onIceServers the answer named STUN or TURN servers
 */

/**
 * @typedef {Pick<import("../shared/clock.js").Clock, "setTimeout" | "clearTimeout"> & {
 *   fetch: typeof globalThis.fetch,
 *   createPeerConnection: (configuration: RTCConfiguration) => RTCPeerConnection,
 *   createMediaStream: (tracks: MediaStreamTrack[]) => MediaStream,
 * }} Platform Replaced in tests.
 */

/** @type {Platform} */
const browserPlatform = {
  ...browserClock,
  fetch: (...request) => fetch(...request),
  createPeerConnection: (configuration) => new RTCPeerConnection(configuration),
  createMediaStream: (tracks) => new MediaStream(tracks),
};

export class WhepSession {
  #url;
  #token;
  #callbacks;
  #platform;
  #pc;
  #receiver;
  /** The received audio. It exists from the start, so that it can be played in the user gesture that started the session. */
  stream;

  /** @type {string | null} the session's URL, from the 201 response */
  #sessionUrl = null;
  /** @type {string | null} */
  #etag = null;
  #stopped = false;
  #failed = false;

  /** @type {string[]} candidates not sent yet */
  #candidates = [];
  /** All candidates are gathered, and the server does not know yet. */
  #gathered = false;
  /** @type {number | undefined} */
  #trickleTimer;

  /** From the start of an ICE restart until the connection works again. */
  #restarting = false;
  /** @type {number | undefined} */
  #restartTimer;

  /**
   * @param {Endpoint} endpoint
   * @param {SessionCallbacks} callbacks
   * @param {Platform} platform
   */
  constructor({ url, token, iceServers = [], jitterBufferTargetMs = 0, playout = null }, callbacks, platform = browserPlatform) {
    this.#url = url;
    this.#token = token;
    this.#callbacks = callbacks;
    this.#platform = platform;
    this.#pc = platform.createPeerConnection({ bundlePolicy: "max-bundle", iceServers });
    const transceiver = this.#pc.addTransceiver("audio", { direction: "recvonly" });
    this.#receiver = transceiver.receiver;
    this.setJitterBufferTarget(jitterBufferTargetMs);
    playout?.attach(this.#receiver);
    this.stream = platform.createMediaStream([transceiver.receiver.track]);
    this.#pc.addEventListener("icecandidate", ({ candidate }) => this.#onCandidate(candidate));
    this.#pc.addEventListener("connectionstatechange", () => this.#onConnectionState());
  }

  /**
   * How much sound the browser keeps at least before it plays (W3C WebRTC Extensions, section 7.1).
   * @param {number} targetMs 0 for as little as the line permits
   */
  setJitterBufferTarget(targetMs) {
    // Chromium's older name; seconds.
    if (!("jitterBufferTarget" in this.#receiver)) /** @type {any} */ (this.#receiver).playoutDelayHint = targetMs / 1000;
    else /** @type {any} */ (this.#receiver).jitterBufferTarget = targetMs;
  }

  /** Asks the server for the session. Failures are reported by `onFailed`. */
  async start() {
    try {
      await this.#post();
    } catch (error) {
      this.#fail(error instanceof SessionError ? error : new SessionError("unsupported", String(error)));
    }
  }

  async #post() {
    const offer = await this.#createOffer();
    // RFC 9725, section 4.3.1: the offer is sent at once, candidates follow.
    const response = await this.#request(this.#url, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", Accept: "application/sdp" },
      body: offer,
    });
    if (response.status !== 201) throw await errorFrom(response);
    this.#useIceServers(iceServersFromLinks(response.headers.get("Link")));
    const location = response.headers.get("Location");
    if (location === null) throw new SessionError("refused", "the server's answer names no session");
    this.#sessionUrl = new URL(location, response.url || globalThis.location?.href).href;
    this.#etag = response.headers.get("ETag");
    const answer = await response.text();
    if (this.#stopped) {
      // Stopped while the request was under way: the server still has to end the session.
      this.#delete(false);
      return;
    }
    await this.#pc.setRemoteDescription({ type: "answer", sdp: answer });
    this.#scheduleTrickle();
  }

  /**
   * Creates our offer, edits it and sets it as the local description.
   * @param {RTCOfferOptions} options
   * @returns {Promise<string>}
   */
  async #createOffer(options = {}) {
    const { sdp = "" } = await this.#pc.createOffer(options);
    const edited = withNack(withStereo(sdp));
    try {
      await this.#pc.setLocalDescription({ type: "offer", sdp: edited });
    } catch {
      // A browser that rejects the edit uses its own description.
      await this.#pc.setLocalDescription({ type: "offer", sdp });
    }
    return edited;
  }

  /**
   * @param {string} url
   * @param {RequestInit} request
   * @returns {Promise<Response>}
   */
  async #request(url, request) {
    try {
      return await this.#platform.fetch(url, {
        cache: "no-store",
        signal: abortAfter(REQUEST_TIMEOUT_MS, this.#platform),
        ...request,
        headers: { ...request.headers, ...authorizationHeaders(this.#token()) },
      });
    } catch (error) {
      throw new SessionError("unreachable", error instanceof Error ? error.message : "");
    }
  }

  /**
   * The offer is already sent, so the servers serve the next ICE restart and the next session (RFC 9725, section 4.6).
   * @param {RTCIceServer[]} iceServers
   */
  #useIceServers(iceServers) {
    if (iceServers.length === 0 || this.#stopped) return;
    try {
      this.#pc.setConfiguration({ bundlePolicy: "max-bundle", iceServers });
      this.#callbacks.onIceServers(iceServers);
    } catch (error) {
      console.warn("the browser rejects the ICE servers of the answer:", error);
    }
  }

  /** @param {RTCIceCandidate | null} candidate */
  #onCandidate(candidate) {
    if (candidate === null || candidate.candidate === "") this.#gathered = true;
    else this.#candidates.push(candidate.candidate);
    this.#scheduleTrickle();
  }

  #scheduleTrickle() {
    if (this.#stopped || this.#sessionUrl === null || this.#trickleTimer !== undefined) return;
    this.#trickleTimer = this.#platform.setTimeout(() => {
      this.#trickleTimer = undefined;
      void this.#trickle();
    }, TRICKLE_BATCH_MS);
  }

  /** Sends new candidates. A server that does not accept them may still learn our addresses from connectivity checks. */
  async #trickle() {
    const local = readFragment(this.#pc.localDescription?.sdp ?? "");
    const nothingNew = this.#candidates.length === 0 && !this.#gathered;
    if (this.#stopped || this.#sessionUrl === null || local === null || nothingNew) return;
    const body = writeFragment({ ...local, candidates: this.#candidates, complete: this.#gathered });
    this.#candidates = [];
    this.#gathered = false;
    try {
      const response = await this.#patch(this.#etag, body);
      if (response.status === 404 || response.status === 410) this.#fail(new SessionError("closed"));
    } catch {
      // The network was lost meanwhile; the connection's state tells what follows.
    }
  }

  /**
   * @param {string | null} ifMatch
   * @param {string} body
   */
  #patch(ifMatch, body) {
    return this.#request(/** @type {string} */ (this.#sessionUrl), {
      method: "PATCH",
      headers: { "Content-Type": FRAGMENT_TYPE, ...(ifMatch === null ? {} : { "If-Match": ifMatch }) },
      body,
    });
  }

  #onConnectionState() {
    if (this.#stopped || this.#failed) return;
    switch (this.#pc.connectionState) {
      case "connected":
        this.#platform.clearTimeout(this.#restartTimer);
        this.#restarting = false;
        this.#callbacks.onConnected();
        break;
      case "disconnected":
        if (!this.#restarting) this.#restartAfter(DISCONNECTED_GRACE_MS);
        break;
      case "failed":
        this.#restartAfter(0);
        break;
      case "closed":
        this.#fail(new SessionError("closed"));
        break;
    }
  }

  /** @param {number} delayMs */
  #restartAfter(delayMs) {
    this.#platform.clearTimeout(this.#restartTimer);
    this.#restartTimer = this.#platform.setTimeout(() => void this.#restartIce(), delayMs);
  }

  /** The network changed: a disconnected session restarts ICE without further delay. */
  networkChanged() {
    if (this.#pc.connectionState === "disconnected" && !this.#restarting) this.#restartAfter(0);
  }

  /** ICE restart (RFC 9725, section 4.3.3). There is no second one in a row: a new session is as fast and more reliable. */
  async #restartIce() {
    if (this.#stopped || this.#failed) return;
    if (this.#restarting || this.#sessionUrl === null) {
      this.#fail(new SessionError("ice-failed"));
      return;
    }
    this.#restarting = true;
    this.#callbacks.onRestarting();
    try {
      this.#candidates = [];
      this.#gathered = false;
      const local = readFragment(await this.#createOffer({ iceRestart: true }));
      if (local === null) throw new SessionError("ice-failed");
      // The new ETag comes with the answer. Until then, new candidates wait: this timer blocks other ones.
      this.#platform.clearTimeout(this.#trickleTimer);
      this.#trickleTimer = this.#platform.setTimeout(() => {}, REQUEST_TIMEOUT_MS);
      const response = await this.#patch("*", writeFragment(local));
      if (response.status !== 200) throw new SessionError(response.status === 404 ? "closed" : "ice-failed");
      this.#etag = response.headers.get("ETag") ?? this.#etag;
      const remote = readFragment(await response.text());
      const answer = this.#pc.remoteDescription?.sdp;
      if (remote === null || answer === undefined) throw new SessionError("ice-failed");
      if (this.#stopped) return;
      await this.#pc.setRemoteDescription({ type: "answer", sdp: withRestart(answer, remote) });
      this.#platform.clearTimeout(this.#trickleTimer);
      this.#trickleTimer = undefined;
      this.#scheduleTrickle();
      this.#restartTimer = this.#platform.setTimeout(() => this.#fail(new SessionError("ice-failed")), RESTART_TIMEOUT_MS);
    } catch (error) {
      this.#fail(error instanceof SessionError ? error : new SessionError("ice-failed", String(error)));
    }
  }

  /** @param {SessionError} error */
  #fail(error) {
    if (this.#stopped || this.#failed) return;
    this.#failed = true;
    this.#callbacks.onFailed(error);
  }

  /** Whether the browser considers the connection up. */
  get connected() {
    return this.#pc.connectionState === "connected";
  }

  /** @returns {Promise<RTCStatsReport>} */
  getStats() {
    return this.#pc.getStats();
  }

  /**
   * Asks the server whether the session still exists. After a restart of the server it does not, and UDP alone would take
   * many seconds to show it.
   * @returns {Promise<boolean>}
   */
  async exists() {
    if (this.#sessionUrl === null) return false;
    try {
      const response = await this.#request(this.#sessionUrl, { method: "GET" });
      return response.status !== 404 && response.status !== 410;
    } catch {
      return false;
    }
  }

  /**
   * Ends the session here and at the server.
   * @param {boolean} keepalive the page is being closed: the request must outlive it
   */
  stop(keepalive = false) {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#platform.clearTimeout(this.#trickleTimer);
    this.#platform.clearTimeout(this.#restartTimer);
    // First of all: a page that is being closed may have no time for more.
    this.#delete(keepalive);
    this.#pc.close();
  }

  /** @param {boolean} keepalive */
  #delete(keepalive) {
    if (this.#sessionUrl === null) return;
    this.#request(this.#sessionUrl, { method: "DELETE", keepalive }).catch(() => {
      // The server ends a silent session by itself after a while.
    });
    this.#sessionUrl = null;
  }
}
