/**
 * Everything about this browser's own part in the room: devices, local media and how it is shown, the display name, and
 * the preferences that are stored for the next visit.
 */

import { announce, buttonsFor, byId, setHidden, setText } from "../../shared/dom.js";
import { loadSetting, saveSetting } from "../../shared/storage.js";
import { Devices } from "../media/devices.js";
import { LocalMedia } from "../media/localMedia.js";
import { Banner } from "./banner.js";
import { DevicePickers } from "./devicePickers.js";
import { deviceProblems, openingSentence } from "./deviceStrings.js";
import { displayName, normalizeName } from "./displayName.js";
import { joinIntent } from "./joinIntent.js";
import { LocalView } from "./localView.js";

const DEVICE_BANNER_MS = 10_000;
const RECOVERY_MS = 2000;
const MUTED_BANNER_MS = 20_000;

/** @typedef {"prejoin" | "room" | "notice"} View What the page shows. */

/**
 * @typedef {object} LocalControlsCallbacks
 * @property {() => void} onChange what is sent to peers has changed
 * @property {(id: string) => void} onSpeaker another speaker was chosen
 * @property {() => void} onPlayRefused the browser does not play audio without a user gesture
 */

export class LocalControls {
  #callbacks;
  #nameField = byId("display-name", HTMLInputElement);
  #deviceBanner = new Banner(byId("device-banner", HTMLElement));
  #mutedBanner = new Banner(byId("muted-banner", HTMLElement));
  #devices = new Devices();
  #pickers;
  #localView;
  media;
  /** @type {View} */
  #view = "prejoin";
  /** Our peer id, empty while it is not known. */
  #peerId = "";
  #speakerId = loadSetting("speaker") ?? "";
  /** The browser was asked for devices, whether or not it has given any. */
  #opened = false;
  /** @type {Partial<Record<import("../media/devices.js").Device, import("../media/devices.js").DeviceProblem>>} */
  #problems = {};
  #bannerText = "";

