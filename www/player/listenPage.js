/**
 * Controller of the listening page, `/listen`: connects the player, the controls and the server's status.
 *
 * Sound comes from direct playout, or from the `<audio>` element where that cannot be; the element's volume counts for both.
 */

import { accessStrings } from "../shared/accessStrings.js";
import { checkAccess } from "../shared/checkAccess.js";
import { byId, isPageVisible, onDocument, pageStarted, setHidden, setText } from "../shared/dom.js";
import { sourceLabel, stationTitle } from "../shared/stationStrings.js";
import { fetchStatus, findStation, whepEndpoint } from "../shared/status.js";
import { TokenStore } from "../shared/tokenStore.js";
import { BufferingControl } from "./bufferingControl.js";
import { DirectPlayout } from "./playout/directPlayout.js";
import { LevelDisplay } from "./levelDisplay.js";
import { handleMediaKeys, setMediaTitle, setPlaybackState } from "./mediaSession.js";
import { Player } from "./player.js";
import { formatNumber, retryCountdown, statusStrings } from "./playerStrings.js";
import { statsOf } from "./receiverStats.js";
import { VolumeControl } from "./volumeControl.js";

/** How often to fetch the server's status while live. */
const STATUS_INTERVAL_MS = 5000;
const COUNTDOWN_INTERVAL_MS = 250;
/** Packet length if the server's status is unknown. */
const DEFAULT_PACKET_MS = 20;
/** One tap fires several events: those within this time belong together. */
const SAME_TAP_MS = 500;

class ListenPage {
  #tokens = new TokenStore();
  /** Token of the link just opened. */
  #linkToken = this.#tokens.takeFromUrl();
  #stationName = new URLSearchParams(location.search).get("station");
  /** @type {import("../shared/protocol.js").StationStatus | null} */
  #station = null;

  /** The browser refused to play without a user gesture. */
  #needsTap = false;
  /** Time of the tap that started playback after a refusal. */
  #playedByTapMs = -Infinity;
  /** The page was closed while the player was started. */
  #closedWhilePlaying = false;
  /** @type {number | undefined} */
  #countdownTimer;
  /** @type {number | undefined} */
  #statusTimer;

