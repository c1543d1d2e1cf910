/**
 * One WHEP session: from the offer to the DELETE (draft-ietf-wish-whep-03; its rules for PATCH are those of RFC 9725).
 *
 * It repairs its own path once by an ICE restart and otherwise says that it is broken. Trying again with a new session is
 * `tuner.js`'s business.
 */

import { iceServersOf } from "./iceLinks.js";
import { bearer } from "../shared/tokenStore.js";
import { readFragment, withNack, withRestart, withStereo, writeFragment } from "../shared/sdp.js";

/** A request that takes longer will not be answered. */
const REQUEST_PATIENCE_MS = 8000;
/** Candidates found within this time leave in one PATCH. */
const BATCH_MS = 40;
/** A path that comes back within this time needs no help: a phone that changes cells does. */
const DISCONNECTED_PATIENCE_MS = 2000;
/** A restart that brought no path after this time brings none. */
const RESTART_PATIENCE_MS = 4000;

const FRAGMENT_TYPE = "application/trickle-ice-sdpfrag";

/**
 * @typedef {"unreachable" | "full" | "missing" | "refused" | "uninvited" | "no-path" | "stalled" | "cut" | "unsupported"} Reason
 * Why there is no sound; `words.js` has the sentences.
 */

/** The session cannot be had, or is over. */
export class SessionError extends Error {
  /**
   * @param {Reason} reason
   * @param {string} detail what the server or the browser said, for people; of `uninvited`, its code
   * @param {number} retry_after_ms what the server asked to wait, 0 if nothing
   */
  constructor(reason, detail = "", retry_after_ms = 0) {
    super(detail || reason);
    this.reason = reason;
    this.detail = detail;
    this.retry_after_ms = retry_after_ms;
  }
}

/**
 * @typedef {object} Place Where the sound is to be had.
 * @property {string} endpoint such as `/whep`
 * @property {RTCIceServer[]} [servers] that the host has named before
 * @property {() => string | null} key what opens it; asked anew each time, for it may have been thrown away meanwhile
 */

/**
 * @typedef {object} Callbacks
 * @property {() => void} onConnected packets can flow; also after a repair
 * @property {() => void} onRepairing the path is gone and a new one is looked for
 * @property {(error: SessionError) => void} onBroken called once at most
 * @property {(servers: RTCIceServer[]) => void} onServers the host named servers that help to find a path
 */

/**
 * @typedef {object} World What a session needs of its surroundings, replaced in tests.
 * @property {typeof globalThis.fetch} fetch
 * @property {(configuration: RTCConfiguration) => RTCPeerConnection} peerConnection
 * @property {(tracks: MediaStreamTrack[]) => MediaStream} mediaStream
 * @property {(run: () => void, wait_ms: number) => any} later
 * @property {(timer: any) => void} never
 */

/** @type {World} */
const BROWSER = {
  fetch: (...request) => fetch(...request),
  peerConnection: (configuration) => new RTCPeerConnection(configuration),
  mediaStream: (tracks) => new MediaStream(tracks),
  later: (run, wait_ms) => setTimeout(run, wait_ms),
  never: (timer) => clearTimeout(timer),
};

/**
 * Seconds or a date (RFC 9110, section 10.2.3), as milliseconds from now.
 * @param {string | null} value
 * @param {number} now_ms
 * @returns {number}
 */
export function retryAfterOf(value, now_ms) {
  if (value === null) return 0;
  const seconds = /^\s*\d+\s*$/.test(value) ? Number(value) : (Date.parse(value) - now_ms) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : 0;
}

/**
 * Why a server said no.
 * @param {Response} response
 * @returns {Promise<SessionError>}
 */
async function refusalOf(response) {
  const body = await response.text().catch(() => "");
  /** @type {any} */
  let json = null;
  try {
    json = JSON.parse(body);
  } catch {
    // Plain text is shown as it is.
  }
  const code = json?.error?.code;
  const said = json?.error?.message ?? body;
  const detail = typeof said === "string" && said.length < 300 ? said.trim() : "";
  const retry_after_ms = retryAfterOf(response.headers.get("Retry-After"), Date.now());
  if (response.status === 401 || response.status === 403) return new SessionError("uninvited", typeof code === "string" ? code : "");
  if (code === "too-many-failures") return new SessionError("uninvited", code, retry_after_ms);
  if (response.status === 503 || response.status === 409 || response.status === 429) {
    return new SessionError("full", detail, retry_after_ms);
  }
  if (response.status === 404 || response.status === 410) return new SessionError("missing", detail);
  if (response.status >= 500) return new SessionError("unreachable", detail, retry_after_ms);
  return new SessionError("refused", detail || `the host answered ${response.status}`);
}

