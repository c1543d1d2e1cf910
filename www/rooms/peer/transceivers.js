/**
 * The four transceivers of a connection: microphone, camera, screen, and the screen's audio. Each is used in both
 * directions, so that both peers can share a screen at once, and a track can be replaced or removed without a new offer.
 */

import { MUSIC_BPS, SPEECH_BPS, cameraLimits, scaleDownBy, screenLimits } from "./sendLimits.js";

/** @typedef {"microphone" | "camera" | "screen" | "screenAudio"} TrackRole */

/** @type {TrackRole[]} */
const ROLES = ["microphone", "camera", "screen", "screenAudio"];

/**
 * @typedef {object} Outgoing What we send. It changes in place; its users are told about changes.
 * @property {MediaStream} stream peers know microphone and camera by its id
 * @property {MediaStream} screenStream peers know the shared screen by its id
 * @property {Record<TrackRole, MediaStreamTrack | null>} tracks
 * @property {boolean} music the microphone sends music, not speech
 */

/** @param {TrackRole} role */
const kindOf = (role) => (role === "camera" || role === "screen" ? "video" : "audio");
/** @param {TrackRole} role */
const isOfScreen = (role) => role === "screen" || role === "screenAudio";

export class Transceivers {
  #pc;
  #outgoing;
  /** @type {Partial<Record<TrackRole, RTCRtpTransceiver>>} */
  #byRole = {};

  /**
   * @param {RTCPeerConnection} pc
   * @param {Outgoing} outgoing
   */
  constructor(pc, outgoing) {
    this.#pc = pc;
    this.#outgoing = outgoing;
  }

  /** @param {TrackRole} role */
  has(role) {
    return this.#byRole[role] !== undefined;
  }

  /**
   * Adds the transceivers that do not exist yet, whether or not there is a track to send. The connection then needs a
   * negotiation.
   * @param {TrackRole[]} roles
   */
  add(roles) {
    for (const role of roles) {
      if (this.has(role)) continue;
      this.#byRole[role] = this.#pc.addTransceiver(kindOf(role), {
        direction: "sendrecv",
        streams: [this.#streamFor(role)],
      });
    }
  }

  /**
   * Assigns roles to the transceivers of the other peer's offer: the first media section of a kind is microphone or
   * camera, the second one is the screen's.
   */
  adoptOffered() {
    const negotiated = this.#pc.getTransceivers().filter((each) => each.mid !== null && each.currentDirection !== "stopped");
    const assigned = new Set(Object.values(this.#byRole));
    for (const kind of ["audio", "video"]) {
      const offered = negotiated.filter((each) => each.receiver.track.kind === kind && !assigned.has(each));
      for (const role of ROLES.filter((each) => kindOf(each) === kind)) {
        if (this.has(role)) continue;
        const transceiver = offered.shift();
        if (transceiver === undefined) continue;
        this.#byRole[role] = transceiver;
        transceiver.direction = "sendrecv";
        // Without setStreams, the other peer cannot tell our screen from our camera.
        transceiver.sender.setStreams?.(this.#streamFor(role));
      }
    }
  }

  /**
   * Puts the current tracks into the senders.
   * @param {boolean} singleVideo the other client shows one video only: the screen replaces the camera
   */
  async updateTracks(singleVideo) {
    const { tracks } = this.#outgoing;
    await Promise.all(ROLES.map(async (role) => {
      const sender = this.#byRole[role]?.sender;
      if (sender === undefined) return;
      let track = tracks[role];
      if (singleVideo && role === "camera") track = tracks.screen ?? tracks.camera;
      if (singleVideo && isOfScreen(role)) track = null;
      if (sender.track !== track) await sender.replaceTrack(track).catch(() => {});
    }));
  }

  /** Applies the limits for a number of peers. @param {number} peers without ourselves */
  async applyLimits(peers) {
    const { tracks, music } = this.#outgoing;
    for (const role of /** @type {const} */ (["camera", "screen"])) {
      const sender = this.#byRole[role]?.sender;
      if (sender === undefined || sender.track === null) continue;
      const limits = sender.track === tracks.screen ? screenLimits(peers) : cameraLimits(peers);
      await setEncoding(sender, {
        maxBitrate: limits.bitrateBps,
        maxFramerate: limits.frameRateFps,
        scaleResolutionDownBy: scaleDownBy(sender.track.getSettings(), limits),
      });
    }
    for (const role of /** @type {const} */ (["microphone", "screenAudio"])) {
      const sender = this.#byRole[role]?.sender;
      if (sender !== undefined) await setEncoding(sender, { maxBitrate: role === "screenAudio" || music ? MUSIC_BPS : SPEECH_BPS });
    }
  }

  /** @param {TrackRole} role */
  #streamFor(role) {
    return isOfScreen(role) ? this.#outgoing.screenStream : this.#outgoing.stream;
  }
}

/**
 * @param {RTCRtpSender} sender
 * @param {{ maxBitrate: number, scaleResolutionDownBy?: number, maxFramerate?: number }} wanted
 */
async function setEncoding(sender, wanted) {
  const parameters = sender.getParameters();
  // Before the first negotiation there are no encodings.
  if (parameters.encodings === undefined || parameters.encodings.length === 0) return;
  const [encoding] = parameters.encodings;
  if (Object.entries(wanted).every(([name, value]) => /** @type {any} */ (encoding)[name] === value)) return;
  Object.assign(encoding, wanted);
  await sender.setParameters(parameters).catch(() => {
    // A negotiation finished meanwhile. The limits are applied again after it.
  });
}