  /**
   * @param {HTMLElement} grid
   * @param {LocalControlsCallbacks} callbacks
   */
  constructor(grid, callbacks) {
    this.#callbacks = callbacks;
    this.media = new LocalMedia(this.#devices, {
      onChange: () => {
        this.update();
        callbacks.onChange();
      },
      onProblem: (device, problem) => {
        if (problem === null) delete this.#problems[device];
        else this.#problems[device] = problem;
        this.#showProblems();
      },
    });
    this.#devices.onChange(() => void this.media.followDefault());
    this.#localView = new LocalView(this.media, grid, {
      onPlayRefused: callbacks.onPlayRefused,
      onCameraChanged: () => void this.refreshPickers(),
    });
    this.#pickers = new DevicePickers(
      this.#devices,
      (device) => (device === "speaker" ? this.#speakerId : this.media.deviceId(device)),
      (device, id) => this.#pickDevice(device, id),
    );
  }

  /** Sets stored preferences before anything is opened. */
  restore() {
    this.#callbacks.onSpeaker(this.#speakerId);
    this.#nameField.value = loadSetting("name") ?? "";
    this.media.setPreferences({
      microphoneId: loadSetting("microphone"),
      cameraId: loadSetting("camera"),
      muted: loadSetting("muted") !== null,
      cameraOn: loadSetting("dark") === null,
      music: loadSetting("music") !== null,
    });
    for (const button of buttonsFor("screen")) button.hidden = !this.#devices.canShareScreen;
    this.media.expect();
  }

  get opened() {
    return this.#opened;
  }

  /** What a press of the join button means at this moment. */
  get joinIntent() {
    return joinIntent(this.media);
  }

  get #name() {
    return normalizeName(this.#nameField.value);
  }

  /** What other peers are told. */
  peerState() {
    return this.media.peerState(this.#name);
  }

  /** Opens the devices, with a permission prompt if the browser wants one. */
  async open() {
    this.#opened = true;
    await this.media.open();
    this.update();
    await this.refreshPickers();
  }

  refreshPickers() {
    return this.#pickers.refresh();
  }

  /** @param {View} view */
  setView(view) {
    this.#view = view;
    this.#showProblems();
  }

  /** @param {import("./joinIntent.js").JoinIntent} intent what the button said when it was pressed */
  join(intent) {
    saveSetting("name", this.#name === "" ? null : this.#name);
    if (intent === "watch") this.media.watch();
    this.resumeAudio();
    this.#peerId = "";
    this.#localView.join();
  }

  /**
   * @param {string} peerId
   * @param {number | undefined} nameChars the server's limit
   */
  joined(peerId, nameChars) {
    this.#peerId = peerId;
    this.#nameField.maxLength = nameChars ?? this.#nameField.maxLength;
    this.update();
  }

  leave() {
    this.#localView.leave();
    this.media.close();
    this.#mutedBanner.hide();
  }

  /** Shows the present state of local media. */
  update() {
    this.#localView.update(displayName(this.#name, this.#peerId), this.#noVideoText());
    if (!this.media.willBeMuted) this.#mutedBanner.hide();
    this.#showProblems();
  }

  /** @param {number} nowMs */
  updateLevel(nowMs) {
    this.#localView.updateLevel(nowMs);
  }

  /** The page is in the foreground again. The system gives devices back by itself, a moment later. */
  recover() {
    setTimeout(() => void this.media.recover(), RECOVERY_MS);
  }

  /** Plays pictures after a refusal, in a user gesture. */
  play() {
    this.#localView.play();
  }

  /** Call it in a user gesture. */
  resumeAudio() {
    this.#localView.resume();
  }

  toggleMute() {
    const muted = !this.media.willBeMuted;
    saveSetting("muted", muted ? "yes" : null);
    void this.media.setMuted(muted).then(() => announce(this.media.muted ? "Muted." : "Not muted."));
  }

  toggleCamera() {
    const on = !this.media.wantsCamera;
    saveSetting("dark", on ? null : "yes");
    void this.media.setCamera(on).then(() => announce(this.media.hasCamera ? "Camera on." : "Camera off."));
  }

  toggleScreen() {
    if (this.media.sharesScreen) this.media.stopScreen();
    else void this.media.shareScreen();
  }

  toggleMusic() {
    saveSetting("music", this.media.music ? null : "yes");
    void this.media.setMusic(!this.media.music);
  }

  /** The user can unmute again. */
  muteByModerator() {
    // A microphone that is being opened counts too: it must not be heard when it arrives.
    if (this.media.willBeMuted) return;
    this.media.setPushToTalk(false);
    void this.media.setMuted(true);
    this.#mutedBanner.show("A moderator turned your microphone off. You can turn it on again.", MUTED_BANNER_MS);
  }

  /**
   * @param {import("./devicePickers.js").PickedDevice} device
   * @param {string} id
   */
  #pickDevice(device, id) {
    saveSetting(device, id);
    if (device === "speaker") {
      this.#speakerId = id;
      this.#callbacks.onSpeaker(id);
    } else {
      void this.media.selectDevice(device, id);
    }
  }

  #noVideoText() {
    if (this.media.wantsCamera) return "Opening your camera …";
    return this.#problems.camera === undefined ? "Your camera is off." : "No camera picture.";
  }

  /**
   * Before joining, problems stay visible. In the room, they are shown for a while, and as long as a device is being opened,
   * the banner says so.
   */
  #showProblems() {
    const text = deviceProblems(this.#problems, location);
    setText("device-notice", this.#view === "prejoin" ? text : "");
    const opening = openingSentence({
      microphone: this.media.wantsMicrophone && !this.media.hasMicrophone,
      camera: this.media.wantsCamera && !this.media.hasCamera,
    });
    const isLasting = text === "" || Object.values(this.#problems).includes("interrupted");
    this.#showBanner(this.#view === "room" ? text || opening : "", isLasting ? Infinity : DEVICE_BANNER_MS);
    const { camera, microphone } = this.#problems;
    const hopeless = camera === "insecure" || camera === "unsupported" || (camera ?? microphone) === "interrupted";
    setHidden("retry-devices", hopeless || (camera ?? microphone) === undefined);
  }

  /**
   * Shows the banner only if its text changed: one that has gone by itself does not come back with the next update.
   * @param {string} text
   * @param {number} durationMs
   */
  #showBanner(text, durationMs) {
    if (text === this.#bannerText) return;
    this.#bannerText = text;
    this.#deviceBanner.show(text, durationMs);
  }
}
