/**
 * One connection to one other, and all that hangs on it: the negotiation, the ways out, and what comes in. It is made for
 * one try, and says nothing any more once it is closed; when and why another one is made is `peer.js`'s business.
 */

import { MUSIC_BPS } from "./sendLimits.js";
import { Negotiation } from "./negotiation.js";
import { Received } from "./remoteMedia.js";
import { withMusic } from "../../shared/sdp.js";
import { Slots } from "./transceivers.js";

/**
 * @typedef {object} Seen What a link says besides what its negotiation does.
 * @property {() => void} onTracks what comes in has changed
 * @property {(state: RTCPeerConnectionState) => void} onState
 */

/** @typedef {Omit<import("./negotiation.js").NegotiationCallbacks, "ours"> & Seen} LinkCallbacks */

export class Link {
  pc;
  slots;
  negotiation;
  received = new Received();
  #open = true;

  /**
   * @param {RTCPeerConnection} pc
   * @param {boolean} polite we give way when offers cross
   * @param {import("./transceivers.js").Outgoing} outgoing
   * @param {LinkCallbacks} callbacks
   */
  constructor(pc, polite, outgoing, callbacks) {
    this.pc = pc;
    this.slots = new Slots(pc, outgoing);
    this.negotiation = new Negotiation(pc, polite, {
      onDescription: callbacks.onDescription,
      onCandidate: callbacks.onCandidate,
      ask: callbacks.ask,
      onOffered: () => {
        if (!this.#open) return;
        this.slots.adopt();
        callbacks.onOffered();
      },
      onStable: () => {
        if (this.#open) callbacks.onStable();
      },
      onError: (error) => {
        if (this.#open) callbacks.onError(error);
      },
      ours: (sdp) => withMusic(sdp, MUSIC_BPS),
      theirs: callbacks.theirs,
    });
    pc.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate !== null && candidate.candidate !== "" && this.#open) this.negotiation.found(candidate.toJSON());
    });
    pc.addEventListener("negotiationneeded", () => {
      if (this.#open) this.negotiation.offer();
    });
    pc.addEventListener("connectionstatechange", () => {
      if (this.#open) callbacks.onState(pc.connectionState);
    });
    pc.addEventListener("track", (event) => {
      if (!this.#open) return;
      this.received.add(event);
      for (const change of ["mute", "unmute", "ended"]) {
        event.track.addEventListener(change, () => {
          if (this.#open) callbacks.onTracks();
        });
      }
      callbacks.onTracks();
    });
  }

  close() {
    this.#open = false;
    this.negotiation.stop();
    this.pc.close();
  }
}
