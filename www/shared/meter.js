/**
 * Levels: the arithmetic of decibels, a peak meter that is told the time, and the two analysers that feed it.
 *
 * Nothing here makes sound: the analysers are not connected to the loudspeaker, the `<audio>` element alone plays.
 */

/** Lowest level shown; a quiet room lies just above it. */
export const FLOOR_DBFS = -60;
/** How fast the level sinks: slow enough for an eye, fast enough to show a pause between words (IEC 60268-10 has 20 dB in 1.7 s). */
const FALL_DB_PER_S = 24;
/** How long the highest level stays marked. */
const HOLD_MS = 1500;
/** Samples looked at each time: 43 ms at 48 kHz, more than passes between two pictures. */
const WINDOW_SAMPLES = 2048;

/**
 * Highest distance from zero.
 * @param {Float32Array} samples
 * @returns {number} 0 to 1, or above when clipped
 */
export function peakOf(samples) {
  let peak = 0;
  for (const sample of samples) {
    const height = Math.abs(sample);
    if (height > peak) peak = height;
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
 * Decibels above the floor: what is drawn, one mark for each.
 * @param {number} dbfs
 * @returns {number} 0 to 60
 */
export function marksOf(dbfs) {
  return Math.min(-FLOOR_DBFS, Math.max(0, dbfs - FLOOR_DBFS));
}

/**
 * @typedef {object} Level
 * @property {number} level_dbfs rises at once, falls slowly
 * @property {number} hold_dbfs highest of the last moment
 */

/** One channel's meter. */
export class PeakMeter {
  #level_dbfs = -Infinity;
  #hold_dbfs = -Infinity;
  #held_since_ms = 0;
  /** @type {number | null} */
  #last_ms = null;

  /**
   * @param {number} peak_dbfs
   * @param {number} now_ms
   * @returns {Level}
   */
  update(peak_dbfs, now_ms) {
    const fall_db = FALL_DB_PER_S * ((now_ms - (this.#last_ms ?? now_ms)) / 1000);
    this.#last_ms = now_ms;
    this.#level_dbfs = Math.max(peak_dbfs, this.#level_dbfs - fall_db);
    if (this.#level_dbfs < FLOOR_DBFS) this.#level_dbfs = -Infinity;
    if (this.#level_dbfs >= this.#hold_dbfs || now_ms - this.#held_since_ms > HOLD_MS) {
      this.#hold_dbfs = this.#level_dbfs;
      this.#held_since_ms = now_ms;
    }
    return { level_dbfs: this.#level_dbfs, hold_dbfs: this.#hold_dbfs };
  }
}

/** Both channels of a stream. */
export class StereoMeter {
  #context;
  #splitter;
  #analysers;
  #samples = new Float32Array(WINDOW_SAMPLES);
  /** @type {MediaStreamAudioSourceNode | null} */
  #source = null;
  #meters = [new PeakMeter(), new PeakMeter()];

  /** @param {AudioContext} context made, or resumed, within a tap */
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
   * Measures this stream from now on, and no other.
   * @param {MediaStream} stream
   */
  attach(stream) {
    this.detach();
    this.#source = this.#context.createMediaStreamSource(stream);
    this.#source.connect(this.#splitter);
  }

  /** Measures nothing. */
  detach() {
    this.#source?.disconnect();
    this.#source = null;
  }

  /** Some browsers put the context to sleep with the page, or when a call comes in. */
  wake() {
    if (this.#context.state !== "running") this.#context.resume().catch(() => {});
  }

  /**
   * @param {number} now_ms
   * @returns {Level[]} left, right
   */
  read(now_ms) {
    return this.#analysers.map((analyser, channel) => {
      analyser.getFloatTimeDomainData(this.#samples);
      return this.#meters[channel].update(dbfsOf(peakOf(this.#samples)), now_ms);
    });
  }
}
