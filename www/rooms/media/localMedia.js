/**
 * One's own sound and picture: what is open, what is switched on, and what is therefore sent.
 *
 * A microphone that is muted stays open and sends silence, so that it can speak at once; a camera that is switched off is
 * let go, so that its light goes out.
 */

import { troubleOf } from "./devices.js";

/** @typedef {import("./devices.js").Device} Device */
/** @typedef {import("./devices.js").Trouble} Trouble */

/**
 * @typedef {object} OwnCallbacks
 * @property {() => void} onChange
 * @property {(device: Device, trouble: Trouble | null) => void} onTrouble null when it is over
 */

export class Own {
  #devices;
  #callbacks;
  /** @type {import("../peer/transceivers.js").Outgoing} */
  outgoing;

  /** What the person wants, whether or not it can be had. */
  #muted = false;
  #camera_on = true;
  #talking = false;
  /** @type {Record<"microphone" | "camera", string | null>} */
  #chosen = { microphone: null, camera: null };
  /** One thing after another: two openings of one device at a time fail in some browsers. */
  #last = Promise.resolve();

  /**
   * @param {import("./devices.js").Devices} devices
   * @param {OwnCallbacks} callbacks
   */
  constructor(devices, callbacks) {
    this.#devices = devices;
    this.#callbacks = callbacks;
    this.outgoing = {
      stream: new MediaStream(),
      screen_stream: new MediaStream(),
      tracks: { sound: null, camera: null, screen: null, screenSound: null },
      music: false,
    };
  }

  /** True when nobody hears us, for whatever reason. */
  get muted() {
    return this.outgoing.tracks.sound === null || (this.#muted && !this.#talking);
  }

  get hasMicrophone() {
    return this.outgoing.tracks.sound !== null;
  }

  get camera() {
    return this.outgoing.tracks.camera !== null;
  }

  get sharing() {
    return this.outgoing.tracks.screen !== null;
  }

  get music() {
    return this.outgoing.music;
  }

  /** What the others are told. @param {string} name */
  state(name) {
    return { name, muted: this.muted, camera: this.camera, screen: this.sharing ? this.outgoing.screen_stream.id : null };
  }

  /**
   * Which device is in use: its id, or null.
   * @param {"microphone" | "camera"} device
   * @returns {string | null}
   */
  using(device) {
    const track = this.outgoing.tracks[device === "microphone" ? "sound" : "camera"];
    return track?.getSettings().deviceId ?? this.#chosen[device];
  }

  /**
   * Remembered choices, before anything is opened.
   * @param {{ microphone: string | null, camera: string | null, muted: boolean, camera_on: boolean, music: boolean }} choices
   */
  recall({ microphone, camera, muted, camera_on, music }) {
    this.#chosen = { microphone, camera };
    this.#muted = muted;
    this.#camera_on = camera_on;
    this.outgoing.music = music;
  }

  /** Asks for everything that is wanted; what cannot be had is told, and the rest is taken. */
  open() {
    return this.#then(async () => {
      const { barrier } = this.#devices;
      if (barrier !== null) {
        this.#trouble("microphone", barrier);
        this.#trouble("camera", barrier);
        return;
      }
      if (this.#camera_on) {
        try {
          const { microphone, camera } = this.#chosen;
          for (const track of await this.#devices.openBoth(microphone, camera, this.music)) this.#take(track);
          return;
        } catch (error) {
          if (troubleOf(error) === "refused" && !(await someAllowed())) {
            this.#trouble("microphone", "refused");
            this.#trouble("camera", "refused");
            return;
          }
          // One of the two may still be had.
        }
        await this.#openOne("camera");
      }
      await this.#openOne("microphone");
    });
  }

  /** @param {boolean} muted */
  setMuted(muted) {
    this.#muted = muted;
    if (!muted && !this.hasMicrophone) return this.#then(() => this.#openOne("microphone"));
    this.#apply();
    return this.#last;
  }

  /** Speaking as long as a key is held. @param {boolean} talking */
  setTalking(talking) {
    this.#talking = talking;
    this.#apply();
  }

