/**
 * The value of an element with `role="meter"`, for assistive technology.
 */

import { FLOOR_DBFS } from "./meter.js";

/**
 * @param {HTMLElement} element
 * @param {number} dbfs
 * @returns {number} the value shown, within the meter's range
 */
export function setMeterValue(element, dbfs) {
  const value = Math.round(Math.min(0, Math.max(FLOOR_DBFS, dbfs)));
  if (element.getAttribute("aria-valuenow") !== String(value)) {
    element.setAttribute("aria-valuenow", String(value));
    element.setAttribute("aria-valuetext", value === FLOOR_DBFS ? "silence" : `${value} decibels`);
  }
  return value;
}
