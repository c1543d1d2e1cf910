/**
 * Audio levels: decibels, a peak meter that is told the time, and the Web Audio analysers that feed it.
 *
 * Nothing here plays sound: the analysers are not connected to the destination.
 */

/** Lowest level shown: a quiet room is just above it. */
export const FLOOR_DBFS = -60;
/** How fast the level falls: slow enough to read, fast enough to show a pause between words (IEC 60268-10: 20 dB in 1.7 s). */
const FALL_DB_PER_S = 24;
/** How long the peak is held. */
const HOLD_MS = 1500;
/** Samples for each reading: 43 ms at 48 kHz, longer than the time between two animation frames. */
const WINDOW_SAMPLES = 2048;

/**
 * Largest absolute value.
 * @param {Float32Array} samples
 * @returns {number} 0 to 1, or above when clipped
 */
export function peakOf(samples) {
  let peak = 0;
  for (const sample of samples) {
    const magnitude = Math.abs(sample);
    if (magnitude > peak) peak = magnitude;
  }
  return peak;
}

/**
 * @param {number} amplitude 1 is full scale
 * @returns {number} dBFS; -Infinity for silence
 */
export function dbfsOf(amplitude) {
  return amplitude > 0 ? 20 * Math.log10(amplitude) : -Infinity;
}

/**
 * Decibels above the floor. The dial draws one tick for each.
 * @param {number} dbfs
 * @returns {number} 0 to 60
 */
export function ticksOf(dbfs) {
  return Math.min(-FLOOR_DBFS, Math.max(0, dbfs - FLOOR_DBFS));
}

/**
 * @typedef {object} Level
 * @property {number} levelDbfs rises at once, falls slowly
 * @property {number} peakDbfs highest of the last 1.5 s
 */

/** The meter of one channel. */
export class PeakMeter {
  #levelDbfs = -Infinity;
  #peakDbfs = -Infinity;
  #peakSinceMs = 0;
  /** @type {number | null} */
  #lastMs = null;

  /**
   * @param {number} inputDbfs
   * @param {number} nowMs
   * @returns {Level}
   */
  update(inputDbfs, nowMs) {
    const fallDb = FALL_DB_PER_S * ((nowMs - (this.#lastMs ?? nowMs)) / 1000);
    this.#lastMs = nowMs;
    this.#levelDbfs = Math.max(inputDbfs, this.#levelDbfs - fallDb);
    if (this.#levelDbfs < FLOOR_DBFS) this.#levelDbfs = -Infinity;
    if (this.#levelDbfs >= this.#peakDbfs || nowMs - this.#peakSinceMs > HOLD_MS) {
      this.#peakDbfs = this.#levelDbfs;
      this.#peakSinceMs = nowMs;
    }
    return { levelDbfs: this.#levelDbfs, peakDbfs: this.#peakDbfs };
  }
}

/** The meters of both channels of a stream. */
export class StereoMeter {
  #context;
  #splitter;
  #analysers;
  #samples = new Float32Array(WINDOW_SAMPLES);
  /** @type {MediaStreamAudioSourceNode[]} */
  #sources = [];
  #meters = [new PeakMeter(), new PeakMeter()];

  /** @param {AudioContext} context created or resumed in a user gesture */
  constructor(context) {
    this.#context = context;
    this.#splitter = context.createChannelSplitter(2);
    this.#analysers = [0, 1].map((channel) => {
      const analyser = context.createAnalyser();
      analyser.fftSize = WINDOW_SAMPLES;
      this.#splitter.connect(analyser, channel);
      return analyser;
    });
  }

  /**
   * Measures the sum of these streams, in place of any others.
   * @param {MediaStream[]} streams
   */
  attach(...streams) {
    this.detach();
    this.#sources = streams.map((stream) => this.#context.createMediaStreamSource(stream));
    for (const source of this.#sources) source.connect(this.#splitter);
  }

  /** Stops measuring. */
  detach() {
    for (const source of this.#sources) source.disconnect();
    this.#sources = [];
  }

  /** Some browsers suspend the context with the page, or during a phone call. */
  resume() {
    if (this.#context.state !== "running") this.#context.resume().catch(() => {});
  }

  /**
   * @param {number} nowMs
   * @returns {Level[]} left, right
   */
  read(nowMs) {
    return this.#analysers.map((analyser, channel) => {
      analyser.getFloatTimeDomainData(this.#samples);
      return this.#meters[channel].update(dbfsOf(peakOf(this.#samples)), nowMs);
    });
  }
}
