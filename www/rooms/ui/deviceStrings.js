/**
 * Why a device cannot be used, and what to do. Pure.
 */

/** @typedef {import("../media/devices.js").Device} Device */
/** @typedef {import("../media/devices.js").DeviceProblem} DeviceProblem */

/**
 * @typedef {object} PageAddress
 * @property {string} host with the port
 * @property {string} port
 */

/** What others notice while a device is interrupted. @type {Record<string, string>} */
const INTERRUPTED = {
  microphone: "do not hear you",
  camera: "do not see you",
  "camera and microphone": "neither see nor hear you",
};

/**
 * Browsers hide camera and microphone from pages that were loaded over plain HTTP from another computer.
 * @param {PageAddress} address
 * @returns {string}
 */
function insecureSentence({ host, port }) {
  const local = `http://localhost${port === "" ? "" : `:${port}`}`;
  return `Browsers allow camera and microphone only on secure pages. Open https://${host} instead, if the server offers it; on the server’s own computer, ${local} works too. You can still join to watch and listen.`;
}

/**
 * @param {DeviceProblem} problem
 * @param {string} device "camera", "microphone", or "camera and microphone"
 * @param {PageAddress} address
 * @returns {string}
 */
function sentenceFor(problem, device, address) {
  const plural = device.includes(" and ");
  const capitalized = plural ? "Camera and microphone" : `The ${device}`;
  switch (problem) {
    case "denied":
      return `Your browser does not allow this page to use ${plural ? device : `the ${device}`}. Allow it with the icon beside the address, or in the browser’s settings for this page, then try again.`;
    case "not-found":
      return plural
        ? "No camera and no microphone were found. Plug one in, and it appears here."
        : `No ${device} was found. Plug one in, and it appears here.`;
    case "busy":
      return `${capitalized} ${plural ? "do" : "does"} not start. Another program may be using ${plural ? "them" : "it"}: close that program, then try again.`;
    case "unplugged":
      return `${capitalized} ${plural ? "were" : "was"} unplugged.`;
    case "interrupted":
      return `${capitalized} ${plural ? "are" : "is"} interrupted, for example by a phone call, and ${plural ? "go" : "goes"} on by ${plural ? "themselves" : "itself"}. Until then others ${INTERRUPTED[device]}.`;
    case "insecure":
      return insecureSentence(address);
    case "unsupported":
      return `This browser does not offer ${plural ? device : `the ${device}`} to pages. Use a current Firefox, Chrome, Edge or Safari.`;
    case "failed":
      return `${capitalized} ${plural ? "do" : "does"} not start. Choose another one, or try again.`;
  }
}

/** @param {DeviceProblem} problem */
function screenSentence(problem) {
  switch (problem) {
    case "denied":
      return "Your browser or system does not allow this page to see the screen. On a Mac, allow it in the privacy settings of the system.";
    case "unsupported":
    case "insecure":
      return "This browser does not offer the screen to pages. Use a current Firefox, Chrome, Edge or Safari.";
    default:
      return "The screen cannot be shared. Choose another one, or try again.";
  }
}

/**
 * All problems in one or two sentences. A problem of both camera and microphone is one sentence.
 * @param {Partial<Record<Device, DeviceProblem>>} problems
 * @param {PageAddress} address
 * @returns {string} empty if there are none
 */
export function deviceProblems({ microphone, camera, screen }, address) {
  const sentences = [];
  if (microphone !== undefined && microphone === camera) {
    sentences.push(sentenceFor(microphone, "camera and microphone", address));
  } else {
    if (camera !== undefined) sentences.push(sentenceFor(camera, "camera", address));
    if (microphone !== undefined) sentences.push(sentenceFor(microphone, "microphone", address));
  }
  if (screen !== undefined) sentences.push(screenSentence(screen));
  return sentences.join(" ");
}

/**
 * What to do while devices are being opened.
 * @param {{ microphone: boolean, camera: boolean }} opening
 * @returns {string} empty if none is
 */
export function openingSentence({ microphone, camera }) {
  if (!microphone && !camera) return "";
  const devices = ["camera", "microphone"].filter((device) => (device === "camera" ? camera : microphone)).join(" and ");
  return `Opening your ${devices} … If your browser asks for permission, allow it.`;
}
