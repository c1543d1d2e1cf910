/**
 * Where a piece of sound is most like another. Pure.
 */

/** Samples between two lags of the first search, and between two samples that are compared in it. */
const STEP = 4;
/** Among lags that fit nearly as well as the best one, the first of the search is taken. */
const NEARLY = 0.98;

/** Below this peak nobody hears anything: -70 dBFS. */
const INAUDIBLE = 0.0003;

/**
 * @param {Float32Array[]} rings their size is a power of two
 * @param {number} at
 * @param {number} length
 */
export function isAudible(rings, at, length) {
  const mask = rings[0].length - 1;
  return rings.some((ring) => {
    for (let n = 0; n < length; n += 1) if (Math.abs(ring[(at + n) & mask]) > INAUDIBLE) return true;
    return false;
  });
}

/**
 * @typedef {object} Search
 * @property {number} at index of the piece
 * @property {number} length of the piece
 * @property {number} from first lag, which is preferred
 * @property {number} to last lag, greater or less than the first
 */

/**
 * Finds the lag at which a piece of a ring is most like the ring's content, by normalized cross-correlation.
 * @param {Float32Array[]} rings one for each channel; their size is a power of two
 * @param {Search} search
 * @returns {number} the first lag of the search where nothing is heard
 */
export function bestLag(rings, { at, length, from, to }) {
  if (!isAudible(rings, at, length)) return from;
  const mask = rings[0].length - 1;
  const sample = (/** @type {number} */ index) => rings[0][index & mask] + rings[1][index & mask];
  const likeness = (/** @type {number} */ lag, /** @type {number} */ step) => {
    let product = 0;
    let energy = 1e-9;
    for (let n = 0; n < length; n += step) {
      const other = sample(at + lag + n);
      product += sample(at + n) * other;
      energy += other * other;
    }
    return product / Math.sqrt(energy);
  };

  const direction = Math.sign(to - from);
  const coarse = Array.from({ length: Math.floor(Math.abs(to - from) / STEP) + 1 }, (_, n) => likeness(from + n * direction * STEP, STEP));
  const best = Math.max(...coarse);
  const start = from + coarse.findIndex((value) => value >= (best > 0 ? best * NEARLY : best)) * direction * STEP;

  let found = { lag: start, value: -Infinity };
  const [least, greatest] = [Math.max(Math.min(from, to), start - STEP + 1), Math.min(Math.max(from, to), start + STEP - 1)];
  for (let lag = least; lag <= greatest; lag += 1) {
    const value = likeness(lag, 1);
    if (value > found.value) found = { lag, value };
  }
  return found.lag;
}