export class WhepSession {
  #endpoint;
  #key;
  #callbacks;
  #world;
  #pc;
  /** The sound. It is there from the start, so that a player can take it within the tap that asked for it. */
  stream;

  /** @type {string | null} the session's own address, known after the 201 */
  #resource = null;
  /** @type {string | null} */
  #etag = null;
  #stopped = false;
  #broken = false;

  /** @type {string[]} */
  #candidates = [];
  #gathered = false;
  /** @type {any} */
  #batch_timer;

  /** True from the moment a repair begins until the path is there again. */
  #repairing = false;
  /** @type {any} */
  #repair_timer;

  /**
   * @param {Place} place
   * @param {Callbacks} callbacks
   * @param {World} world
   */
  constructor({ endpoint, key, servers = [] }, callbacks, world = BROWSER) {
    this.#endpoint = endpoint;
    this.#key = key;
    this.#callbacks = callbacks;
    this.#world = world;
    this.#pc = world.peerConnection({ bundlePolicy: "max-bundle", iceServers: servers });
    const transceiver = this.#pc.addTransceiver("audio", { direction: "recvonly" });
    this.stream = world.mediaStream([transceiver.receiver.track]);
    this.#pc.addEventListener("icecandidate", ({ candidate }) => this.#found(candidate));
    this.#pc.addEventListener("connectionstatechange", () => this.#changed());
  }

  /** Asks the server for the session. Failing, it breaks by its callback like any other time. */
  async start() {
    try {
      await this.#open();
    } catch (error) {
      this.#break(error instanceof SessionError ? error : new SessionError("unsupported", String(error)));
    }
  }

