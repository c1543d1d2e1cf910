/**
 * Texts of the front page. Pure.
 */

/**
 * @param {number} seconds
 * @returns {string}
 */
export function uptimeOf(seconds) {
  if (seconds < 90) return "just started";
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `up for ${minutes} minutes`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `up for ${hours} hours` : `up for ${Math.round(hours / 24)} days`;
}

/**
 * What the cards of the rooms say.
 * @param {boolean} isPrivate only invited people can join
 * @returns {{ mainRoom: string, namedRoom: string }}
 */
export function roomStrings(isPrivate) {
  return isPrivate
    ? { mainRoom: INVITED_ONLY, namedRoom: "Only people who are invited can join." }
    : { mainRoom: "Always open", namedRoom: "Anyone who has its name or link can join." };
}

export const INVITED_ONLY = "For invited people";
