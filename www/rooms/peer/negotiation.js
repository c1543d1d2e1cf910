/**
 * Offers and answers of one RTCPeerConnection: perfect negotiation (W3C WebRTC 1.0, section 10.7), in which either side
 * may offer at any time and of two offers that cross one wins.
 *
 * Yet between two of our own kind offers do not cross: who would have to give way asks the other to offer. For Chromium
 * (156) shows no further picture of what it receives once it has taken an offer back, though it goes on decoding.
 *
 * Everything happens in order, one step after another, so that a description can be edited between its making and its
 * taking effect without anything else getting between.
 */

/**
 * @typedef {{ type: "offer" | "answer", sdp: string }} Description
 */

/**
 * @typedef {Pick<RTCPeerConnection, "signalingState" | "remoteDescription" | "localDescription" | "createOffer" | "createAnswer"
 *   | "setLocalDescription" | "setRemoteDescription" | "addIceCandidate">} Connection
 */

/**
 * @typedef {object} NegotiationCallbacks
 * @property {(description: Description) => void} onDescription to be sent to the other
 * @property {(candidate: RTCIceCandidateInit) => void} onCandidate to be sent to the other
 * @property {(restart: boolean) => boolean} ask asks the other to offer in our place; false if it does not know how
 * @property {() => void} onOffered their offer is in force: what we send can be put into it now
 * @property {() => void} onStable both sides agree
 * @property {(error: unknown) => void} onError this connection cannot go on
 * @property {(sdp: string) => string} ours edits our descriptions
 * @property {(sdp: string) => string} theirs edits the other's
 */

export class Negotiation {
  #pc;
  #polite;
  #callbacks;
  /** @type {Promise<void>} the end of all steps so far */
  #last = Promise.resolve();
  #stopped = false;
  /** Our offer lost, or could not be made yet: it is made again as soon as both agree. */
  #again = false;
  #again_restart = false;
  #offered_restart = false;
  /** Candidates must not be there before their description: a client that knows no better would drop them. */
  #said = false;
  /** @type {RTCIceCandidateInit[]} ours, found before our description was sent */
  #ours = [];
  /** @type {RTCIceCandidateInit[]} theirs, come before their description */
  #theirs = [];

  /**
   * @param {Connection} pc
   * @param {boolean} polite whether we give way; exactly one of the two does
   * @param {NegotiationCallbacks} callbacks
   */
  constructor(pc, polite, callbacks) {
    this.#pc = pc;
    this.#polite = polite;
    this.#callbacks = callbacks;
  }

  /** What was begun still ends, but nobody hears of it. */
  stop() {
    this.#stopped = true;
  }

  /** All that was asked for until now has been done. */
  get settled() {
    return this.#last;
  }

  /**
   * Offers, now or as soon as both agree on what is under way.
   * @param {{ restart?: boolean }} options `restart` looks for a new path (RFC 8445, section 9)
   */
  offer({ restart = false } = {}) {
    this.#then(async () => {
      const first = this.#pc.remoteDescription === null;
      if (this.#polite && !first && this.#callbacks.ask(restart)) return;
      if (this.#pc.signalingState !== "stable") {
        this.#again = true;
        this.#again_restart ||= restart;
        return;
      }
      await this.#offer(restart);
    });
  }

  /** Says once more what is still unanswered: the line was away, and it may never have arrived. */
  repeat() {
    this.#then(async () => {
      if (this.#pc.signalingState === "have-local-offer") this.#say();
    });
  }

  /**
   * What the other says.
   * @param {Description} description
   */
  described(description) {
    this.#then(() => (description.type === "offer" ? this.#offered(description) : this.#answered(description)));
  }

  /**
   * A candidate of the other's.
   * @param {RTCIceCandidateInit} candidate
   */
  candidate(candidate) {
    this.#then(async () => {
      if (this.#pc.remoteDescription === null) this.#theirs.push(candidate);
      else await this.#add(candidate);
    });
  }

  /**
   * A candidate of our own.
   * @param {RTCIceCandidateInit} candidate
   */
  found(candidate) {
    if (this.#said) this.#callbacks.onCandidate(candidate);
    else this.#ours.push(candidate);
  }

  /** @param {() => Promise<void>} step */
  #then(step) {
    this.#last = this.#last.then(async () => {
      if (this.#stopped) return;
      try {
        await step();
      } catch (error) {
        if (!this.#stopped) this.#callbacks.onError(error);
      }
    });
  }

  /** @param {boolean} restart */
  async #offer(restart) {
    this.#again = false;
    this.#again_restart = false;
    this.#offered_restart = restart;
    const { sdp = "" } = await this.#pc.createOffer({ iceRestart: restart });
    await this.#put({ type: "offer", sdp });
  }

  /** @param {Description} description */
  async #offered(description) {
    const collision = this.#pc.signalingState !== "stable";
    // Ours wins: the other takes its own back, answers, and offers again if it still wants to.
    if (collision && !this.#polite) return;
    if (collision) {
      await this.#pc.setLocalDescription({ type: "rollback" });
      this.#again = true;
      this.#again_restart ||= this.#offered_restart;
    }
    await this.#take(description);
    this.#callbacks.onOffered();
    const { sdp = "" } = await this.#pc.createAnswer();
    await this.#put({ type: "answer", sdp });
    await this.#agreed();
  }

  /** @param {Description} description */
  async #answered(description) {
    // An answer to an offer that was taken back, or the second to one that was said twice.
    if (this.#pc.signalingState !== "have-local-offer") return;
    await this.#take(description);
    await this.#agreed();
  }

  async #agreed() {
    this.#callbacks.onStable();
    if (this.#again && !this.#stopped) await this.#offer(this.#again_restart);
  }

  /** @param {Description} description */
  async #take({ type, sdp }) {
    await this.#pc.setRemoteDescription({ type, sdp: this.#callbacks.theirs(sdp) });
    const waiting = this.#theirs;
    this.#theirs = [];
    for (const candidate of waiting) await this.#add(candidate);
  }

  /** @param {RTCIceCandidateInit} candidate */
  async #add(candidate) {
    try {
      await this.#pc.addIceCandidate(candidate);
    } catch {
      // It belongs to an offer that was passed over, or is of a kind this browser does not know. Others may do.
    }
  }

  /**
   * Puts our description in force and sends it.
   * @param {Description} description
   */
  async #put({ type, sdp }) {
    try {
      await this.#pc.setLocalDescription({ type, sdp: this.#callbacks.ours(sdp) });
    } catch {
      // A browser that refuses every edit goes without.
      await this.#pc.setLocalDescription({ type, sdp });
    }
    this.#say();
  }

  #say() {
    const description = this.#pc.localDescription;
    if (description === null || this.#stopped) return;
    this.#callbacks.onDescription({ type: /** @type {"offer" | "answer"} */ (description.type), sdp: description.sdp });
    this.#said = true;
    for (const candidate of this.#ours.splice(0)) this.#callbacks.onCandidate(candidate);
  }
}
