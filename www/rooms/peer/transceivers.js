/**
 * The four ways media can take between two people, and which m-line of a connection each has: sound, camera, screen, and
 * the screen's sound. Each is one transceiver used in both directions, so that both can share a screen at once and a
 * device can be changed or switched off without another word between the two.
 */

import { cameraBudget, MUSIC_BPS, scaleOf, screenBudget, VOICE_BPS } from "./sendLimits.js";

/** @typedef {"sound" | "camera" | "screen" | "screenSound"} Slot */

/** @type {Slot[]} */
export const SLOTS = ["sound", "camera", "screen", "screenSound"];

/**
 * @typedef {object} Outgoing What we send. Changes in place; whoever holds it is told to look again.
 * @property {MediaStream} stream by whose id the others know sound and camera
 * @property {MediaStream} screen_stream by whose id they know the shared screen
 * @property {Record<Slot, MediaStreamTrack | null>} tracks
 * @property {boolean} music
 */

/** @param {Slot} slot */
const kindOf = (slot) => (slot === "camera" || slot === "screen" ? "video" : "audio");
/** @param {Slot} slot */
const ofScreen = (slot) => slot === "screen" || slot === "screenSound";

export class Slots {
  #pc;
  #outgoing;
  /** @type {Partial<Record<Slot, RTCRtpTransceiver>>} */
  #transceivers = {};

  /**
   * @param {RTCPeerConnection} pc
   * @param {Outgoing} outgoing
   */
  constructor(pc, outgoing) {
    this.#pc = pc;
    this.#outgoing = outgoing;
  }

  /** @param {Slot} slot */
  sender(slot) {
    return this.#transceivers[slot]?.sender ?? null;
  }

  /** @param {Slot} slot */
  has(slot) {
    return this.#transceivers[slot] !== undefined;
  }

  /**
   * Makes the ways that are not there yet, whether or not there is anything to send. The connection then wants to be
   * negotiated.
   * @param {Slot[]} slots
   */
  open(slots) {
    for (const slot of slots) {
      if (this.has(slot)) continue;
      this.#transceivers[slot] = this.#pc.addTransceiver(kindOf(slot), {
        direction: "sendrecv",
        streams: [this.#streamOf(slot)],
      });
    }
  }

  /**
   * Takes up what the other has offered: the first m-line of a kind is the person's, the second its screen's.
   */
  adopt() {
    const agreed = this.#pc.getTransceivers().filter((each) => each.mid !== null && each.currentDirection !== "stopped");
    const mine = new Set(Object.values(this.#transceivers));
    for (const kind of ["audio", "video"]) {
      const slots = SLOTS.filter((slot) => kindOf(slot) === kind);
      const offered = agreed.filter((each) => each.receiver.track.kind === kind && !mine.has(each));
      for (const slot of slots) {
        if (this.has(slot)) continue;
        const transceiver = offered.shift();
        if (transceiver === undefined) continue;
        this.#transceivers[slot] = transceiver;
        transceiver.direction = "sendrecv";
        // Without a name the other still takes it for ours; only its screen could not be told from its camera.
        transceiver.sender.setStreams?.(this.#streamOf(slot));
      }
    }
  }

  /**
   * Sends what is to be sent now.
   * @param {boolean} one_picture the other knows of one picture only: the screen takes the camera's place
   */
  async fill(one_picture) {
    const { tracks } = this.#outgoing;
    await Promise.all(SLOTS.map(async (slot) => {
      const sender = this.sender(slot);
      if (sender === null) return;
      let track = tracks[slot];
      if (one_picture && slot === "camera") track = tracks.screen ?? tracks.camera;
      if (one_picture && ofScreen(slot)) track = null;
      if (sender.track !== track) await sender.replaceTrack(track).catch(() => {});
    }));
  }

  /** Holds each sender to its budget. @param {number} others people besides oneself */
  async limit(others) {
    const { tracks, music } = this.#outgoing;
    for (const slot of /** @type {const} */ (["camera", "screen"])) {
      const sender = this.sender(slot);
      if (sender === null || sender.track === null) continue;
      const budget = sender.track === tracks.screen ? screenBudget(others) : cameraBudget(others);
      await limit(sender, {
        maxBitrate: budget.bitrate_bps,
        maxFramerate: budget.rate_fps,
        scaleResolutionDownBy: scaleOf(sender.track.getSettings(), budget),
      });
    }
    for (const slot of /** @type {const} */ (["sound", "screenSound"])) {
      const sender = this.sender(slot);
      if (sender !== null) await limit(sender, { maxBitrate: slot === "screenSound" || music ? MUSIC_BPS : VOICE_BPS });
    }
  }

  /** @param {Slot} slot */
  #streamOf(slot) {
    return ofScreen(slot) ? this.#outgoing.screen_stream : this.#outgoing.stream;
  }
}

/**
 * @param {RTCRtpSender} sender
 * @param {{ maxBitrate: number, scaleResolutionDownBy?: number, maxFramerate?: number }} limits
 */
async function limit(sender, limits) {
  const parameters = sender.getParameters();
  // Before the first agreement there is nothing to limit.
  if (parameters.encodings === undefined || parameters.encodings.length === 0) return;
  const [encoding] = parameters.encodings;
  /** @type {[string, number | undefined][]} */
  const wanted = Object.entries(limits);
  if (wanted.every(([name, value]) => /** @type {any} */ (encoding)[name] === value)) return;
  Object.assign(encoding, limits);
  await sender.setParameters(parameters).catch(() => {
    // An agreement was reached meanwhile; it brings the next chance.
  });
}
