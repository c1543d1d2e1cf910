/**
 * The jitter buffer of direct playout: decoded sound on its way to the output. Pure.
 *
 * It holds as little as the line permits. When it runs empty, or a packet is missing, it repeats the last period of the sound
 * (waveform substitution, as in ITU-T G.711 Appendix I); so the delay grows by as much as the line was late. What is always
 * left over is taken out again, a whole number of periods at once, so that neither can be heard. Two clocks that run unequally
 * need the same: a period more or less from time to time.
 */

import { bestLag, isAudible } from "./waveform.js";

/** Samples per second of all that goes through. */
export const SAMPLE_RATE_HZ = 48_000;
const CHANNELS = 2;
/** Samples that are kept of each channel, played ones included: 1.4 s. A power of two. */
const CAPACITY = 1 << 16;
const MASK = CAPACITY - 1;
/** What should be left at the worst moment. A period is added before it is less than the second. */
const MARGIN = 144;
const MIN_MARGIN = 48;
/** What must be there beyond one packet to begin. Until the first span has shown what is needed, more than less. */
const FIRST_MARGIN = 720;
/** The least fill is remembered for some spans; the first one is short. */
const SPAN = 2 * SAMPLE_RATE_HZ;
const FIRST_SPAN = SAMPLE_RATE_HZ / 4;
/**
 * How many spans: few, so that one late packet is soon forgotten; more each time the buffer runs empty after something was taken
 * out of it, so that on an uneven line the next late packet is not too late again.
 */
const FEWEST_SPANS = 2;
const MOST_SPANS = 16;
const MORE_SPANS = 3;
const FEWER_SPANS = 0.2;
/** Two pieces of sound are joined by a cross-fade of this length. */
const FADE = 240;
/** Shortest and longest period that is repeated or taken out, or multiple of one: 2.5 and 15 ms. */
const MIN_LAG = 120;
const MAX_LAG = 720;
/** A substituted piece keeps its level for so long, and is silent after so long. */
const STEADY = 480;
const SILENT = 2880;
/** More than this beyond what the last span needed is taken out at once: 60 ms. */
const MAX_SPARE = 2880;
/** A step in the timestamps longer than this is a new stream, not a loss. */
const MAX_GAP = SAMPLE_RATE_HZ / 2;

/**
 * @typedef {object} Counters Totals since the start, in samples of one channel.
 * @property {number} played all that was asked for while there was sound to play
 * @property {number} delay sum over these of what was in the buffer at the time
 * @property {number} concealed audible samples that were made up
 */

export class PlayoutBuffer {
  /** @type {Counters} */
  counters = { played: 0, delay: 0, concealed: 0 };

  #rings = Array.from({ length: CHANNELS }, () => new Float32Array(CAPACITY));
  /** Indexes count from the start; the rings are addressed modulo their size. */
  #read = 0;
  #write = 0;
  /** Nothing is played before there is enough: at the start, and after a silence. */
  #waiting = true;
  /** Length of the last piece that was pushed. */
  #pieceLength = 0;

  /** Where the next piece begins if nothing is missing. @type {number | null} */
  #nextPosition = null;
  /** Samples made up since the last real one, silence at first. Their source is the period before `#madeUpFrom`. */
  #madeUp = SILENT;
  #madeUpFrom = 0;
  #period = MIN_LAG;
  #audible = false;
  /** Samples of them that were made up because the buffer ran empty, before anybody knew whether a piece is lost or late. */
  #inserted = 0;

  /** Least fill in each of the last spans, the present one last. */
  #leastFills = [Infinity];
  #spanEnd = 0;
  #spans = FEWEST_SPANS;
  /** Since the buffer last ran empty; what the start has left over does not count. */
  #hasTakenOut = false;

  /** Samples that can be played. */
  get fill() {
    return this.#write - this.#read;
  }

  /**
   * Adds decoded sound. Pieces come in order.
   * @param {number} position of the first sample, on the stream's own timeline
   * @param {Float32Array[]} channels left and right, of equal length
   */
  push(position, channels) {
    this.#pieceLength = channels[0].length;
    this.#fillGap(position - (this.#nextPosition ?? position));
    this.#nextPosition = position + this.#pieceLength;
    // Nobody plays: the oldest sound is dropped.
    if (this.fill + this.#pieceLength > CAPACITY / 2) this.#read = this.#write;
    this.#append(channels);
    if (!this.#waiting && this.counters.played >= this.#spanEnd) this.#endSpan();
  }

  /** @param {number} gap between the end of the last piece and the start of this one */
  #fillGap(gap) {
    const inserted = this.#inserted;
    this.#inserted = 0;
    if (gap < 0 || gap > MAX_GAP) {
      // Another stream. What the last one has left over is not played after a silence.
      if (this.#waiting) this.#read = this.#write;
      else if (this.#madeUp === 0) this.#makeUp(1, false);
    } else if (gap === 0 || this.#waiting) {
      return;
    } else if (inserted <= gap) {
      this.#makeUp(gap - inserted);
    } else {
      // More was made up than is lost. What is not played yet goes.
      const surplus = Math.min(inserted - gap, this.fill);
      this.#write -= surplus;
      this.#madeUp -= surplus;
    }
  }

  /** @param {Float32Array[]} channels */
  #append(channels) {
    const length = channels[0].length;
    const start = this.#write;
    const faded = this.#madeUp > 0 ? Math.min(FADE, length) : 0;
    if (faded > 0) this.#makeUp(faded, false);
    this.#rings.forEach((ring, channel) => {
      const samples = channels[channel];
      for (let n = 0; n < faded; n += 1) {
        const at = (start + n) & MASK;
        ring[at] += (samples[n] - ring[at]) * ((n + 0.5) / faded);
      }
      for (let n = faded; n < length; n += 1) ring[(start + n) & MASK] = samples[n];
    });
    this.#write = start + length;
    this.#madeUp = 0;
  }