  async #open() {
    const offer = await this.#offer();
    // RFC 9725, section 4.3.1: the offer goes out at once, candidates follow.
    const response = await this.#request(this.#endpoint, {
      method: "POST",
      headers: { "Content-Type": "application/sdp", Accept: "application/sdp" },
      body: offer,
    });
    if (response.status !== 201) throw await refusalOf(response);
    this.#take(iceServersOf(response.headers.get("Link")));
    const location = response.headers.get("Location");
    if (location === null) throw new SessionError("refused", "the host's answer names no session");
    this.#resource = new URL(location, response.url || globalThis.location?.href).href;
    this.#etag = response.headers.get("ETag");
    const answer = await response.text();
    if (this.#stopped) {
      // Stop was pressed while the answer was on its way: the server must still learn of it.
      this.#dismiss(false);
      return;
    }
    await this.#pc.setRemoteDescription({ type: "answer", sdp: answer });
    this.#scheduleTrickle();
  }

  /**
   * Makes our offer, edits it and puts it in force.
   * @param {RTCOfferOptions} options
   * @returns {Promise<string>}
   */
  async #offer(options = {}) {
    const { sdp = "" } = await this.#pc.createOffer(options);
    const edited = withNack(withStereo(sdp));
    try {
      await this.#pc.setLocalDescription({ type: "offer", sdp: edited });
    } catch {
      // A browser that refuses every edit plays in whatever way it can.
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
      return await this.#world.fetch(url, {
        cache: "no-store",
        signal: AbortSignal.timeout(REQUEST_PATIENCE_MS),
        ...request,
        headers: { ...request.headers, ...bearer(this.#key()) },
      });
    } catch (error) {
      throw new SessionError("unreachable", error instanceof Error ? error.message : "");
    }
  }

  /**
   * The offer is out by now, so they serve the next ICE restart, and the next session (RFC 9725, section 4.6).
   * @param {RTCIceServer[]} servers
   */
  #take(servers) {
    if (servers.length === 0 || this.#stopped) return;
    try {
      this.#pc.setConfiguration({ bundlePolicy: "max-bundle", iceServers: servers });
      this.#callbacks.onServers(servers);
    } catch (error) {
      console.warn("the host names servers that this browser does not take:", error);
    }
  }

  /** @param {RTCIceCandidate | null} candidate */
  #found(candidate) {
    if (candidate === null || candidate.candidate === "") this.#gathered = true;
    else this.#candidates.push(candidate.candidate);
    this.#scheduleTrickle();
  }

  #scheduleTrickle() {
    if (this.#stopped || this.#resource === null || this.#batch_timer !== undefined) return;
    this.#batch_timer = this.#world.later(() => {
      this.#batch_timer = undefined;
      void this.#trickle();
    }, BATCH_MS);
  }

  /** Sends the candidates found since the last time. A server that cannot take them may still find us by our checks. */
  async #trickle() {
    const ours = readFragment(this.#pc.localDescription?.sdp ?? "");
    const nothing_new = this.#candidates.length === 0 && !this.#gathered;
    if (this.#stopped || this.#resource === null || ours === null || nothing_new) return;
    const body = writeFragment({ ...ours, candidates: this.#candidates, complete: this.#gathered });
    this.#candidates = [];
    this.#gathered = false;
    try {
      const response = await this.#patch(this.#etag, body);
      if (response.status === 404 || response.status === 410) this.#break(new SessionError("cut"));
    } catch {
      // The network went away meanwhile; the connection's own state tells what becomes of it.
    }
  }

  /**
   * @param {string | null} if_match
   * @param {string} body
   */
  #patch(if_match, body) {
    return this.#request(/** @type {string} */ (this.#resource), {
      method: "PATCH",
      headers: { "Content-Type": FRAGMENT_TYPE, ...(if_match === null ? {} : { "If-Match": if_match }) },
      body,
    });
  }

  #changed() {
    if (this.#stopped || this.#broken) return;
    switch (this.#pc.connectionState) {
      case "connected":
        this.#world.never(this.#repair_timer);
        this.#repairing = false;
        this.#callbacks.onConnected();
        break;
      case "disconnected":
        if (!this.#repairing) this.#repairAfter(DISCONNECTED_PATIENCE_MS);
        break;
      case "failed":
        this.#repairAfter(0);
        break;
      case "closed":
        this.#break(new SessionError("cut"));
        break;
    }
  }

  /** @param {number} wait_ms */
  #repairAfter(wait_ms) {
    this.#world.never(this.#repair_timer);
    this.#repair_timer = this.#world.later(() => void this.#repair(), wait_ms);
  }

  /** The network changed under us: a path that hangs is not waited for any longer. */
  hurry() {
    if (this.#pc.connectionState === "disconnected" && !this.#repairing) this.#repairAfter(0);
  }

  /** ICE restart (RFC 9725, section 4.3.3). A second one in a row is not tried: a new session is as quick and surer. */
  async #repair() {
    if (this.#stopped || this.#broken) return;
    if (this.#repairing || this.#resource === null) {
      this.#break(new SessionError("no-path"));
      return;
    }
    this.#repairing = true;
    this.#callbacks.onRepairing();
    try {
      this.#candidates = [];
      this.#gathered = false;
      const restart = readFragment(await this.#offer({ iceRestart: true }));
      if (restart === null) throw new SessionError("no-path");
      // The new ETag comes with the answer: until then, candidates of the new path wait.
      this.#world.never(this.#batch_timer);
      this.#batch_timer = this.#world.later(() => {}, REQUEST_PATIENCE_MS);
      const response = await this.#patch("*", writeFragment(restart));
      if (response.status !== 200) throw new SessionError(response.status === 404 ? "cut" : "no-path");
      this.#etag = response.headers.get("ETag") ?? this.#etag;
      const theirs = readFragment(await response.text());
      const answer = this.#pc.remoteDescription?.sdp;
      if (theirs === null || answer === undefined) throw new SessionError("no-path");
      if (this.#stopped) return;
      await this.#pc.setRemoteDescription({ type: "answer", sdp: withRestart(answer, theirs) });
      this.#world.never(this.#batch_timer);
      this.#batch_timer = undefined;
      this.#scheduleTrickle();
      this.#repair_timer = this.#world.later(() => this.#break(new SessionError("no-path")), RESTART_PATIENCE_MS);
    } catch (error) {
      this.#break(error instanceof SessionError ? error : new SessionError("no-path", String(error)));
    }
  }

  /** @param {SessionError} error */
  #break(error) {
    if (this.#stopped || this.#broken) return;
    this.#broken = true;
    this.#callbacks.onBroken(error);
  }

  /** What the browser believes of the path. */
  get connected() {
    return this.#pc.connectionState === "connected";
  }

  /** @returns {Promise<RTCStatsReport>} */
  getStats() {
    return this.#pc.getStats();
  }

  /**
   * Asks the server whether it still knows this session. A host that was restarted does not, and UDP alone would take
   * many seconds to tell.
   * @returns {Promise<boolean>}
   */
  async isKnown() {
    if (this.#resource === null) return false;
    try {
      const response = await this.#request(this.#resource, { method: "GET" });
      return response.status !== 404 && response.status !== 410;
    } catch {
      return false;
    }
  }

  /**
   * Ends the session here and at the server.
   * @param {boolean} leaving true while the page goes away: the request must outlive it
   */
  stop(leaving = false) {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#world.never(this.#batch_timer);
    this.#world.never(this.#repair_timer);
    this.#pc.close();
    this.#dismiss(leaving);
  }

  /** @param {boolean} leaving */
  #dismiss(leaving) {
    if (this.#resource === null) return;
    this.#request(this.#resource, { method: "DELETE", keepalive: leaving }).catch(() => {
      // Whoever does not hear it notices by the silence of our side.
    });
    this.#resource = null;
  }
}