  /** @param {boolean} on */
  setCamera(on) {
    this.#camera_on = on;
    return this.#then(async () => {
      if (!on) this.#put("camera", null);
      else if (!this.camera) await this.#openOne("camera");
    });
  }

  /**
   * @param {"microphone" | "camera"} device
   * @param {string} id
   */
  choose(device, id) {
    this.#chosen[device] = id;
    if (device === "camera" && !this.#camera_on) return this.#last;
    return this.#then(() => this.#openOne(device));
  }

  /** Opens the same microphone in the other way. @param {boolean} music */
  setMusic(music) {
    this.outgoing.music = music;
    return this.#then(async () => {
      if (this.hasMicrophone) await this.#openOne("microphone");
      this.#callbacks.onChange();
    });
  }

  /** Shares the screen. Call it within a tap. */
  async share() {
    try {
      for (const track of await this.#devices.openScreen()) {
        if (track.kind === "video") track.contentHint = "detail";
        else track.contentHint = "music";
        track.addEventListener("ended", () => {
          if (Object.values(this.outgoing.tracks).includes(track)) this.unshare();
        });
        this.#put(track.kind === "video" ? "screen" : "screenSound", track, false);
      }
      this.#callbacks.onTrouble("screen", null);
    } catch (error) {
      // Whoever closes the question without choosing knows that nothing is shared.
      const trouble = troubleOf(error);
      if (trouble !== "refused") this.#callbacks.onTrouble("screen", trouble);
    }
    this.#callbacks.onChange();
  }

  unshare() {
    this.#put("screenSound", null, false);
    this.#put("screen", null);
  }

  /** Lets go of everything. */
  close() {
    for (const slot of /** @type {const} */ (["screenSound", "screen", "camera", "sound"])) this.#put(slot, null, false);
  }

  /** @param {() => Promise<void>} step */
  #then(step) {
    this.#last = this.#last.then(step).catch((error) => console.warn("own media:", error));
    return this.#last;
  }

  /** @param {"microphone" | "camera"} device */
  async #openOne(device) {
    const slot = device === "microphone" ? "sound" : "camera";
    // Some browsers hold one microphone at a time, and no camera can be opened twice in another size.
    this.#put(slot, null, false);
    try {
      this.#take(await this.#devices.open(device, this.#chosen[device], this.music));
    } catch (error) {
      this.#trouble(device, this.#devices.barrier ?? troubleOf(error));
      this.#callbacks.onChange();
    }
  }

  /** @param {MediaStreamTrack} track */
  #take(track) {
    const device = track.kind === "audio" ? "microphone" : "camera";
    const slot = track.kind === "audio" ? "sound" : "camera";
    if (track.kind === "audio") track.contentHint = this.music ? "music" : "speech";
    else track.contentHint = "motion";
    track.addEventListener("ended", () => void this.#lost(device, track));
    this.#put(slot, track);
    this.#callbacks.onTrouble(device, null);
  }

  /**
   * A device was pulled out, or taken away by the system: any other will do.
   * @param {"microphone" | "camera"} device
   * @param {MediaStreamTrack} track
   */
  #lost(device, track) {
    if (!Object.values(this.outgoing.tracks).includes(track)) return;
    this.#chosen[device] = null;
    return this.#then(async () => {
      await this.#openOne(device);
      const slot = device === "microphone" ? "sound" : "camera";
      if (this.outgoing.tracks[slot] === null) this.#trouble(device, "gone");
    });
  }

  /**
   * @param {import("../peer/transceivers.js").Slot} slot
   * @param {MediaStreamTrack | null} track
   * @param {boolean} tell
   */
  #put(slot, track, tell = true) {
    const { tracks } = this.outgoing;
    const old = tracks[slot];
    tracks[slot] = track;
    if (old !== null && old !== track) old.stop();
    this.#apply(tell);
  }

  #apply(tell = true) {
    const { sound } = this.outgoing.tracks;
    if (sound !== null) sound.enabled = !this.muted;
    if (tell) this.#callbacks.onChange();
  }

  /**
   * @param {Device} device
   * @param {Trouble} trouble
   */
  #trouble(device, trouble) {
    this.#callbacks.onTrouble(device, trouble);
  }
}

/** Whether the browser would give one of the two: it refuses both when one is forbidden. */
async function someAllowed() {
  for (const name of ["microphone", "camera"]) {
    try {
      const { state } = await navigator.permissions.query({ name: /** @type {PermissionName} */ (name) });
      if (state === "granted") return true;
    } catch {
      // Not every browser tells.
    }
  }
  return false;
}
