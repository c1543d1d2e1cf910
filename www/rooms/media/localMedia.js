/**
 * Local media: the open microphone, camera and screen, and what is sent of them.
 *
 * A muted microphone stays open and sends silence, so that unmuting has no delay. A camera that is switched off is
 * closed, so that its light goes out.
 *
 * The system can interrupt a device, as iPhones do for a call: its track is muted then, goes on afterwards, and is still ours.
 *
 * A device may take long to open, for example while the browser asks for permission. What happens to its track is decided
 * when it arrives: it is used if it is still wanted then, and stopped otherwise.
 */

import { anyPermissionGranted, problemOf } from "./devices.js";

/** @typedef {import("./devices.js").Device} Device */
/** @typedef {import("./devices.js").DeviceProblem} DeviceProblem */
/** @typedef {import("../peer/transceivers.js").TrackRole} TrackRole */

/**
 * @typedef {object} LocalMediaCallbacks
 * @property {() => void} onChange
 * @property {(device: Device, problem: DeviceProblem | null) => void} onProblem null when it is solved
 */

/**
 * @typedef {object} Preferences
 * @property {string | null} microphoneId
 * @property {string | null} cameraId
 * @property {boolean} muted
 * @property {boolean} cameraOn
 * @property {boolean} music
 */

export class LocalMedia {
  #devices;
  #callbacks;
  /** @type {import("../peer/transceivers.js").Outgoing} */
  outgoing;

  /** Which devices are open or being opened. One that fails is not wanted any more. */
  #wanted = { microphone: false, camera: false };
  #muted = false;
  /** `open` opens the camera too. */
  #cameraOn = true;
  /** The user joined to watch and listen: nothing is opened unless the user switches it on. */
  #watching = false;
  /** Changes when everything is closed: a screen that the user chooses after that is not shared. */
  #session = 0;
  #pushToTalk = false;
  /** @type {Record<"microphone" | "camera", string | null>} */
  #deviceIds = { microphone: null, camera: null };
  /** What was the system's default when a microphone was opened last. @type {string | null} */
  #defaultMicrophone = null;
  /** Devices are opened one after another: some browsers fail to open one twice at a time. */
  #queue = Promise.resolve();

  /**
   * @param {import("./devices.js").Devices} devices
   * @param {LocalMediaCallbacks} callbacks
   */
  constructor(devices, callbacks) {
    this.#devices = devices;
    this.#callbacks = callbacks;
    this.outgoing = {
      stream: new MediaStream(),
      screenStream: new MediaStream(),
      tracks: { microphone: null, camera: null, screen: null, screenAudio: null },
      music: false,
    };
  }

  /** No audio of the microphone is sent, for whatever reason. */
  get muted() {
    return !this.hasMicrophone || this.#isInterrupted("microphone") || (this.#muted && !this.#pushToTalk);
  }

  get hasMicrophone() {
    return this.outgoing.tracks.microphone !== null;
  }

  get hasCamera() {
    return this.outgoing.tracks.camera !== null;
  }

  /** The camera gives pictures. */
  get sendsCamera() {
    return this.hasCamera && !this.#isInterrupted("camera");
  }

  /** The microphone is open, or being opened. */
  get wantsMicrophone() {
    return this.#wanted.microphone;
  }

  /** The camera is on, or being opened. */
  get wantsCamera() {
    return this.#wanted.camera;
  }

