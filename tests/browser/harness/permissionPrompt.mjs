/**
 * A permission prompt that stays open until the test answers it. A test passes `holdPrompts` to `Participant.open`.
 */

import { waitFor } from "./waitFor.mjs";

/** Runs in the page before its own scripts. */
export function holdPrompts() {
  window.prompts = [];
  window.openedTracks = [];
  const { mediaDevices } = navigator;
  if (mediaDevices === undefined) return;
  // The test browsers grant everything, and would say so.
  navigator.permissions.query = async () => ({ state: "prompt" });
  const getUserMedia = mediaDevices.getUserMedia.bind(mediaDevices);
  mediaDevices.getUserMedia = (constraints) => new Promise((resolve, reject) => {
    window.prompts.push({
      grant: () => void getUserMedia(constraints).then((stream) => {
        window.openedTracks.push(...stream.getTracks());
        resolve(stream);
      }, reject),
      deny: () => reject(new DOMException("Permission denied", "NotAllowedError")),
    });
  });
}

/**
 * Waits until so many prompts were shown in all, and answers the last one.
 * @param {import("puppeteer-core").Page} page
 * @param {number} count
 * @param {"grant" | "deny"} answer
 */
export async function answerPrompt(page, count, answer) {
  await waitFor(`prompt ${count}`, async () => (await promptCount(page)) >= count);
  await page.evaluate((method) => window.prompts.at(-1)[method](), answer);
}

/** @param {import("puppeteer-core").Page} page */
export const promptCount = (page) => page.evaluate(() => window.prompts.length);
