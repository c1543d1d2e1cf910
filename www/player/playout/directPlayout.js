/**
 * Direct playout: a session's sound goes from the network to the output past the browser's own jitter buffer and mixer, which
 * keep 40 ms and more even on a perfect line. The page's side; the sound itself takes this way:
 *
 *     receiver → decoderWorker (decodes) → outputWorklet (playoutBuffer) → volume → output
 *
 * It is used only while all of it runs and the line is good. Otherwise the worker hands the encoded frames on, and the browser
 * plays them itself, through the page's `<audio>` element. Both are never heard at once.
 */

import { addressOf } from "../../shared/address.js";
import { LinePolicy } from "./linePolicy.js";
import { SAMPLE_RATE_HZ } from "./playoutBuffer.js";
import { SlidingSum } from "./slidingSum.js";

/** How long made-up sound takes to fade away, before the output is suspended. */
const FADE_AWAY_MS = 200;
/** The output reports once for each second that it plays. After so many checks without a report it does not play. */
const MAX_CHECKS = 4;
/** How long the browser plays after that. */
const RECOVERY_MS = 60_000;

/** More underruns of the output than this in ten seconds: this computer needs the larger buffer. */
const MAX_UNDERRUNS = 3;

/** The output's underruns since its start; null where the browser does not tell. @param {AudioContext} context */
const underrunsOf = (context) => /** @type {any} */ (context).playbackStats?.underrunEvents ?? null;

/** All of it is there on https and localhost, from Chrome 141, Firefox 130 (not on Android) and Safari 26 on. */
function isSupported() {
  const { RTCRtpScriptTransform, AudioDecoder, AudioWorkletNode } = /** @type {any} */ (globalThis);
  return [RTCRtpScriptTransform, AudioDecoder, AudioWorkletNode].every((part) => part !== undefined);
}

/**
 * @typedef {object} Callbacks
 * @property {() => void} onBroken sound is lost until a new session begins
 * @property {() => void} onStreams `streams` has changed
 */

export class DirectPlayout {
  #worker;
  /** The worker runs: frames that go through it are not lost. */
  #isReady = false;
  #policy = new LinePolicy();
  #isWanted = true;
  #isPaused = false;
  #isDirect = false;
  #volume = 1;

  /** @type {AudioContext | null} created in the first user gesture */
  #context = null;
  /** @type {GainNode | null} */
  #gain = null;
  /** Nothing is missing to play; the worklet is loaded. */
  #isConnected = false;
  /** @type {MediaStreamAudioDestinationNode | null} */
  #tap = null;
  /** @type {RTCRtpReceiver | null} */
  #receiver = null;
  /** @type {number | undefined} */
  #suspendTimer;
  #checksSinceReport = 0;
  /** @type {number | undefined} */
  #pauseTimer;
  #callbacks;
  /** The least buffer only where the browser tells when that is too little: the ordinary one is some 20 ms later. @type {0 | "interactive"} */
  #latencyHint = "playbackStats" in globalThis.AudioContext.prototype ? 0 : "interactive";
  #underruns = 0;
  #recentUnderruns = new SlidingSum(10);
  /** @type {import("./playoutBuffer.js").Counters} */
  #counters = { played: 0, delay: 0, concealed: 0 };

  /**
   * @param {Callbacks} callbacks
   * @returns {DirectPlayout | null} null where the browser lacks a part of it
   */
  static create(callbacks) {
    return isSupported() ? new DirectPlayout(callbacks) : null;
  }

