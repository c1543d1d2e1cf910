/**
 * Volume sliders, from 0 to 100. Pure.
 */

/**
 * The volume of a media element for a slider position. Perceived loudness grows roughly with the square, so the middle of
 * the slider sounds half as loud.
 * @param {number} percent
 * @returns {number} 0 to 1
 */
export function volumeOf(percent) {
  return (percent / 100) ** 2;
}