  #view = byId("player", HTMLElement);
  #playButton = byId("play", HTMLButtonElement);
  #audio = byId("audio", HTMLAudioElement);
  #levels = new LevelDisplay(byId("dial", HTMLElement), (/** @type {const} */ (["left", "right"])).map((side) => ({
    side,
    meter: byId(side, HTMLElement),
    digits: byId(`${side}-level`, HTMLElement),
  })));
  #playout = DirectPlayout.create({
    onBroken: () => this.#player.renewSession(),
    onStreams: () => this.#measureLevels(),
  });
  #volume = new VolumeControl({
    audio: this.#audio,
    slider: byId("volume", HTMLInputElement),
    value: byId("volume-value", HTMLElement),
    row: byId("volume-row", HTMLElement),
    note: byId("volume-note", HTMLElement),
  }, () => this.#showState());
  #buffering = new BufferingControl(
    byId("buffering", HTMLElement),
    ["live", "relaxed"].map((choice) => byId(`buffering-${choice}`, HTMLInputElement)),
    (targetMs) => {
      this.#player.setJitterBufferTarget(targetMs);
      this.#playout?.setWanted(targetMs === 0);
    },
  );
  #player = new Player({
    url: whepEndpoint(this.#stationName),
    token: () => this.#tokens.tokenFor("listen"),
    playout: this.#playout,
  }, {
    onState: (state) => this.#onPlayerState(state),
    onStream: (stream) => this.#onStream(stream),
    onStats: (snapshots) => this.#showStats(snapshots),
  });

  start() {
    pageStarted();
    this.#addListeners();
    this.#volume.restore();
    this.#buffering.restore();
    handleMediaKeys(this.#player);
    void this.#enter();
  }

  #addListeners() {
    this.#playButton.addEventListener("click", (event) => {
      if (event.timeStamp - this.#playedByTapMs < SAME_TAP_MS) return;
      if (this.#player.started) this.#player.stop();
      else this.#player.start();
    });
    onDocument(["click", "pointerup", "touchend", "keydown"], (event) => this.#onUserGesture(event), { capture: true });
    onDocument("keydown", (event) => {
      const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat;
      if (plain && event.key.toLowerCase() === "m") this.#volume.toggleMute();
    });
    onDocument("visibilitychange", () => {
      if (isPageVisible()) {
        this.#levels.resume();
        this.#player.networkChanged();
      }
      this.#updateLevels();
    });
    addEventListener("online", () => this.#player.networkChanged());
    addEventListener("offline", () => this.#showState());
    /** @type {any} */ (navigator).connection?.addEventListener?.("change", () => this.#player.networkChanged());

    this.#audio.addEventListener("volumechange", () => this.#playout?.setVolume(this.#audio.muted ? 0 : this.#audio.volume));

    // The system may pause the element, for example for a phone call. The Stop button does not pause it.
    this.#audio.addEventListener("pause", () => {
      if (this.#player.state.kind === "live" && this.#audio.srcObject !== null) this.#play();
    });
    addEventListener("pagehide", () => {
      this.#closedWhilePlaying = this.#player.started;
      this.#player.stop(true);
    });
    addEventListener("pageshow", (event) => {
      // Back from the back/forward cache: everything is as before, except the session.
      if (event.persisted && this.#closedWhilePlaying) this.#player.start();
    });
    byId("notice-action", HTMLButtonElement).addEventListener("click", () => void this.#enter());
    addEventListener("hashchange", () => {
      this.#linkToken = this.#tokens.takeFromUrl();
      if (this.#linkToken !== null) void this.#enter();
    });
  }

  // --- access ----------------------------------------------------------------------------------------------------------

  async #enter() {
    if (await this.#checkAccess()) await this.#updateStation();
  }

  /** Shows a notice if listening is not allowed. @returns {Promise<boolean>} */
  async #checkAccess() {
    const access = await checkAccess(this.#tokens, "listen", { linkToken: this.#linkToken });
    this.#linkToken = null;
    if (access.kind === "refused") this.#showRefusal(access.code, access.retryAfterMs);
    else if (this.#view.hidden) this.#showPlayer();
    return access.kind !== "refused";
  }

  /**
   * @param {string} code
   * @param {number} retryAfterMs
   */
  #showRefusal(code, retryAfterMs = 0) {
    const { title, text } = accessStrings(code, "station", retryAfterMs);
    setText("notice-title", title);
    setText("notice-text", text);
    this.#player.stop();
    this.#view.hidden = true;
    setHidden("notice", false);
    byId("notice-title", HTMLElement).focus();
  }

  #showPlayer() {
    setHidden("notice", true);
    this.#view.hidden = false;
    this.#playButton.focus();
  }

  /** The server refused the session. Another token, or none, may still be accepted. @param {string} code */
  async #onUnauthorized(code) {
    const token = this.#tokens.tokenFor("listen");
    if (!(await this.#checkAccess())) return;
    if (this.#tokens.tokenFor("listen") !== token) this.#player.start();
    else this.#showRefusal(code);
  }

  // --- state and figures -----------------------------------------------------------------------------------------------

  /** @param {import("./player.js").PlayerState} state */
  #onPlayerState(state) {
    this.#showState();
    if (state.kind === "live") {
      void this.#updateStation();
      this.#play();
    }
    if (state.kind === "idle" || state.kind === "failed") for (const id of ["delay", "jitter", "loss"]) setText(id, "–");
    if (state.kind === "failed" && state.reason === "unauthorized") void this.#onUnauthorized(state.detail);
    this.#updateLevels();
  }

  #showState() {
    const { state, started } = this.#player;
    const { status, advice } = statusStrings(state, {
      needsTap: this.#needsTap,
      online: navigator.onLine,
      station: this.#station,
      muted: this.#volume.muted,
    });
    setText("status", status);
    setText("advice", advice);
    setText("play-label", started ? "Stop" : "Start");
    this.#view.dataset.state = state.kind;
    setPlaybackState(started);
    this.#showCountdown();
  }

  #showCountdown() {
    clearTimeout(this.#countdownTimer);
    setText("countdown", retryCountdown(this.#player.state, performance.now()));
    if (this.#player.state.kind === "waiting") {
      this.#countdownTimer = setTimeout(() => this.#showCountdown(), COUNTDOWN_INTERVAL_MS);
    }
  }

  /** @param {import("./receiverStats.js").Snapshot[]} snapshots */
  #showStats(snapshots) {
    this.#playout?.check();
    const stats = statsOf(snapshots, this.#station?.encoding.packet_ms ?? DEFAULT_PACKET_MS);
    setText("delay", formatNumber(stats.delayMs, 0));
    setText("jitter", formatNumber(stats.jitterMs, 1));
    setText("loss", formatNumber(stats.lossPercent, 1));
  }

  /** Fetches the station's status, and again after a while as long as the player is live. */
  async #updateStation() {
    clearTimeout(this.#statusTimer);
    const status = await fetchStatus(this.#tokens.tokenFor("listen"));
    this.#station = findStation(status, this.#stationName) ?? this.#station;
    if (this.#station !== null) {
      const title = stationTitle(this.#station);
      setText("station-source", sourceLabel(this.#station));
      setText("title", title);
      setText("listeners", String(this.#station.listeners));
      setMediaTitle(title);
    }
    this.#showState();
    clearTimeout(this.#statusTimer);
    if (this.#player.state.kind === "live") {
      this.#statusTimer = setTimeout(() => void this.#updateStation(), STATUS_INTERVAL_MS);
    }
  }

  // --- sound -----------------------------------------------------------------------------------------------------------

  /** @param {MediaStream | null} stream */
  #onStream(stream) {
    this.#audio.srcObject = stream;
    this.#needsTap = false;
    if (stream === null) {
      this.#playout?.stop();
      this.#levels.measure([]);
      return;
    }
    this.#play();
    this.#playout?.start();
    this.#measureLevels();
  }

  #measureLevels() {
    const stream = /** @type {MediaStream | null} */ (this.#audio.srcObject);
    if (stream !== null) this.#levels.measure([stream, ...(this.#playout?.streams ?? [])]);
  }

  /** If the browser refuses to play without a user gesture, the page says so, and the next tap plays. */
  #play() {
    this.#audio.play().then(
      () => {
        this.#needsTap = false;
        this.#showState();
      },
      (error) => {
        // Other errors are our own doing, such as AbortError: the stream was removed before it played.
        if (error.name !== "NotAllowedError" || !this.#player.started) return;
        this.#needsTap = true;
        this.#showState();
      },
    );
  }

  /** @param {Event} event */
  #onUserGesture(event) {
    this.#levels.resume();
    if (this.#player.started) this.#playout?.start();
    if (!this.#needsTap || !this.#player.started) return;
    this.#playedByTapMs = event.timeStamp;
    this.#play();
  }

  /** Levels are drawn only while live, and only in the foreground. */
  #updateLevels() {
    this.#levels.setEnabled(this.#player.state.kind === "live" && isPageVisible());
  }
}

new ListenPage().start();