  /** @param {Callbacks} callbacks */
  constructor(callbacks) {
    this.#callbacks = callbacks;
    this.#worker = new Worker(addressOf("player/playout/decoderWorker.js"), { type: "module" });
    this.#worker.addEventListener("message", ({ data }) => {
      this.#isReady = data === "ready";
      this.#update();
    });
    this.#worker.addEventListener("error", () => {
      const isInUse = this.#receiver !== null;
      this.#isReady = false;
      this.#update();
      if (isInUse) this.#callbacks.onBroken();
    });
  }

  /** What plays here, before the volume, to be measured; silence while the browser plays. @returns {MediaStream[]} */
  get streams() {
    return this.#tap === null ? [] : [this.#tap.stream];
  }

  /** Time that samples have spent in the buffer, and their number, as `jitterBufferDelay` and `jitterBufferEmittedCount`. */
  get counters() {
    const { played, delay } = this.#counters;
    return { jitterBufferDelayS: delay / SAMPLE_RATE_HZ, samplesEmitted: played };
  }

  /** Lets a session's sound come here. Call it before the offer. @param {RTCRtpReceiver} receiver */
  attach(receiver) {
    if (!this.#isReady) return;
    const { RTCRtpScriptTransform } = /** @type {any} */ (globalThis);
    /** @type {any} */ (receiver).transform = new RTCRtpScriptTransform(this.#worker);
    this.#receiver = receiver;
    this.#receiver.track.enabled = !this.#isDirect;
  }

  /** Starts the output, or resumes it. Call it in a user gesture. */
  start() {
    if (this.#isWanted && this.#isReady) this.#resume();
  }

  #resume() {
    clearTimeout(this.#suspendTimer);
    try {
      this.#context ??= this.#createContext();
    } catch (error) {
      console.warn("the browser plays by itself:", error);
      this.#isReady = false;
      return;
    }
    if (this.#context.state !== "running") this.#context.resume().catch(() => {});
  }

  #createContext() {
    // iOS: sound of a page is not silenced by the switch for the ringing tone.
    const { audioSession } = /** @type {any} */ (navigator);
    if (audioSession !== undefined) audioSession.type = "playback";
    const context = new AudioContext({ latencyHint: this.#latencyHint, sampleRate: SAMPLE_RATE_HZ });
    this.#tap = new MediaStreamAudioDestinationNode(context);
    this.#gain = new GainNode(context, { gain: this.#volume });
    this.#gain.connect(context.destination);
    context.addEventListener("statechange", () => this.#update());
    this.#connect(context, this.#gain, this.#tap).catch((error) => {
      console.warn("the browser plays by itself:", error);
    });
    return context;
  }

  /**
   * @param {AudioContext} context
   * @param {GainNode} gain
   * @param {MediaStreamAudioDestinationNode} tap
   */
  async #connect(context, gain, tap) {
    await context.audioWorklet.addModule(addressOf("player/playout/outputWorklet.js"));
    const output = new AudioWorkletNode(context, "direct-playout", { numberOfInputs: 0, outputChannelCount: [2] });
    output.port.addEventListener("message", ({ data }) => { if (context === this.#context) this.#onReport(data); });
    output.port.start();
    output.addEventListener("processorerror", () => {
      if (context !== this.#context) return;
      this.#isConnected = false;
      this.#update();
    });
    const { port1, port2 } = new MessageChannel();
    this.#worker.postMessage({ output: port1 }, [port1]);
    output.port.postMessage({ sound: port2 }, [port2]);
    output.connect(gain);
    output.connect(tap);
    if (context !== this.#context) return;
    this.#isConnected = true;
    this.#update();
  }

  /** Plays with the larger buffer from now on, if the output keeps running empty. The browser plays meanwhile. */
  #checkUnderruns() {
    const context = this.#context;
    const underruns = context === null ? null : underrunsOf(context);
    if (context === null || underruns === null || this.#latencyHint !== 0) return;
    const recent = this.#recentUnderruns.add(underruns - this.#underruns);
    this.#underruns = underruns;
    if (recent <= MAX_UNDERRUNS) return;
    this.#latencyHint = "interactive";
    this.#context = null;
    this.#isConnected = false;
    this.#counters = { played: 0, delay: 0, concealed: 0 };
    this.#update();
    context.close().catch(() => {});
    this.#resume();
    this.#callbacks.onStreams();
  }

  /** Nothing is to be played. */
  stop() {
    this.#receiver = null;
    this.#suspend();
  }

  #suspend() {
    clearTimeout(this.#suspendTimer);
    this.#suspendTimer = setTimeout(() => this.#context?.suspend(), FADE_AWAY_MS);
  }

  /** Whether to play here if possible, rather than by the browser with a larger buffer. @param {boolean} isWanted */
  setWanted(isWanted) {
    this.#isWanted = isWanted;
    this.#update();
    if (this.#receiver === null) return;
    if (isWanted) this.#resume();
    else this.#suspend();
  }

  /** @param {number} volume 0 to 1 */
  setVolume(volume) {
    this.#volume = volume;
    if (this.#gain !== null && this.#context !== null) this.#gain.gain.setTargetAtTime(volume, this.#context.currentTime, 0.01);
  }

  /** @param {import("./playoutBuffer.js").Counters} counters */
  #onReport(counters) {
    const pauseMs = this.#isDirect ? this.#policy.report(counters.concealed - this.#counters.concealed) : 0;
    this.#counters = counters;
    this.#checksSinceReport = 0;
    this.#checkUnderruns();
    if (pauseMs > 0) this.#pause(pauseMs);
  }

  /** Makes sure that sound comes out. Call it once a second while packets arrive. */
  check() {
    if (!this.#isDirect) return;
    this.#checksSinceReport += 1;
    if (this.#checksSinceReport > MAX_CHECKS) this.#pause(RECOVERY_MS);
  }

  /** Lets the browser play for a while. @param {number} durationMs */
  #pause(durationMs) {
    clearTimeout(this.#pauseTimer);
    this.#isPaused = true;
    this.#update();
    this.#pauseTimer = setTimeout(() => {
      this.#isPaused = false;
      this.#update();
    }, durationMs);
  }

  #update() {
    const isDirect = this.#isReady && this.#isConnected && this.#isWanted && !this.#isPaused && this.#context?.state === "running";
    if (isDirect === this.#isDirect) return;
    this.#isDirect = isDirect;
    this.#checksSinceReport = 0;
    this.#worker.postMessage({ direct: isDirect });
    if (this.#receiver !== null) this.#receiver.track.enabled = !isDirect;
  }
}
