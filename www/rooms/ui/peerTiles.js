/**
 * The tiles of all peers: one for each person, and one for each shared screen.
 */

import { announce } from "../../shared/dom.js";
import { displayName } from "./displayName.js";
import { peerStatus } from "./roomStrings.js";
import { Tile } from "./tile.js";

/** @typedef {import("../peer/peer.js").Peer} Peer */

/**
 * @typedef {object} PeerTilesCallbacks
 * @property {() => void} onPlayRefused the browser does not play audio without a user gesture
 * @property {(peer: Peer, name: string) => void} onModerate
 * @property {() => void} onCount the number of peers changed
 */

/** @param {Peer} peer */
const nameOf = (peer) => displayName(peer.state?.name ?? "", peer.id);

export class PeerTiles {
  #grid;
  #callbacks;
  #speakerId = "";
  /** By peer id. @type {Map<string, { person: Tile, screen: Tile | null }>} */
  #tiles = new Map();
  /** New peers are announced when they have sent their name. @type {Set<string>} */
  #unannounced = new Set();

  /**
   * @param {HTMLElement} grid
   * @param {PeerTilesCallbacks} callbacks
   */
  constructor(grid, callbacks) {
    this.#grid = grid;
    this.#callbacks = callbacks;
  }

  get count() {
    return this.#tiles.size;
  }

  /**
   * @param {Peer} peer
   * @param {boolean} isNew it joined after us
   */
  add(peer, isNew) {
    const { onPlayRefused, onModerate } = this.#callbacks;
    const person = new Tile({ onModerate: () => onModerate(peer, nameOf(peer)), onPlayRefused });
    person.element.dataset.peer = peer.id;
    person.setSpeaker(this.#speakerId);
    this.#tiles.set(peer.id, { person, screen: null });
    this.#grid.append(person.element);
    if (isNew) this.#unannounced.add(peer.id);
    this.#updateInfo(peer);
    this.#callbacks.onCount();
  }

  /** The peer's state or status changed. @param {Peer} peer */
  update(peer) {
    this.#updateInfo(peer);
    if (peer.state !== null && this.#unannounced.delete(peer.id)) announce(`${nameOf(peer)} joined.`);
  }

  /** @param {Peer} peer */
  remove(peer) {
    const tiles = this.#tiles.get(peer.id);
    if (tiles === undefined) return;
    tiles.screen?.remove();
    tiles.person.remove();
    this.#tiles.delete(peer.id);
    this.#unannounced.delete(peer.id);
    announce(`${nameOf(peer)} left.`);
    this.#callbacks.onCount();
  }

  /**
   * @param {Peer} peer
   * @param {import("../peer/remoteMedia.js").RemoteTracks} tracks
   */
  setTracks(peer, { microphone, camera, screen, screenAudio }) {
    const tiles = this.#tiles.get(peer.id);
    if (tiles === undefined) return;
    tiles.person.setTracks(peer.state === null || peer.state.camera ? camera : null, microphone);
    if (screen !== null && tiles.screen === null) {
      tiles.screen = new Tile({ isScreen: true, onPlayRefused: this.#callbacks.onPlayRefused });
      tiles.screen.setSpeaker(this.#speakerId);
      tiles.person.element.after(tiles.screen.element);
      this.#updateInfo(peer);
      announce(`${nameOf(peer)} shares a screen.`);
    } else if (screen === null && tiles.screen !== null) {
      tiles.screen.remove();
      tiles.screen = null;
    }
    tiles.screen?.setTracks(screen, screenAudio);
  }

  /**
   * @param {Peer} peer
   * @param {import("../peer/peerStats.js").Snapshot} snapshot
   */
  updateStatistics(peer, snapshot) {
    this.#tiles.get(peer.id)?.person.updateStatistics(snapshot);
    this.#tiles.get(peer.id)?.screen?.updateStatistics(snapshot);
  }

  /**
   * @param {Peer} peer
   * @param {number} nowMs
   */
  updateLevel(peer, nowMs) {
    this.#tiles.get(peer.id)?.person.updateLevel(peer.state?.muted ? 0 : peer.level, nowMs);
  }

  /** @param {string} id of the speaker */
  setSpeaker(id) {
    this.#speakerId = id;
    this.#forEach((tile) => tile.setSpeaker(id));
  }

  play() {
    this.#forEach((tile) => tile.play());
  }

  clear() {
    this.#forEach((tile) => tile.remove());
    this.#tiles.clear();
    this.#unannounced.clear();
  }

  /** @param {(tile: Tile) => void} callback */
  #forEach(callback) {
    for (const { person, screen } of this.#tiles.values()) {
      callback(person);
      if (screen !== null) callback(screen);
    }
  }

  /** @param {Peer} peer */
  #updateInfo(peer) {
    const tiles = this.#tiles.get(peer.id);
    if (tiles === undefined) return;
    const { state, mutedByModerator } = peer;
    const name = nameOf(peer);
    const status = peerStatus(peer.status);
    tiles.person.setInfo({
      name,
      muted: mutedByModerator || (state?.muted ?? false),
      cameraOff: state !== null && !state.camera,
      status,
    });
    tiles.person.setAudioMuted(mutedByModerator);
    tiles.screen?.setInfo({ name: `${name}’s screen`, status });
    tiles.screen?.setAudioMuted(mutedByModerator);
  }
}
