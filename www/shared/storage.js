/**
 * Settings in localStorage. Private windows may refuse access: then nothing is stored.
 */

const PREFIX = "roomtone.";

/**
 * @param {string} key
 * @returns {string | null}
 */
export function loadSetting(key) {
  try {
    return localStorage.getItem(PREFIX + key);
  } catch {
    return null;
  }
}

/**
 * @param {string} key
 * @param {string | null} value null removes it
 */
export function saveSetting(key, value) {
  try {
    if (value === null) localStorage.removeItem(PREFIX + key);
    else localStorage.setItem(PREFIX + key, value);
  } catch {
    // The storage is full or access is refused.
  }
}
