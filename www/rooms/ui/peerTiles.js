/**
 * The others in a room, as they are seen: a tile for each person, and one for each screen that is shared. A page module
 * between the meeting, which knows them, and the tiles, which do not.
 */

import { calledOf } from "../../shared/roomName.js";
import { announce } from "../../shared/dom.js";
import { lineWords } from "./roomStrings.js";
import { Tile } from "./tile.js";

/** @typedef {import("../peer/peer.js").Peer} Peer */

/**
 * @typedef {object} PeopleCallbacks
 * @property {() => void} onRefused the browser does not play sound without a tap
 * @property {(peer: Peer, called: string) => void} onWish the host wishes something of this person
 * @property {() => void} onNumber somebody came or went
 */

/** @param {Peer} peer */
const nameOf = (peer) => calledOf(peer.state?.name ?? "", peer.id);

export class People {
  #space;
  #callbacks;
  #speaker = "";
  /** @type {Map<string, { tile: Tile, screen: Tile | null }>} */
  #held = new Map();
  /** Newcomers are read out once they have said their name. @type {Set<string>} */
  #unannounced = new Set();

  /**
   * @param {HTMLElement} space
   * @param {PeopleCallbacks} callbacks
   */
  constructor(space, callbacks) {
    this.#space = space;
    this.#callbacks = callbacks;
  }

  get number() {
    return this.#held.size;
  }

  /**
   * @param {Peer} peer
   * @param {boolean} fresh it came after us
   */
  add(peer, fresh) {
    const { onRefused, onWish } = this.#callbacks;
    const tile = new Tile({ onWish: () => onWish(peer, nameOf(peer)) }, onRefused);
    tile.element.dataset.peer = peer.id;
    tile.speakBy(this.#speaker);
    this.#held.set(peer.id, { tile, screen: null });
    this.#space.append(tile.element);
    if (fresh) this.#unannounced.add(peer.id);
    this.#describe(peer);
    this.#callbacks.onNumber();
  }

  /** Its state or its line changed. @param {Peer} peer */
  change(peer) {
    this.#describe(peer);
    if (peer.state !== null && this.#unannounced.delete(peer.id)) announce(`${nameOf(peer)} came in.`);
  }

  /** @param {Peer} peer */
  remove(peer) {
    const held = this.#held.get(peer.id);
    if (held === undefined) return;
    held.screen?.remove();
    held.tile.remove();
    this.#held.delete(peer.id);
    this.#unannounced.delete(peer.id);
    announce(`${nameOf(peer)} has left.`);
    this.#callbacks.onNumber();
  }

  /**
   * @param {Peer} peer
   * @param {import("../peer/peer.js").Tracks} tracks
   */
  show(peer, { sound, camera, screen, screenSound }) {
    const held = this.#held.get(peer.id);
    if (held === undefined) return;
    // Of a client that says nothing of its camera, packets have told already.
    held.tile.show(peer.state === null || peer.state.camera ? camera : null, sound);
    if (screen !== null && held.screen === null) {
      held.screen = new Tile({ screen: true }, this.#callbacks.onRefused);
      held.screen.speakBy(this.#speaker);
      held.tile.element.after(held.screen.element);
      this.#describe(peer);
      announce(`${nameOf(peer)} shares the screen.`);
    } else if (screen === null && held.screen !== null) {
      held.screen.remove();
      held.screen = null;
    }
    held.screen?.show(screen, screenSound);
  }

  /**
   * @param {Peer} peer
   * @param {import("../peer/peerStats.js").Flow} flow
   */
  count(peer, flow) {
    this.#held.get(peer.id)?.tile.count(flow);
    this.#held.get(peer.id)?.screen?.count(flow);
  }

  /**
   * @param {Peer} peer
   * @param {number} now_ms
   */
  hear(peer, now_ms) {
    this.#held.get(peer.id)?.tile.hear(peer.state?.muted ? 0 : peer.level, now_ms);
  }

  /** @param {string} id of a loudspeaker */
  speakBy(id) {
    this.#speaker = id;
    this.#each((tile) => tile.speakBy(id));
  }

  play() {
    this.#each((tile) => tile.play());
  }

  clear() {
    this.#each((tile) => tile.remove());
    this.#held.clear();
    this.#unannounced.clear();
  }

  /** @param {(tile: Tile) => void} act */
  #each(act) {
    for (const { tile, screen } of this.#held.values()) {
      act(tile);
      if (screen !== null) act(screen);
    }
  }

  /** @param {Peer} peer */
  #describe(peer) {
    const held = this.#held.get(peer.id);
    if (held === undefined) return;
    const { state, silenced } = peer;
    held.tile.describe({
      called: nameOf(peer),
      muted: silenced || (state?.muted ?? false),
      dark: state !== null && !state.camera,
      line: lineWords(peer.line),
    });
    held.tile.silence(silenced);
    held.screen?.describe({ called: `${nameOf(peer)}’s screen`, line: lineWords(peer.line) });
    held.screen?.silence(silenced);
  }
}
