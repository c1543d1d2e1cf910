/**
 * Local media: the open microphone, camera and screen, and what is sent of them.
 *
 * A muted microphone stays open and sends silence, so that unmuting has no delay. A camera that is switched off is
 * closed, so that its light goes out.
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

  // What the user wants, whether or not the devices can be opened.
  #muted = false;
  #cameraOn = true;
  #pushToTalk = false;
  /** @type {Record<"microphone" | "camera", string | null>} */
  #deviceIds = { microphone: null, camera: null };
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
    return !this.hasMicrophone || (this.#muted && !this.#pushToTalk);
  }

  get hasMicrophone() {
    return this.outgoing.tracks.microphone !== null;
  }

  get hasCamera() {
    return this.outgoing.tracks.camera !== null;
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
      camera: this.hasCamera,
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

  /** Opens what the user wants. A device that fails is reported, and the other one is used. */
  open() {
    return this.#enqueue(async () => {
      const { unavailable } = this.#devices;
      if (unavailable !== null) {
        this.#reportBoth(unavailable);
        return;
      }
      if (this.#cameraOn) {
        try {
          const { microphone, camera } = this.#deviceIds;
          for (const track of await this.#devices.openBoth(microphone, camera, this.music)) this.#useTrack(track);
          return;
        } catch (error) {
          if (problemOf(error) === "denied" && !(await anyPermissionGranted())) {
            this.#reportBoth("denied");
            return;
          }
          // One of the two may still work.
        }
        await this.#openDevice("camera");
      }
      await this.#openDevice("microphone");
    });
  }

  /** @param {boolean} muted */
  setMuted(muted) {
    this.#muted = muted;
    if (!muted && !this.hasMicrophone) return this.#enqueue(() => this.#openDevice("microphone"));
    this.#applyMute();
    return this.#queue;
  }

  /** Unmutes as long as a key is held. @param {boolean} talking */
  setPushToTalk(talking) {
    this.#pushToTalk = talking;
    this.#applyMute();
  }

  /** @param {boolean} on */
  setCamera(on) {
    this.#cameraOn = on;
    return this.#enqueue(async () => {
      if (!on) this.#setTrack("camera", null);
      else if (!this.hasCamera) await this.#openDevice("camera");
    });
  }

  /**
   * @param {"microphone" | "camera"} device
   * @param {string} id
   */
  selectDevice(device, id) {
    this.#deviceIds[device] = id;
    if (device === "camera" && !this.#cameraOn) return this.#queue;
    return this.#enqueue(() => this.#openDevice(device));
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
    try {
      for (const track of await this.#devices.openScreen()) {
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

  /** Closes all devices. */
  close() {
    for (const role of /** @type {const} */ (["screenAudio", "screen", "camera", "microphone"])) this.#setTrack(role, null, false);
  }

  /** @param {() => Promise<void>} step */
  #enqueue(step) {
    this.#queue = this.#queue.then(step).catch((error) => console.warn("local media:", error));
    return this.#queue;
  }

  /** @param {"microphone" | "camera"} device */
  async #openDevice(device) {
    // Some browsers open only one microphone at a time, and no camera opens twice with another size.
    this.#setTrack(device, null, false);
    try {
      this.#useTrack(await this.#devices.open(device, this.#deviceIds[device], this.music));
    } catch (error) {
      this.#callbacks.onProblem(device, this.#devices.unavailable ?? problemOf(error));
      this.#callbacks.onChange();
    }
  }

  /** @param {MediaStreamTrack} track */
  #useTrack(track) {
    const device = track.kind === "audio" ? "microphone" : "camera";
    if (device === "microphone") track.contentHint = this.music ? "music" : "speech";
    else track.contentHint = "motion";
    track.addEventListener("ended", () => void this.#replaceEnded(device, track));
    this.#setTrack(device, track);
    this.#callbacks.onProblem(device, null);
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
      await this.#openDevice(device);
      if (this.outgoing.tracks[device] === null) this.#callbacks.onProblem(device, "unplugged");
    });
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
    if (microphone !== null) microphone.enabled = !this.muted;
    if (notify) this.#callbacks.onChange();
  }

  /** @param {DeviceProblem} problem of microphone and camera */
  #reportBoth(problem) {
    this.#callbacks.onProblem("microphone", problem);
    this.#callbacks.onProblem("camera", problem);
  }
}
