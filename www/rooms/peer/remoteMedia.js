/**
 * What comes from one other over one connection: which of it is its voice, its camera, its screen and the screen's sound.
 * Pure but for the tracks it is given.
 */

/**
 * @typedef {object} PeerState What somebody says of itself.
 * @property {string} name
 * @property {boolean} muted
 * @property {boolean} camera
 * @property {string | null} screen id of the MediaStream that is the shared screen
 */

/**
 * @typedef {object} Tracks What comes from the other, null where nothing does.
 * @property {MediaStreamTrack | null} sound
 * @property {MediaStreamTrack | null} camera
 * @property {MediaStreamTrack | null} screen
 * @property {MediaStreamTrack | null} screenSound
 */

/** @type {Readonly<Tracks>} */
export const NOTHING = { sound: null, camera: null, screen: null, screenSound: null };

export class Received {
  /** By transceiver, with the id of the stream it came in. @type {Map<RTCRtpTransceiver, { track: MediaStreamTrack, stream: string }>} */
  #media = new Map();

  /**
   * @param {RTCTrackEvent} event
   */
  add({ track, streams, transceiver }) {
    this.#media.set(transceiver, { track, stream: streams[0]?.id ?? "" });
  }

  /**
   * @param {PeerState | null} state null of a client that says nothing of itself
   * @returns {Tracks}
   */
  tracks(state) {
    const screen = state?.screen ?? null;
    /** @type {Tracks} */
    const tracks = { ...NOTHING };
    for (const { track, stream } of this.#media.values()) {
      if (track.readyState === "ended") continue;
      // A client that does not say whether its camera is on says it by its packets.
      if (track.kind === "video" && state === null && track.muted) continue;
      const shared = screen !== null && stream === screen;
      // A screen that is not shared now, or not yet known to be one, is not a second camera.
      const slot = track.kind === "audio" ? (shared ? "screenSound" : "sound") : (shared ? "screen" : "camera");
      tracks[slot] ??= track;
    }
    return tracks;
  }

  /** How loud it is just now, 0 to 1. */
  get level() {
    let level = 0;
    for (const { receiver } of this.#media.keys()) {
      if (receiver.track.kind !== "audio") continue;
      for (const { audioLevel } of receiver.getSynchronizationSources?.() ?? []) level = Math.max(level, audioLevel ?? 0);
    }
    return level;
  }
}