  /**
   * Appends sound that continues the last period.
   * @param {number} count
   * @param {boolean} isCounted false for what a cross-fade covers
   */
  #makeUp(count, isCounted = true) {
    if (this.#madeUp === 0) this.#beginPeriod();
    for (let n = 0; n < count; n += 1) {
      const age = this.#madeUp + n;
      const gain = Math.min(1, Math.max(0, (SILENT - age) / (SILENT - STEADY)));
      const from = (this.#madeUpFrom - this.#period + (age % this.#period)) & MASK;
      const to = (this.#write + n) & MASK;
      for (const ring of this.#rings) ring[to] = ring[from] * gain;
    }
    this.#write += count;
    this.#madeUp += count;
    if (isCounted && this.#audible) this.counters.concealed += count;
  }

  #beginPeriod() {
    this.#madeUpFrom = this.#write;
    const [at, length] = [this.#write - FADE, FADE];
    this.#period = -bestLag(this.#rings, { at, length, from: -MIN_LAG, to: -MAX_LAG });
    this.#audible = isAudible(this.#rings, at, length);
  }

  /**
   * Plays: fills the arrays with the next samples, or with silence.
   * @param {Float32Array[]} channels left and right, of equal length
   */
  pull(channels) {
    const length = channels[0].length;
    // Made-up sound has faded away: nothing arrives. What comes next may begin after a silence.
    if (this.#madeUp >= SILENT) this.#waiting = true;
    if (this.#waiting && this.fill < this.#pieceLength + FIRST_MARGIN) {
      for (const samples of channels) samples.fill(0);
      return;
    }
    if (this.#waiting) this.#begin();
    this.counters.played += length;
    this.counters.delay += this.fill * length;
    this.#insertMissing(length);
    this.#rings.forEach((ring, channel) => {
      for (let n = 0; n < length; n += 1) channels[channel][n] = ring[(this.#read + n) & MASK];
    });
    this.#read += length;
    this.#remember();
  }

  /** Begins with the newest sound. */
  #begin() {
    this.#waiting = false;
    this.#read = Math.max(this.#read, this.#write - this.#pieceLength - FIRST_MARGIN);
    this.#leastFills = [Infinity];
    this.#spanEnd = this.counters.played + FIRST_SPAN;
  }

  /** Makes up what is missing to play so much: whole periods, so that what comes late joins without a seam. @param {number} length */
  #insertMissing(length) {
    if (this.fill < length && this.#hasTakenOut) {
      this.#spans = Math.min(this.#spans + MORE_SPANS, MOST_SPANS);
      this.#hasTakenOut = false;
    }
    while (this.fill < length) {
      if (this.#madeUp === 0) this.#beginPeriod();
      this.#makeUp(this.#period);
      this.#inserted += this.#period;
    }
  }

  #remember() {
    const last = this.#leastFills.length - 1;
    this.#leastFills[last] = Math.min(this.#leastFills[last], this.fill);
  }

  /** Takes out what was never needed for as long as is remembered, or adds a little before the buffer runs empty. */
  #endSpan() {
    this.#spanEnd = this.counters.played + SPAN;
    const isFirst = this.#leastFills.length === 1;
    const latest = this.#leastFills[this.#leastFills.length - 1];
    const unneeded = Math.max(Math.min(...this.#leastFills), latest - MAX_SPARE) - MARGIN;
    const excess = Math.min(unneeded, this.fill - FADE);
    if (excess >= MIN_LAG) {
      this.#skip(excess, Math.max(MIN_LAG, excess - MAX_LAG));
      this.#hasTakenOut = !isFirst;
    } else if (latest < MIN_MARGIN) {
      this.#skip(-MIN_LAG, -MAX_LAG);
    }
    this.#spans = Math.max(this.#spans - FEWER_SPANS, FEWEST_SPANS);
    this.#leastFills = [...this.#leastFills, Infinity].slice(-Math.floor(this.#spans));
  }

  /**
   * Goes on later in the sound, or earlier, by a cross-fade. By how much says the search.
   * @param {number} from
   * @param {number} to
   */
  #skip(from, to) {
    const lag = bestLag(this.#rings, { at: this.#read, length: FADE, from, to });
    const read = this.#read;
    for (const ring of this.#rings) {
      const faded = Array.from({ length: FADE }, (_, n) => {
        const [from, to] = [ring[(read + n) & MASK], ring[(read + lag + n) & MASK]];
        return from + (to - from) * ((n + 0.5) / FADE);
      });
      faded.forEach((sample, n) => { ring[(read + lag + n) & MASK] = sample; });
    }
    this.#read += lag;
    this.#leastFills = this.#leastFills.map((least) => least - lag);
  }
}
