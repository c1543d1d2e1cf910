/**
 * The system's media controls (Media Session API): title, playback state, and the play and stop keys.
 */

import { addressOf } from "../shared/address.js";

const supported = "mediaSession" in navigator;

/** @param {string} title */
export function setMediaTitle(title) {
  if (!supported) return;
  navigator.mediaSession.metadata = new MediaMetadata({
    title,
    artist: location.hostname,
    album: "roomtone",
    artwork: [{ src: addressOf("favicon.svg"), sizes: "any", type: "image/svg+xml" }],
  });
}

/** @param {boolean} playing */
export function setPlaybackState(playing) {
  if (supported) navigator.mediaSession.playbackState = playing ? "playing" : "none";
}

/** @param {{ start: () => void, stop: () => void }} player */
export function handleMediaKeys(player) {
  if (!supported) return;
  /** @type {[MediaSessionAction, () => void][]} */
  const handlers = [
    ["play", () => player.start()],
    ["pause", () => player.stop()],
    ["stop", () => player.stop()],
  ];
  for (const [action, handler] of handlers) {
    try {
      navigator.mediaSession.setActionHandler(action, handler);
    } catch {
      // The browser does not know this action.
    }
  }
}
