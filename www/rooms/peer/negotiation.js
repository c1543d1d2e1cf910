/**
 * Offers and answers of one RTCPeerConnection: perfect negotiation (W3C WebRTC 1.0, section 10.7). Either side may offer at
 * any time; if two offers collide, the polite side rolls back its own.
 *
 * Between two roomtone pages offers do not collide, because the polite side asks the other side to offer instead. The
 * reason: after a rollback, Chromium (156) decodes received video but shows no further frames.
 *
 * All steps run one after another, so that nothing happens between editing a description and applying it.
 */

/** @typedef {import("../../shared/protocol.js").SessionDescription} SessionDescription */

/**
 * @typedef {Pick<RTCPeerConnection, "signalingState" | "remoteDescription" | "localDescription" | "createOffer" | "createAnswer"
 *   | "setLocalDescription" | "setRemoteDescription" | "addIceCandidate">} Connection
 */

/**
 * @typedef {object} NegotiationCallbacks
 * @property {(description: SessionDescription) => void} sendDescription
 * @property {(candidate: RTCIceCandidateInit) => void} sendCandidate
 * @property {(restart: boolean) => boolean} requestOffer asks the other side to make the next offer; false if it cannot
 * @property {() => void} onRemoteOffer the remote offer is applied: what we send can be added before the answer
 * @property {() => void} onStable both sides agree
 * @property {(error: unknown) => void} onError this connection cannot continue
 * @property {(sdp: string) => string} editLocal edits our descriptions
 * @property {(sdp: string) => string} editRemote edits the other side's
 */

export class Negotiation {
  #pc;
  #polite;
  #callbacks;
  /** Resolves after all steps so far. */
  #queue = Promise.resolve();
  #stopped = false;
  /** Another offer is needed as soon as the state is stable. */
  #offerPending = false;
  #pendingRestart = false;
  /** Our last offer restarts ICE. */
  #offeredRestart = false;
  /** Some clients drop candidates that arrive before their description. */
  #descriptionSent = false;
  /** @type {RTCIceCandidateInit[]} found before our description was sent */
  #localCandidates = [];
  /** @type {RTCIceCandidateInit[]} received before the remote description */
  #remoteCandidates = [];

  /**
   * @param {Connection} pc
   * @param {boolean} polite exactly one of the two sides is
   * @param {NegotiationCallbacks} callbacks
   */
  constructor(pc, polite, callbacks) {
    this.#pc = pc;
    this.#polite = polite;
    this.#callbacks = callbacks;
  }

  /** Steps under way finish, but nothing is sent or reported any more. */
  stop() {
    this.#stopped = true;
  }

  /** Resolves when all steps requested so far are done. */
  get settled() {
    return this.#queue;
  }

  /**
   * Makes an offer now, or as soon as the current negotiation is finished.
   * @param {{ restart?: boolean }} options `restart`: restart ICE (RFC 8445, section 9)
   */
  offer({ restart = false } = {}) {
    this.#enqueue(async () => {
      const isFirst = this.#pc.remoteDescription === null;
      if (this.#polite && !isFirst && this.#callbacks.requestOffer(restart)) return;
      if (this.#pc.signalingState !== "stable") {
        this.#offerPending = true;
        this.#pendingRestart ||= restart;
        return;
      }
      await this.#makeOffer(restart);
    });
  }

  /** Sends an unanswered offer again: it may have been lost while signaling was down. */
  repeatOffer() {
    this.#enqueue(async () => {
      if (this.#pc.signalingState === "have-local-offer") this.#sendLocalDescription();
    });
  }

  /** @param {SessionDescription} description */
  receiveDescription(description) {
    this.#enqueue(() => (description.type === "offer" ? this.#applyOffer(description) : this.#applyAnswer(description)));
  }

  /** @param {RTCIceCandidateInit} candidate */
  receiveCandidate(candidate) {
    this.#enqueue(async () => {
      if (this.#pc.remoteDescription === null) this.#remoteCandidates.push(candidate);
      else await this.#addCandidate(candidate);
    });
  }

  /**
   * Sends a candidate of our own, after our description.
   * @param {RTCIceCandidateInit} candidate
   */
  addLocalCandidate(candidate) {
    if (this.#descriptionSent) this.#callbacks.sendCandidate(candidate);
    else this.#localCandidates.push(candidate);
  }

  /** @param {() => Promise<void>} step */
  #enqueue(step) {
    this.#queue = this.#queue.then(async () => {
      if (this.#stopped) return;
      try {
        await step();
      } catch (error) {
        if (!this.#stopped) this.#callbacks.onError(error);
      }
    });
  }

  /** @param {boolean} restart */
  async #makeOffer(restart) {
    this.#offerPending = false;
    this.#pendingRestart = false;
    this.#offeredRestart = restart;
    const { sdp = "" } = await this.#pc.createOffer({ iceRestart: restart });
    await this.#applyLocal({ type: "offer", sdp });
  }

  /** @param {SessionDescription} description */
  async #applyOffer(description) {
    const collision = this.#pc.signalingState !== "stable";
    // The impolite side ignores the offer: the other side rolls its own back, answers, and offers again if needed.
    if (collision && !this.#polite) return;
    if (collision) {
      await this.#pc.setLocalDescription({ type: "rollback" });
      this.#offerPending = true;
      this.#pendingRestart ||= this.#offeredRestart;
    }
    await this.#applyRemote(description);
    this.#callbacks.onRemoteOffer();
    const { sdp = "" } = await this.#pc.createAnswer();
    await this.#applyLocal({ type: "answer", sdp });
    await this.#becomeStable();
  }

  /** @param {SessionDescription} description */
  async #applyAnswer(description) {
    // An answer to an offer that was rolled back, or a second answer to an offer that was sent twice.
    if (this.#pc.signalingState !== "have-local-offer") return;
    await this.#applyRemote(description);
    await this.#becomeStable();
  }

  async #becomeStable() {
    this.#callbacks.onStable();
    if (this.#offerPending && !this.#stopped) await this.#makeOffer(this.#pendingRestart);
  }

  /** @param {SessionDescription} description */
  async #applyRemote({ type, sdp }) {
    await this.#pc.setRemoteDescription({ type, sdp: this.#callbacks.editRemote(sdp) });
    for (const candidate of this.#remoteCandidates.splice(0)) await this.#addCandidate(candidate);
  }

  /** @param {RTCIceCandidateInit} candidate */
  async #addCandidate(candidate) {
    try {
      await this.#pc.addIceCandidate(candidate);
    } catch {
      // It belongs to an ignored offer, or this browser does not support its kind. Other candidates may work.
    }
  }

  /**
   * Applies our description and sends it.
   * @param {SessionDescription} description
   */
  async #applyLocal({ type, sdp }) {
    try {
      await this.#pc.setLocalDescription({ type, sdp: this.#callbacks.editLocal(sdp) });
    } catch {
      // A browser that rejects the edit uses its own description.
      await this.#pc.setLocalDescription({ type, sdp });
    }
    this.#sendLocalDescription();
  }

  #sendLocalDescription() {
    const description = this.#pc.localDescription;
    if (description === null || this.#stopped) return;
    const type = /** @type {"offer" | "answer"} */ (description.type);
    this.#callbacks.sendDescription({ type, sdp: description.sdp });
    this.#descriptionSent = true;
    for (const candidate of this.#localCandidates.splice(0)) this.#callbacks.sendCandidate(candidate);
  }
}