  /** No audio will be sent once the microphone is open that is being opened. */
  get willBeMuted() {
    return !this.wantsMicrophone || (this.#muted && !this.#pushToTalk);
  }

  get sharesScreen() {
    return this.outgoing.tracks.screen !== null;
  }

  get music() {
    return this.outgoing.music;
  }

  /**
   * @param {string} name display name
   * @returns {import("../../shared/protocol.js").PeerState} what other peers are told
   */
  peerState(name) {
    return {
      name,
      muted: this.muted,
      camera: this.sendsCamera,
      screen: this.sharesScreen ? this.outgoing.screenStream.id : null,
    };
  }

  /**
   * The id of the device in use, or else of the preferred one.
   * @param {"microphone" | "camera"} device
   * @returns {string | null}
   */
  deviceId(device) {
    return this.outgoing.tracks[device]?.getSettings().deviceId ?? this.#deviceIds[device];
  }

  /**
   * Sets stored preferences before anything is opened.
   * @param {Preferences} preferences
   */
  setPreferences({ microphoneId, cameraId, muted, cameraOn, music }) {
    this.#deviceIds = { microphone: microphoneId, camera: cameraId };
    this.#muted = muted;
    this.#cameraOn = cameraOn;
    this.outgoing.music = music;
  }

  /**
   * Tells that `open` will be called soon: until then, the user can already decide what it opens. Does nothing where no
   * device can be opened.
   */
  expect() {
    this.#watching = false;
    if (this.#devices.unavailable !== null) return;
    this.#wanted = { microphone: true, camera: this.#cameraOn };
    this.#callbacks.onChange();
  }

  /** Opens what the user wants. A device that fails is reported, and the other one is used. */
  open() {
    this.expect();
    return this.#enqueue(async () => {
      const { unavailable } = this.#devices;
      if (unavailable !== null) {
        this.#failBoth(unavailable);
        return;
      }
      if (this.#isOpening("microphone") && this.#isOpening("camera") && await this.#openBoth()) return;
      await this.#openIfMissing("camera");
      await this.#openIfMissing("microphone");
    });
  }

  /** The user joins to watch and listen. From now on only the user's own switches open a device. */
  watch() {
    this.#watching = true;
    this.close();
  }

  /** @param {boolean} muted */
  setMuted(muted) {
    this.#muted = muted;
    if (muted || this.hasMicrophone) {
      this.#applyMute();
      return Promise.resolve();
    }
    this.#wanted.microphone = true;
    this.#callbacks.onChange();
    return this.#enqueue(() => this.#openIfMissing("microphone"));
  }

  /** Unmutes as long as a key is held. @param {boolean} talking */
  setPushToTalk(talking) {
    this.#pushToTalk = talking;
    this.#applyMute();
  }

  /** @param {boolean} on */
  setCamera(on) {
    this.#cameraOn = on;
    this.#wanted.camera = on;
    if (!on) {
      this.#setTrack("camera", null);
      return Promise.resolve();
    }
    this.#callbacks.onChange();
    return this.#enqueue(() => this.#openIfMissing("camera"));
  }

  /**
   * @param {"microphone" | "camera"} device
   * @param {string} id
   */
  selectDevice(device, id) {
    this.#deviceIds[device] = id;
    const isOff = !this.#wanted[device] && (this.#watching || (device === "camera" && !this.#cameraOn));
    if (isOff) return this.#queue;
    this.#wanted[device] = true;
    this.#callbacks.onChange();
    return this.#enqueue(async () => void await this.#openDevice(device));
  }

  /** The page is in the foreground again: a device that is still interrupted is opened anew. */
  async recover() {
    for (const device of /** @type {const} */ (["microphone", "camera"])) {
      if (this.#isInterrupted(device)) await this.#enqueue(async () => void await this.#openDevice(device));
    }
  }

  /** Another microphone may be the system's default: it is used if the user has chosen none. Peers need no new offer. */
  async followDefault() {
    const before = this.#defaultMicrophone;
    const now = await this.#devices.defaultMicrophone();
    if (now === null || now === before || this.#defaultMicrophone !== before) return;
    this.#defaultMicrophone = now;
    const chosen = this.#deviceIds.microphone;
    // Chromium lists the default under this id, and whoever chose it wants what it is now.
    if (before === null || (chosen !== null && chosen !== "default") || !this.hasMicrophone) return;
    await this.#enqueue(async () => void await this.#openDevice("microphone"));
    this.#callbacks.onChange();
  }

  /** Opens the microphone again, with or without processing for speech. @param {boolean} music */
  setMusic(music) {
    this.outgoing.music = music;
    return this.#enqueue(async () => {
      if (this.hasMicrophone) await this.#openDevice("microphone");
      this.#callbacks.onChange();
    });
  }

  /** Call it in a user gesture. */
  async shareScreen() {
    const session = this.#session;
    try {
      for (const track of await this.#devices.openScreen()) {
        if (this.#session !== session) {
          track.stop();
          continue;
        }
        track.contentHint = track.kind === "video" ? "detail" : "music";
        track.addEventListener("ended", () => {
          if (this.#uses(track)) this.stopScreen();
        });
        this.#setTrack(track.kind === "video" ? "screen" : "screenAudio", track, false);
      }
      this.#callbacks.onProblem("screen", null);
    } catch (error) {
      // A user who cancels the browser's dialog needs no explanation.
      const problem = problemOf(error);
      if (problem !== "denied") this.#callbacks.onProblem("screen", problem);
    }
    this.#callbacks.onChange();
  }

  stopScreen() {
    this.#setTrack("screenAudio", null, false);
    this.#setTrack("screen", null);
  }

  /** Closes all devices. Those that are being opened are closed as soon as they are open. */
  close() {
    this.#wanted = { microphone: false, camera: false };
    this.#session += 1;
    for (const role of /** @type {const} */ (["screenAudio", "screen", "camera", "microphone"])) this.#setTrack(role, null, false);
  }

  /** @param {() => Promise<void>} step */
  #enqueue(step) {
    this.#queue = this.#queue.then(step).catch((error) => console.warn("local media:", error));
    return this.#queue;
  }

  /** @param {"microphone" | "camera"} device */
  #isOpening(device) {
    return this.#wanted[device] && this.outgoing.tracks[device] === null;
  }

