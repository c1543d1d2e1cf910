/**
 * The tracks received over one connection: which of them is microphone, camera, screen and the screen's audio.
 */

/** @typedef {import("../../shared/protocol.js").PeerState} PeerState */
/** @typedef {Record<import("./transceivers.js").TrackRole, MediaStreamTrack | null>} RemoteTracks null where nothing is received */

/** @type {Readonly<RemoteTracks>} */
export const NO_TRACKS = { microphone: null, camera: null, screen: null, screenAudio: null };

export class RemoteMedia {
  /** Tracks with the id of their stream. @type {Map<RTCRtpTransceiver, { track: MediaStreamTrack, streamId: string }>} */
  #received = new Map();

  /** @param {RTCTrackEvent} event */
  add({ track, streams, transceiver }) {
    this.#received.set(transceiver, { track, streamId: streams[0]?.id ?? "" });
  }

  /**
   * @param {PeerState | null} state null for a client that sends no `peer-state`
   * @returns {RemoteTracks}
   */
  tracks(state) {
    const screenId = state?.screen ?? null;
    /** @type {RemoteTracks} */
    const tracks = { ...NO_TRACKS };
    for (const { track, streamId } of this.#received.values()) {
      if (track.readyState === "ended") continue;
      // A client without `peer-state` does not say whether its camera is on: its track is muted until packets arrive.
      if (track.kind === "video" && state === null && track.muted) continue;
      const ofScreen = screenId !== null && streamId === screenId;
      const role = track.kind === "audio" ? (ofScreen ? "screenAudio" : "microphone") : (ofScreen ? "screen" : "camera");
      // The second track of a role is a screen that is not shared at present, so it is not shown.
      tracks[role] ??= track;
    }
    return tracks;
  }

  /** Current audio level, 0 to 1. */
  get level() {
    let level = 0;
    for (const { receiver } of this.#received.keys()) {
      if (receiver.track.kind !== "audio") continue;
      for (const { audioLevel } of receiver.getSynchronizationSources?.() ?? []) level = Math.max(level, audioLevel ?? 0);
    }
    return level;
  }
}
