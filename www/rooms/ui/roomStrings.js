/**
 * Every sentence of a room that depends on what happens: states in, plain words out. Pure, so that a test can read them
 * all.
 */

import { doorWords } from "../../shared/accessStrings.js";

/** @typedef {import("../media/devices.js").Device} Device */
/** @typedef {import("../media/devices.js").Trouble} Trouble */

/** @type {Record<Device, string>} */
const NAMES = { microphone: "microphone", camera: "camera", screen: "screen" };

/**
 * Why a device cannot be had, and what to do.
 * @param {Device} device
 * @param {Trouble} trouble
 * @returns {string}
 */
function why(device, trouble) {
  const name = NAMES[device];
  switch (trouble) {
    case "refused":
      return device === "screen"
        ? "Your browser or system does not allow this page to see the screen. On a Mac, allow it in the system’s settings for privacy."
        : `Your browser does not let this page use the ${name}. Allow it by the sign beside the address, or in the browser’s settings for this page, then ask again.`;
    case "missing":
      return `No ${name} was found. Plug one in, and it appears here.`;
    case "busy":
      return `The ${name} does not start. Another program may be using it: close that one, then ask again.`;
    case "gone":
      return `The ${name} was unplugged.`;
    case "insecure":
      return insecureWords(location.host, location.port);
    case "unsupported":
      return `This browser gives no ${name} to pages. A current Firefox, Chrome, Edge or Safari does.`;
    case "failed":
      return `The ${name} does not start. Choose another one, or ask again.`;
  }
}

/**
 * Browsers hide camera and microphone from pages that came over plain HTTP from another computer.
 * @param {string} host with its port
 * @param {string} port
 * @returns {string}
 */
export function insecureWords(host, port) {
  const here = `http://localhost${port === "" ? "" : `:${port}`}`;
  return `Browsers give camera and microphone only to pages that came securely. Open https://${host} instead, if the host offers it; on the host itself, ${here} does too. You can still enter to watch and listen.`;
}

/**
 * All troubles in one or two sentences: what concerns both devices is said once.
 * @param {Partial<Record<Device, Trouble>>} troubles
 * @returns {string} empty while all is well
 */
export function troubleWords({ microphone, camera, screen }) {
  const words = [];
  if (microphone !== undefined && microphone === camera) {
    if (microphone === "insecure") words.push(why("microphone", "insecure"));
    else {
      words.push(why("camera", microphone)
        .replace("No camera was found. Plug one in, and it appears here.", "No camera and no microphone were found. Plug one in, and it appears here.")
        .replace("The camera does not start. Another program may be using it", "Camera and microphone do not start. Another program may be using them")
        .replace("the camera", "camera and microphone")
        .replace("gives no camera", "gives neither camera nor microphone")
        .replace("The camera was", "Camera and microphone were")
        .replace("The camera does", "Camera and microphone do"));
    }
  } else {
    if (camera !== undefined) words.push(why("camera", camera));
    if (microphone !== undefined) words.push(why("microphone", microphone));
  }
  if (screen !== undefined) words.push(why("screen", screen));
  return words.join(" ");
}

/**
 * What the button says that leads into the room.
 * @param {boolean} microphone
 * @param {boolean} camera
 * @returns {string}
 */
export function enterWords(microphone, camera) {
  return microphone || camera ? "Enter the room" : "Enter to watch and listen";
}

/**
 * @param {number} people oneself included
 * @returns {string}
 */
export function peopleWords(people) {
  return people === 1 ? "only you" : `${people} people`;
}

/**
 * While the line to the server is away.
 * @param {import("../signaling.js").LineState} line
 * @param {boolean} online
 * @returns {string} empty while it stands
 */
export function awayWords(line, online) {
  if (line.kind !== "waiting" && line.kind !== "connecting") return "";
  if (!online) return "This device is offline. Trying again as soon as it is back.";
  return "The host does not answer. Pictures and sound go on, but nobody can come in, and chat waits. Trying again …";
}

/**
 * @typedef {object} Farewell What is said after one is out, and the way back in.
 * @property {string} title
 * @property {string} words
 * @property {"before" | "inside" | "knock" | null} way to the door, straight in, to ask again whether one may; or none
 * @property {string} label of the button that goes there
 */