  /**
   * Opens both with one permission prompt.
   * @returns {Promise<boolean>} false if one of the two may still work alone
   */
  async #openBoth() {
    const { microphone, camera } = this.#deviceIds;
    try {
      for (const track of await this.#devices.openBoth(microphone, camera, this.music)) this.#useTrack(track);
      return true;
    } catch (error) {
      if (problemOf(error) !== "denied" || (await anyPermissionGranted())) return false;
      if (this.#wanted.microphone || this.#wanted.camera) this.#failBoth("denied");
      return true;
    }
  }

  /** @param {"microphone" | "camera"} device */
  async #openIfMissing(device) {
    if (this.#isOpening(device)) await this.#openDevice(device);
  }

  /**
   * @param {"microphone" | "camera"} device
   * @returns {Promise<boolean>} false if it failed
   */
  async #openDevice(device) {
    if (!this.#wanted[device]) return true;
    // Some browsers open only one microphone at a time, and no camera opens twice with another size.
    this.#setTrack(device, null, false);
    try {
      this.#useTrack(await this.#devices.open(device, this.#deviceIds[device], this.music));
    } catch (error) {
      if (!this.#wanted[device]) return true;
      this.#wanted[device] = false;
      this.#callbacks.onProblem(device, this.#devices.unavailable ?? problemOf(error));
      this.#callbacks.onChange();
      return false;
    }
    return true;
  }

  /** @param {MediaStreamTrack} track */
  #useTrack(track) {
    const device = track.kind === "audio" ? "microphone" : "camera";
    if (!this.#wanted[device]) {
      track.stop();
      return;
    }
    if (device === "microphone") track.contentHint = this.music ? "music" : "speech";
    else track.contentHint = "motion";
    track.addEventListener("ended", () => void this.#replaceEnded(device, track));
    for (const type of ["mute", "unmute"]) track.addEventListener(type, () => this.#onInterruption(device, track));
    this.#setTrack(device, track);
    this.#callbacks.onProblem(device, track.muted ? "interrupted" : null);
    if (device === "microphone") void this.#devices.defaultMicrophone().then((id) => { this.#defaultMicrophone = id; });
  }

  /**
   * A device was unplugged, or taken by the system: the default one replaces it.
   * @param {"microphone" | "camera"} device
   * @param {MediaStreamTrack} track
   */
  #replaceEnded(device, track) {
    if (!this.#uses(track)) return;
    this.#deviceIds[device] = null;
    return this.#enqueue(async () => {
      if (!(await this.#openDevice(device))) this.#callbacks.onProblem(device, "unplugged");
    });
  }

  /**
   * The system took a device away for a while, or gave it back.
   * @param {"microphone" | "camera"} device
   * @param {MediaStreamTrack} track
   */
  #onInterruption(device, track) {
    if (!this.#uses(track)) return;
    this.#callbacks.onProblem(device, track.muted ? "interrupted" : null);
    this.#callbacks.onChange();
  }

  /** @param {"microphone" | "camera"} device */
  #isInterrupted(device) {
    return this.outgoing.tracks[device]?.muted === true;
  }

  /** @param {MediaStreamTrack} track */
  #uses(track) {
    return Object.values(this.outgoing.tracks).includes(track);
  }

  /**
   * @param {TrackRole} role
   * @param {MediaStreamTrack | null} track
   * @param {boolean} notify
   */
  #setTrack(role, track, notify = true) {
    const { tracks } = this.outgoing;
    const previous = tracks[role];
    tracks[role] = track;
    if (previous !== null && previous !== track) previous.stop();
    this.#applyMute(notify);
  }

  #applyMute(notify = true) {
    const { microphone } = this.outgoing.tracks;
    if (microphone !== null) microphone.enabled = !this.#muted || this.#pushToTalk;
    if (notify) this.#callbacks.onChange();
  }

  /** Neither device can be opened. @param {DeviceProblem} problem */
  #failBoth(problem) {
    this.#wanted = { microphone: false, camera: false };
    this.#callbacks.onProblem("microphone", problem);
    this.#callbacks.onProblem("camera", problem);
    this.#callbacks.onChange();
  }
}
