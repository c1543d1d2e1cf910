/**
 * The sum of the latest values. Pure.
 */
export class SlidingSum {
  #size;
  /** @type {number[]} */
  #values = [];

  /** @param {number} size how many values are summed */
  constructor(size) {
    this.#size = size;
  }

  /**
   * @param {number} value
   * @returns {number} the sum, with this value
   */
  add(value) {
    this.#values = [...this.#values, value].slice(-this.#size);
    return this.#values.reduce((sum, each) => sum + each, 0);
  }

  clear() {
    this.#values = [];
  }
}