/**
 * Why one is not let in, or not any more.
 * @param {{ code: string, message: string, retry_after_ms: number }} refusal
 * @param {boolean} by_me it was one's own doing
 * @returns {Farewell}
 */
export function farewellWords({ code, message, retry_after_ms }, by_me = false) {
  const nowhere = /** @type {const} */ ({ way: null, label: "" });
  const again = /** @type {const} */ ({ way: "inside", label: "Try again" });
  switch (code) {
    case "replaced":
      return { title: "You are elsewhere now.", words: "This place in the room was taken over by another page of yours.", way: "before", label: "Come back" };
    case "room-full":
      return { title: "This room is full.", words: "Wait until somebody leaves, or choose another room.", ...again };
    case "room-locked":
      return { title: "This room is locked.", words: "Ask somebody inside to let you in.", ...again };
    case "removed":
      return { title: "A host removed you from this room.", words: "If you think that was a mistake, ask those who are in it.", ...nowhere };
    case "room-ended":
      return by_me
        ? { title: "You ended this room.", words: "Everybody is out.", ...nowhere }
        : { title: "A host ended this room.", words: "Everybody is out.", ...nowhere };
    case "token-required":
    case "token-invalid":
    case "not-allowed":
    case "too-many-failures":
    case "foreign-origin":
      return { ...doorWords(code, "room", retry_after_ms), way: "knock", label: "Try again" };
    default:
      return { title: "The host said no.", words: message, way: "knock", label: "Try again" };
  }
}

/**
 * @param {string} room
 * @returns {Farewell}
 */
export function leftWords(room) {
  return { title: "You have left.", words: `Room ${room}. The link stays the same.`, way: "before", label: "Come back" };
}

/** What the button of the lock says: how it is, not what it does. @param {boolean} locked */
export function lockWords(locked) {
  return locked ? "Room locked" : "Room open";
}

/** @param {boolean} by_invitation the address alone does not open the room, so that it is of no use to others */
export function aloneWords(by_invitation) {
  return by_invitation ? "Nobody else is here yet. Only those who were invited can come in." : "Nobody else is here yet.";
}

/**
 * @typedef {object} Question
 * @property {string} question
 * @property {string} words
 * @property {string} yes
 */

/**
 * @param {string} called
 * @param {boolean} locked
 * @returns {Question}
 */
export function removeQuestion(called, locked) {
  const words = locked
    ? "The room is locked: there is no coming back while it is."
    : `As long as the room is not locked, ${called} can come in again by the link.`;
  return { question: `Remove ${called} from this room?`, words, yes: "Remove" };
}

/** @returns {Question} */
export function endQuestion() {
  return { question: "End this room for everybody?", words: "All who are in it are put out, you too.", yes: "End it for everybody" };
}

/**
 * @param {import("../peer/peer.js").LineState} line
 * @returns {string}
 */
export function lineWords(line) {
  return { connecting: "Connecting …", connected: "", repairing: "Reconnecting …" }[line];
}

/**
 * @param {number | null} bps
 * @returns {string}
 */
export function rateWords(bps) {
  if (bps === null) return "–";
  return bps >= 1_000_000 ? `${(bps / 1_000_000).toFixed(1)} Mbit/s` : `${Math.round(bps / 1000)} kbit/s`;
}

/**
 * The rows of a tile's figures.
 * @param {import("../peer/peerStats.js").Figures} figures
 * @returns {[string, string][]}
 */
export function figureRows(figures) {
  /** @type {[string, string][]} */
  const rows = [];
  if (figures.resolution !== "") {
    rows.push(["Picture", `${figures.resolution}, ${figures.rate_fps === null ? "–" : Math.round(figures.rate_fps)}/s`]);
  }
  rows.push(["In", rateWords(figures.in_bps)], ["Out", rateWords(figures.out_bps)]);
  rows.push(["Loss", figures.loss_percent === null ? "–" : `${figures.loss_percent.toFixed(1)} %`]);
  rows.push(["Round trip", figures.round_trip_ms === null ? "–" : `${Math.round(figures.round_trip_ms)} ms`]);
  rows.push(["Path", figures.path ?? "–"]);
  return rows;
}
