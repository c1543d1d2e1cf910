/**
 * One RTCPeerConnection to a peer, with its negotiation, its transceivers and the media it receives. After `close()` it
 * reports nothing. When a connection is replaced is decided in `peer.js`.
 */

import { withMusic } from "../../shared/sdp.js";
import { Negotiation } from "./negotiation.js";
import { RemoteMedia } from "./remoteMedia.js";
import { MUSIC_BPS } from "./sendLimits.js";
import { Transceivers } from "./transceivers.js";

/**
 * @typedef {object} ConnectionCallbacks
 * @property {() => void} onTracks the received tracks changed
 * @property {(state: RTCPeerConnectionState) => void} onState
 */

/** @typedef {Omit<import("./negotiation.js").NegotiationCallbacks, "editLocal"> & ConnectionCallbacks} PeerConnectionCallbacks */

export class PeerConnection {
  pc;
  transceivers;
  negotiation;
  remoteMedia = new RemoteMedia();
  #open = true;

  /**
   * @param {RTCPeerConnection} pc
   * @param {boolean} polite see `negotiation.js`
   * @param {import("./transceivers.js").Outgoing} outgoing
   * @param {PeerConnectionCallbacks} callbacks
   */
  constructor(pc, polite, outgoing, callbacks) {
    this.pc = pc;
    this.transceivers = new Transceivers(pc, outgoing);
    this.negotiation = new Negotiation(pc, polite, {
      ...callbacks,
      editLocal: (sdp) => withMusic(sdp, MUSIC_BPS),
      onRemoteOffer: () => {
        if (!this.#open) return;
        this.transceivers.adoptOffered();
        callbacks.onRemoteOffer();
      },
      onStable: () => {
        if (this.#open) callbacks.onStable();
      },
      onError: (error) => {
        if (this.#open) callbacks.onError(error);
      },
    });
    pc.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate !== null && candidate.candidate !== "" && this.#open) this.negotiation.addLocalCandidate(candidate.toJSON());
    });
    pc.addEventListener("negotiationneeded", () => {
      if (this.#open) this.negotiation.offer();
    });
    pc.addEventListener("connectionstatechange", () => {
      if (this.#open) callbacks.onState(pc.connectionState);
    });
    pc.addEventListener("track", (event) => {
      if (!this.#open) return;
      this.remoteMedia.add(event);
      for (const change of ["mute", "unmute", "ended"]) {
        event.track.addEventListener(change, () => {
          if (this.#open) callbacks.onTracks();
        });
      }
      callbacks.onTracks();
    });
  }

  get connected() {
    return this.pc.connectionState === "connected";
  }

  close() {
    this.#open = false;
    this.negotiation.stop();
    this.pc.close();
  }
}
