/**
 * The listening page: the module of `/listen` that touches `document`. It turns taps into calls of the tuner, and
 * what the tuner, the meter and the host say into words, marks and figures.
 *
 * Sound comes out of the `<audio>` element alone; Web Audio only looks at it.
 */

import { knock } from "../shared/checkAccess.js";
import { doorWords } from "../shared/accessStrings.js";
import { Keys } from "../shared/tokenStore.js";
import { FLOOR_DBFS, StereoMeter, marksOf } from "../shared/meter.js";
import { part, write } from "../shared/dom.js";
import { askHost, endpointOf, stationOf } from "../shared/status.js";
import { figuresOf } from "./receiverStats.js";
import { Tuner } from "./player.js";
import { countdownOf, decibelsOf, figureOf, originOf, titleOf, wordsOf } from "./playerStrings.js";

/** How often the host is asked how it is, while live. */
const ASK_MS = 5000;
/** How often the digits of the level change: as fast as one can read them. */
const DIGITS_MS = 250;
/** How often assistive technology is told the level: it may read each change aloud. */
const ARIA_MS = 2000;
/** Packets of this length when the host does not say. */
const PACKET_MS = 20;
/** A tap arrives as several events: those within this time are one. */
const SAME_TAP_MS = 500;
const VOLUME_KEY = "roomtone.volume";

const keys = new Keys();
/** The key of the link just opened. */
let fresh = keys.take();
const key = () => keys.for("listen");

const player = part("player", HTMLElement);
const power = part("power", HTMLButtonElement);
const audio = part("audio", HTMLAudioElement);
const volume = part("volume", HTMLInputElement);
const dial = part("dial", HTMLElement);
const channels = ["left", "right"].map((side) => ({
  side,
  meter: part(side, HTMLElement),
  digits: part(`${side}-level`, HTMLElement),
}));

const station_name = new URLSearchParams(location.search).get("station");
/** @type {import("../shared/status.js").Station | null} */
let station = null;
let tap_needed = false;
/** When a tap was used up for playing what the browser had refused. */
let rescued_ms = -Infinity;
/** The slider's place before M muted it. */
let unmuted = "100";

/** @type {AudioContext | null} */
let context = null;
/** @type {StereoMeter | null} */
let meter = null;
/** Whoever asked for less motion sees the marks change as rarely as the digits. */
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let picture = 0;
let digits_ms = 0;
let aria_ms = 0;

const tuner = new Tuner({ endpoint: endpointOf(station_name), key }, {
  onState: (state) => {
    show();
    if (state.kind === "live") {
      void ask();
      play();
    }
    if (state.kind === "idle" || state.kind === "failed") clearFigures();
    if (state.kind === "failed" && state.reason === "uninvited") void turnedAway(state.detail);
    draw();
  },
  onStream: tuneIn,
  onHistory: (history) => {
    const figures = figuresOf(history, station?.encoding.packet_ms ?? PACKET_MS);
    write("delay", figureOf(figures.delay_ms, 0));
    write("jitter", figureOf(figures.jitter_ms, 1));
    write("loss", figureOf(figures.loss_percent, 1));
  },
});

// --- the door --------------------------------------------------------------------------------------------------------

async function enter() {
  if (await arrive()) await ask();
}

/** Asks whether we may listen, and says so if not. @returns {Promise<boolean>} */
async function arrive() {
  const answer = await knock(keys, "listen", { fresh });
  fresh = null;
  if (answer.kind === "refused") refuse(answer.code, answer.retry_after_ms);
  else if (player.hidden) welcome();
  return answer.kind !== "refused";
}

/**
 * In place of the controls: why nothing is to be heard, and what to do.
 * @param {string} code
 * @param {number} retry_after_ms
 */
function refuse(code, retry_after_ms = 0) {
  const { title, words } = doorWords(code, "station", retry_after_ms);
  write("refused-title", title);
  write("refused-words", words);
  tuner.stop();
  player.hidden = true;
  part("refused", HTMLElement).hidden = false;
  part("refused-title", HTMLElement).focus();
}

function welcome() {
  part("refused", HTMLElement).hidden = true;
  player.hidden = false;
  power.focus();
}

/** The host refused the sound: with another key, or none, there may be some. @param {string} code */
async function turnedAway(code) {
  const held = key();
  if (!(await arrive())) return;
  if (key() !== held) tuner.start();
  else refuse(code);
}

// --- words -----------------------------------------------------------------------------------------------------------

function show() {
  const { state } = tuner;
  const words = wordsOf(state, { tap_needed, online: navigator.onLine, station, muted: volume.value === "0" });
  write("status", words.status);
  write("advice", words.advice);
  write("power-label", tuner.wanted ? "Stop" : "Start");
  player.dataset.state = state.kind;
  if ("mediaSession" in navigator) navigator.mediaSession.playbackState = tuner.wanted ? "playing" : "none";
  countDown();
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let countdown_timer;
function countDown() {
  clearTimeout(countdown_timer);
  write("countdown", countdownOf(tuner.state, performance.now()));
  if (tuner.state.kind === "waiting") countdown_timer = setTimeout(countDown, 250);
}

function clearFigures() {
  for (const id of ["delay", "jitter", "loss"]) write(id, "–");
}

/** @type {ReturnType<typeof setTimeout> | undefined} */
let ask_timer;
async function ask() {
  clearTimeout(ask_timer);
  station = stationOf(await askHost(key()), station_name) ?? station;
  if (station !== null) {
    write("origin", originOf(station));
    write("title", titleOf(station));
    write("listeners", String(station.listeners));
    tellSystem();
  }
  show();
  clearTimeout(ask_timer);
  if (tuner.state.kind === "live") ask_timer = setTimeout(ask, ASK_MS);
}

// --- sound -----------------------------------------------------------------------------------------------------------

/** @param {MediaStream | null} stream */
function tuneIn(stream) {
  audio.srcObject = stream;
  tap_needed = false;
  if (stream === null) {
    meter?.detach();
    return;
  }
  play();
  measure(stream);
}

/** A browser may refuse to play without a tap, or play without saying so: then it is said, and the next tap plays. */
function play() {
  audio.play().then(
    () => {
      tap_needed = false;
      show();
    },
    (error) => {
      // AbortError is our own doing: the stream was taken away before its first sample.
      if (error.name !== "NotAllowedError" || !tuner.wanted) return;
      tap_needed = true;
      show();
    },
  );
}

/** @param {Event} event */
function tapped(event) {
  meter?.wake();
  if (!tap_needed || !tuner.wanted) return;
  rescued_ms = event.timeStamp;
  play();
}

/**
 * Levels are an extra: where Web Audio fails, the sound still plays.
 * @param {MediaStream} stream
 */
function measure(stream) {
  try {
    context ??= new AudioContext({ latencyHint: "playback" });
    meter ??= new StereoMeter(context);
    meter.wake();
    meter.attach(stream);
  } catch (error) {
    console.warn("no level meters:", error);
  }
}

// --- meters ----------------------------------------------------------------------------------------------------------

/** Starts the pictures, or lets them end: only while live, and only while somebody looks. */
function draw() {
  const wanted = tuner.state.kind === "live" && meter !== null && document.visibilityState === "visible";
  if (wanted && picture === 0) picture = requestAnimationFrame(paint);
  if (!wanted && picture !== 0) {
    cancelAnimationFrame(picture);
    picture = 0;
    rest();
  }
}

/** @param {number} now_ms */
function paint(now_ms) {
  picture = requestAnimationFrame(paint);
  if (meter === null) return;
  const digits_due = now_ms - digits_ms >= DIGITS_MS;
  if (calm.matches && !digits_due) return;
  const aria_due = now_ms - aria_ms >= ARIA_MS;
  meter.read(now_ms).forEach(({ level_dbfs, hold_dbfs }, index) => {
    const channel = channels[index];
    light(channel.side, marksOf(level_dbfs), marksOf(hold_dbfs));
    if (digits_due) channel.digits.textContent = decibelsOf(hold_dbfs);
    if (aria_due) tellLevel(channel.meter, hold_dbfs);
  });
  if (digits_due) digits_ms = now_ms;
  if (aria_due) aria_ms = now_ms;
}

/**
 * Lights whole marks only, each of which is 0.4 of a decibel wide.
 * @param {string} side
 * @param {number} marks
 * @param {number} held
 */
function light(side, marks, held) {
  dial.style.setProperty(`--${side}`, marks > 0 ? `${Math.round(marks) + 0.4}` : "0");
  dial.style.setProperty(`--${side}-held`, `${Math.round(held)}`);
}

function rest() {
  for (const { side, meter: element, digits } of channels) {
    light(side, 0, 0);
    digits.textContent = "−∞";
    tellLevel(element, -Infinity);
  }
}

/**
 * @param {HTMLElement} element
 * @param {number} dbfs
 */
function tellLevel(element, dbfs) {
  const within = Math.round(Math.min(0, Math.max(FLOOR_DBFS, dbfs)));
  element.setAttribute("aria-valuenow", String(within));
  element.setAttribute("aria-valuetext", within === FLOOR_DBFS ? "silence" : `${within} decibels`);
}

// --- volume ----------------------------------------------------------------------------------------------------------

function setVolume() {
  // Loudness goes roughly with the square of the slider, so that its middle sounds like half.
  const part_of_full = Number(volume.value) / 100;
  audio.volume = part_of_full ** 2;
  audio.muted = part_of_full === 0;
  write("volume-value", `${volume.value} %`);
  volume.style.setProperty("--value", volume.value);
  try {
    localStorage.setItem(VOLUME_KEY, volume.value);
  } catch {
    // Private windows may refuse; the slider then starts at full the next time.
  }
  show();
}

function recallVolume() {
  let stored = null;
  try {
    stored = localStorage.getItem(VOLUME_KEY);
  } catch {
    // See above.
  }
  const value = Number.parseInt(stored ?? "", 10);
  if (value >= 0 && value <= 100) volume.value = String(value);

  // iOS leaves the volume to its buttons: it takes any value and keeps 1.
  audio.volume = 0.5;
  const fixed = audio.volume !== 0.5;
  part("volume-row", HTMLElement).hidden = fixed;
  part("volume-note", HTMLElement).hidden = !fixed;
  if (fixed) volume.value = "100";
  setVolume();
}

function toggleMute() {
  if (volume.value === "0") {
    volume.value = unmuted;
  } else {
    unmuted = volume.value;
    volume.value = "0";
  }
  setVolume();
}

// --- the system's own controls ---------------------------------------------------------------------------------------

function tellSystem() {
  if (!("mediaSession" in navigator)) return;
  navigator.mediaSession.metadata = new MediaMetadata({
    title: titleOf(station),
    artist: location.hostname,
    album: "roomtone",
    artwork: [{ src: "/favicon.svg", sizes: "any", type: "image/svg+xml" }],
  });
}

function answerSystem() {
  if (!("mediaSession" in navigator)) return;
  /** @type {[MediaSessionAction, () => void][]} */
  const answers = [
    ["play", () => tuner.start()],
    ["pause", () => tuner.stop()],
    ["stop", () => tuner.stop()],
  ];
  for (const [action, answer] of answers) {
    try {
      navigator.mediaSession.setActionHandler(action, answer);
    } catch {
      // Not every browser knows every action.
    }
  }
}

// --- events ----------------------------------------------------------------------------------------------------------

power.addEventListener("click", (event) => {
  if (event.timeStamp - rescued_ms < SAME_TAP_MS) return;
  if (tuner.wanted) tuner.stop();
  else tuner.start();
});
volume.addEventListener("input", setVolume);

for (const kind of ["click", "pointerup", "touchend", "keydown"]) {
  document.addEventListener(kind, tapped, { capture: true });
}
document.addEventListener("keydown", (event) => {
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat;
  if (plain && event.key.toLowerCase() === "m" && !part("volume-row", HTMLElement).hidden) toggleMute();
});

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") {
    meter?.wake();
    tuner.hurry();
  }
  draw();
});
addEventListener("online", () => tuner.hurry());
addEventListener("offline", show);
/** @type {any} */ (navigator).connection?.addEventListener?.("change", () => tuner.hurry());

// The system may pause the element, for a call or an unplugged headset. What was stopped by a person goes another way.
audio.addEventListener("pause", () => {
  if (tuner.state.kind === "live" && audio.srcObject !== null) play();
});

let interrupted = false;
addEventListener("pagehide", () => {
  interrupted = tuner.wanted;
  tuner.stop(true);
});
addEventListener("pageshow", (event) => {
  // Back out of the browser's memory, with everything as it was but the line.
  if (event.persisted && interrupted) tuner.start();
});

part("again", HTMLButtonElement).addEventListener("click", enter);
addEventListener("hashchange", () => {
  fresh = keys.take();
  if (fresh !== null) void enter();
});

recallVolume();
answerSystem();
void enter();
