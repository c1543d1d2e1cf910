/**
 * The page of a room: turns taps and keys into calls of what is one's own and of the meeting, and what those say into
 * tiles, marks and words.
 */

import { Chat } from "./chat.js";
import { Devices } from "./devices.js";
import { Meeting } from "./meeting.js";
import { recall, remember } from "./memory.js";
import { FLOOR_DBFS, StereoMeter } from "./meter.js";
import { calledOf, pathOf, personOf, roomNameProblem, roomOf } from "./names.js";
import { Own } from "./own.js";
import { Pickers } from "./pickers.js";
import { awayWords, enterWords, lineWords, peopleWords, refusedWords, troubleWords } from "./roomwords.js";
import { askHost, stationOf } from "./station.js";
import { StationTile } from "./stationtile.js";
import { Grid, Tile } from "./tiles.js";
import { titleOf } from "./words.js";

/** How often it is looked who speaks: a syllable lasts about as long. */
const LISTEN_MS = 150;
/** How long a word such as "Copied" stands. */
const MOMENT_MS = 2000;

/**
 * @template {Element} T
 * @param {string} id
 * @param {new (...any: any[]) => T} type
 * @returns {T}
 */
function part(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return element;
}

/**
 * Writes only what changed: a live region may repeat even the same text.
 * @param {string} id
 * @param {string} text
 */
function write(id, text) {
  const element = part(id, HTMLElement);
  if (element.textContent !== text) element.textContent = text;
}

/** @param {string} text read out, not shown */
const announce = (text) => write("announce", text);

const room = roomOf(location);
const person = part("person", HTMLInputElement);
const tiles = part("tiles", HTMLElement);
const more = part("more", HTMLDialogElement);

/** @type {"before" | "inside" | "after"} */
let stage = "before";
/** @type {Meeting | null} */
let meeting = null;
/** @type {Map<string, { tile: Tile, screen: Tile | null }>} */
const others = new Map();
/** @type {Tile | null} */
let own_tile = null;
/** @type {Tile | null} */
let own_screen = null;
/** @type {StationTile | null} */
let station = null;
let station_name = "";
let station_title = "Sound of this host";
let speaker = recall("speaker") ?? "";
/** @type {Partial<Record<import("./devices.js").Device, import("./devices.js").Trouble>>} */
const troubles = {};

const devices = new Devices();
const own = new Own(devices, {
  onChange: () => {
    showOwn();
    meeting?.update();
  },
  onTrouble: (device, trouble) => {
    if (trouble === null) delete troubles[device];
    else troubles[device] = trouble;
    showTroubles();
  },
});
const pickers = new Pickers(
  devices,
  (device) => (device === "speaker" ? speaker : own.using(device)),
  (device, id) => {
    remember(device, id);
    if (device === "speaker") setSpeaker(id);
    else void own.choose(device, id);
  },
);
const chat = new Chat({
  panel: part("chat", HTMLElement),
  talk: part("talk", HTMLElement),
  form: part("say", HTMLFormElement),
  words: part("words", HTMLInputElement),
  unread: part("unread", HTMLElement),
}, (text) => meeting?.say(text) ?? false);
const grid = new Grid(part("stage", HTMLElement), tiles);

// --- one's own -------------------------------------------------------------------------------------------------------

const myName = () => personOf(person.value);

/** @param {Iterable<HTMLElement>} elements @param {boolean} pressed @param {string} label */
function press(elements, pressed, label) {
  for (const element of elements) {
    element.setAttribute("aria-pressed", String(pressed));
    const words = element.querySelector("span");
    if (element.classList.contains("row")) continue;
    if (words !== null) words.textContent = label;
    else element.setAttribute("aria-label", label);
  }
}

/** @param {string} action */
const buttonsOf = (action) => /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll(`[data-action=${action}]`));

let shown_camera = /** @type {MediaStreamTrack | null} */ (null);
function showOwn() {
  const { camera, screen, sound } = own.outgoing.tracks;
  press(buttonsOf("mute"), own.muted, own.muted ? "Unmute" : "Mute");
  press(buttonsOf("camera"), camera === null, camera === null ? "Camera on" : "Camera off");
  press(buttonsOf("screen"), own.sharing, own.sharing ? "Stop sharing" : "Share screen");
  press(buttonsOf("music"), own.music, "");
  for (const button of buttonsOf("mute")) button.classList.toggle("absent", sound === null);

  const picture = part("own-picture", HTMLVideoElement);
  if (shown_camera !== camera) {
    shown_camera = camera;
    picture.srcObject = camera === null ? null : new MediaStream([camera]);
    if (camera !== null) picture.play().catch(() => {});
    void pickers.refresh();
  }
  part("mirror", HTMLElement).classList.toggle("lit", camera !== null);
  if (camera === null && asked) write("mirror-words", troubles.camera === undefined ? "Your camera is off." : "No picture of you.");
  write("enter", enterWords(sound !== null, camera !== null));

  own_tile?.describe({ called: calledOf(myName(), meeting?.id ?? ""), note: " (you)", muted: own.muted, dark: !own.camera });
  own_tile?.show(camera, null);
  if (screen !== null && own_screen === null && stage === "inside") {
    own_screen = new Tile({ own: true, screen: true }, tapNeeded);
    own_screen.describe({ called: "Your screen" });
    own_tile?.element.after(own_screen.element);
    announce("You share your screen.");
  } else if (screen === null && own_screen !== null) {
    own_screen.remove();
    own_screen = null;
    announce("You no longer share your screen.");
  }
  own_screen?.show(screen, null);
  measure(sound);
}

function showTroubles() {
  const words = troubleWords(troubles);
  write("notice", stage === "before" ? words : "");
  const banner = part("trouble", HTMLElement);
  write("trouble", stage === "inside" ? words : "");
  banner.hidden = banner.textContent === "";
  const barred = troubles.camera === "insecure" || troubles.camera === "unsupported";
  part("ask-again", HTMLElement).hidden = barred || (troubles.camera ?? troubles.microphone) === undefined;
  // In the room a sentence may go after it was read; before it, it explains what is missing.
  clearTimeout(trouble_timer);
  if (!banner.hidden) trouble_timer = setTimeout(() => { banner.hidden = true; }, 5 * MOMENT_MS);
}
/** @type {ReturnType<typeof setTimeout> | undefined} */
let trouble_timer;

let asked = false;
async function openDevices() {
  await own.open();
  asked = true;
  showOwn();
  await pickers.refresh();
}

/** @param {string} id */
function setSpeaker(id) {
  speaker = id;
  for (const { tile, screen } of others.values()) {
    tile.speakBy(id);
    screen?.speakBy(id);
  }
  station?.speakBy(id);
}

// --- levels ----------------------------------------------------------------------------------------------------------

/** @type {StereoMeter | null} */
let meter = null;
/** @type {MediaStreamTrack | null} */
let measured = null;

/** @param {MediaStreamTrack | null} track */
function measure(track) {
  if (measured === track) return;
  measured = track;
  try {
    meter ??= new StereoMeter(new AudioContext());
    if (track === null) meter.detach();
    else meter.attach(new MediaStream([track]));
    meter.wake();
  } catch (error) {
    // Levels are an extra: where Web Audio fails, one is heard all the same.
    console.warn("no level meter:", error);
  }
}

function listen() {
  const now_ms = performance.now();
  const levels = measured === null ? [] : meter?.read(now_ms) ?? [];
  const dbfs = Math.max(-Infinity, ...levels.map(({ level_dbfs }) => level_dbfs));
  const bar = part("own-level", HTMLElement);
  if (stage === "before") {
    const within = Math.round(Math.min(0, Math.max(FLOOR_DBFS, dbfs)));
    bar.style.setProperty("--level", String(1 - within / FLOOR_DBFS));
    if (bar.getAttribute("aria-valuenow") !== String(within)) {
      bar.setAttribute("aria-valuenow", String(within));
      bar.setAttribute("aria-valuetext", within === FLOOR_DBFS ? "silence" : `${within} decibels`);
    }
  } else if (stage === "inside" && meeting !== null) {
    own_tile?.hear(own.muted ? 0 : 10 ** (dbfs / 20), now_ms);
    for (const peer of meeting.peers) others.get(peer.id)?.tile.hear(peer.state?.muted ? 0 : peer.level, now_ms);
  }
}

// --- the others ------------------------------------------------------------------------------------------------------

function showPeople() {
  const people = others.size + 1;
  write("people", peopleWords(people));
  part("alone", HTMLElement).hidden = people > 1;
  document.title = `${room} · ${peopleWords(people)} · roomtone`;
}

/** @param {import("./peer.js").Peer} peer */
const peerName = (peer) => calledOf(peer.state?.name ?? "", peer.id);

/** @param {import("./peer.js").Peer} peer */
function describePeer(peer) {
  const held = others.get(peer.id);
  if (held === undefined) return;
  const { state } = peer;
  held.tile.describe({
    called: peerName(peer),
    muted: state?.muted ?? false,
    dark: state !== null && !state.camera,
    line: lineWords(peer.line),
  });
  held.screen?.describe({ called: `${peerName(peer)}’s screen`, line: lineWords(peer.line) });
}

/** Newcomers are read out once they have said their name. @type {Set<string>} */
const unannounced = new Set();

/**
 * @param {import("./peer.js").Peer} peer
 * @param {boolean} fresh
 */
function addPeer(peer, fresh) {
  const tile = new Tile({}, tapNeeded);
  tile.element.dataset.peer = peer.id;
  tile.speakBy(speaker);
  others.set(peer.id, { tile, screen: null });
  tiles.append(tile.element);
  if (fresh) unannounced.add(peer.id);
  describePeer(peer);
  showPeople();
}

/** @param {import("./peer.js").Peer} peer */
function changePeer(peer) {
  describePeer(peer);
  if (peer.state !== null && unannounced.delete(peer.id)) announce(`${peerName(peer)} came in.`);
}

/** @param {import("./peer.js").Peer} peer */
function removePeer(peer) {
  const held = others.get(peer.id);
  if (held === undefined) return;
  held.screen?.remove();
  held.tile.remove();
  others.delete(peer.id);
  unannounced.delete(peer.id);
  announce(`${peerName(peer)} has left.`);
  showPeople();
}

/**
 * @param {import("./peer.js").Peer} peer
 * @param {import("./peer.js").Tracks} tracks
 */
function showTracks(peer, { sound, camera, screen, screenSound }) {
  const held = others.get(peer.id);
  if (held === undefined) return;
  // Of a client that says nothing of its camera, packets have told already.
  held.tile.show(peer.state === null || peer.state.camera ? camera : null, sound);
  if (screen !== null && held.screen === null) {
    held.screen = new Tile({ screen: true }, tapNeeded);
    held.screen.speakBy(speaker);
    held.tile.element.after(held.screen.element);
    describePeer(peer);
    announce(`${peerName(peer)} shares the screen.`);
  } else if (screen === null && held.screen !== null) {
    held.screen.remove();
    held.screen = null;
  }
  held.screen?.show(screen, screenSound);
}

// --- coming and going ------------------------------------------------------------------------------------------------

/** @param {"before" | "inside" | "after"} next */
function become(next) {
  stage = next;
  document.body.dataset.stage = next;
  for (const each of ["before", "inside", "after"]) part(each, HTMLElement).hidden = each !== next;
  for (const id of ["whereabouts", "copy"]) part(id, HTMLElement).hidden = next !== "inside";
  showTroubles();
}

function enter() {
  remember("name", myName() === "" ? null : myName());
  meter?.wake();
  become("inside");
  own_tile = new Tile({ own: true }, tapNeeded);
  tiles.append(own_tile.element);
  meeting = new Meeting({
    endpoint: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`,
    hostname: location.hostname,
    room,
    outgoing: own.outgoing,
  }, {
    onSignal: showLine,
    onConfig: (config) => {
      person.maxLength = config.limits?.nameChars ?? person.maxLength;
      part("words", HTMLInputElement).maxLength = config.limits?.chatChars ?? 2000;
      offerStation(config.stations?.[0] ?? null);
      showOwn();
    },
    onPeer: addPeer,
    onGone: removePeer,
    onChange: changePeer,
    onTracks: showTracks,
    onFlow: (peer, flow) => {
      others.get(peer.id)?.tile.count(flow);
      others.get(peer.id)?.screen?.count(flow);
    },
    onChat: ({ sender_id, name, text, age_ms, old }) => chat.add({
      called: calledOf(name, sender_id),
      text,
      own: sender_id === meeting?.id,
      said_at: new Date(Date.now() - age_ms),
      old,
    }),
    onError: (code, message) => console.warn(`the host says ${code}: ${message}`),
    describe: () => own.state(myName()),
  });
  showOwn();
  showPeople();
  meeting.enter();
  grid.layOut();
  part("inside-title", HTMLElement).focus({ preventScroll: true });
  void stayAwake();
}

/**
 * @param {string} title
 * @param {string} words
 */
function leave(title = "You have left.", words = "") {
  if (stage !== "inside") return;
  meeting?.leave();
  meeting = null;
  for (const { tile, screen } of others.values()) {
    tile.remove();
    screen?.remove();
  }
  others.clear();
  own_tile?.remove();
  own_screen?.remove();
  own_tile = null;
  own_screen = null;
  switchStation(false);
  own.close();
  chat.show(false);
  more.close();
  if (document.fullscreenElement) void document.exitFullscreen();
  letSleep();
  become("after");
  write("after-title", title);
  write("after-words", words || `Room ${room}. The link stays the same.`);
  document.title = `${room} · roomtone`;
  part("after-title", HTMLElement).focus();
}

/** @param {import("./signaling.js").LineState} line */
function showLine(line) {
  if (line.kind === "refused") {
    const { title, words } = refusedWords(line.code, line.message);
    leave(title, words);
    return;
  }
  const away = part("away", HTMLElement);
  // The first moment of coming in is no absence.
  const words = meeting === null || meeting.id === "" && line.kind === "connecting" ? "" : awayWords(line, navigator.onLine);
  write("away", words);
  away.hidden = words === "";
}

// --- sound that waits for a tap ----------------------------------------------------------------------------------------

function tapNeeded() {
  part("hear", HTMLElement).hidden = false;
}

function playAll() {
  part("hear", HTMLElement).hidden = true;
  for (const { tile, screen } of others.values()) {
    tile.play();
    screen?.play();
  }
  station?.play();
}

// --- the host's station ------------------------------------------------------------------------------------------------

/** @param {string | null} name */
function offerStation(name) {
  station_name = name ?? "";
  for (const button of buttonsOf("station")) button.hidden = name === null && !tiles.contains(button);
  if (name === null) switchStation(false);
}

/** @param {boolean} on */
function switchStation(on) {
  if (on && station === null && station_name !== "") {
    station = new StationTile({ name: station_name, title: station_title, onRefused: tapNeeded });
    station.speakBy(speaker);
    tiles.append(station.element);
    station.start();
  } else if (!on && station !== null) {
    station.stop();
    station = null;
  }
  press([...buttonsOf("station")].filter((button) => !tiles.contains(button)), station !== null, "Station");
}

// --- the screen stays on -----------------------------------------------------------------------------------------------

/** @type {WakeLockSentinel | null} */
let awake = null;
async function stayAwake() {
  try {
    awake = await navigator.wakeLock?.request("screen") ?? null;
  } catch {
    // Low battery, or a browser that has none: the person keeps it awake.
  }
}
function letSleep() {
  void awake?.release();
  awake = null;
}

// --- taps and keys -----------------------------------------------------------------------------------------------------

/** @param {boolean} open */
function showChat(open) {
  const had_focus = part("chat", HTMLElement).contains(document.activeElement);
  chat.show(open);
  part("inside", HTMLElement).classList.toggle("chatting", open);
  for (const button of buttonsOf("chat")) if (button.hasAttribute("aria-expanded")) button.setAttribute("aria-expanded", String(open));
  if (!open && had_focus) document.querySelector(/** @type {"button"} */ (".bar [data-action=chat]"))?.focus();
}

async function copyLink() {
  const link = new URL(pathOf(room), location.href).href;
  try {
    await navigator.clipboard.writeText(link);
    write("copy-label", "Copied");
    announce("The link is copied.");
  } catch {
    // Without a secure context there is no clipboard: the link is shown to be copied by hand.
    prompt("The link to this room:", link);
  }
  setTimeout(() => write("copy-label", "Copy link"), MOMENT_MS);
}

/** @type {Record<string, () => void>} */
const actions = {
  mute: () => {
    const muted = own.hasMicrophone && !own.muted;
    remember("muted", muted ? "yes" : null);
    void own.setMuted(muted).then(() => announce(own.muted ? "Muted." : "Not muted."));
  },
  camera: () => {
    const on = !own.camera;
    remember("dark", on ? null : "yes");
    void own.setCamera(on).then(() => announce(own.camera ? "Camera on." : "Camera off."));
  },
  screen: () => {
    if (own.sharing) own.unshare();
    else void own.share();
  },
  music: () => {
    remember("music", own.music ? null : "yes");
    void own.setMusic(!own.music);
  },
  station: () => switchStation(station === null),
  chat: () => showChat(!chat.open),
  more: () => {
    void pickers.refresh();
    if (!more.open) more.showModal();
  },
  copy: () => void copyLink(),
  leave: () => leave(),
};

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  const action = button?.dataset.action;
  if (button === null || action === undefined) return;
  actions[action]();
  // After a tap the space bar is for talking again; whoever came by Tab keeps the place.
  if (event.detail > 0 && button.closest(".bar") !== null) button.blur();
});

/** @param {EventTarget | null} target */
const isControl = (target) => target instanceof Element && target.closest("input, select, textarea, button, a, summary, dialog, [role=log]") !== null;
/** @param {EventTarget | null} target */
const isField = (target) => target instanceof Element && target.closest("input:not([type=range]), select, textarea") !== null;

/** @type {Record<string, string>} */
const KEYS = { m: "mute", v: "camera", s: "screen", c: "chat", h: "station", "?": "more" };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isField(event.target)) return;
  if (event.key === " " && stage === "inside" && !isControl(event.target)) {
    event.preventDefault();
    if (!event.repeat) own.setTalking(true);
    return;
  }
  if (event.key === "Escape" && chat.open && !more.open) {
    showChat(false);
    return;
  }
  const action = KEYS[event.key.toLowerCase()];
  const offered = [...buttonsOf(action ?? "none")].some((button) => !button.hidden && button.checkVisibility?.() !== false);
  if (event.repeat || action === undefined || !offered) return;
  event.preventDefault();
  actions[action]();
});
document.addEventListener("keyup", (event) => {
  if (event.key === " ") own.setTalking(false);
});
addEventListener("blur", () => own.setTalking(false));
document.addEventListener("keydown", (event) => {
  // Escape within the field of the chat closes it as well.
  if (event.key === "Escape" && event.target === part("words", HTMLElement)) showChat(false);
});
more.addEventListener("click", (event) => {
  // Beside the sheet.
  if (event.target === more) more.close();
});

part("entrance", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  enter();
});
part("ask-again", HTMLButtonElement).addEventListener("click", () => void openDevices());
part("hear", HTMLButtonElement).addEventListener("click", playAll);
part("return", HTMLButtonElement).addEventListener("click", () => {
  become("before");
  void openDevices();
});
for (const kind of ["pointerup", "keydown"]) document.addEventListener(kind, () => meter?.wake(), { capture: true });

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  meter?.wake();
  if (stage === "inside") void stayAwake();
});
addEventListener("online", () => {
  meeting?.hurry();
  station?.hurry();
});
addEventListener("pagehide", (event) => {
  station?.stop(true);
  if (!event.persisted) return;
  // Kept in the browser's memory, the page must not keep its place in the room.
  leave();
});

person.value = recall("name") ?? "";
own.recall({
  microphone: recall("microphone"),
  camera: recall("camera"),
  muted: recall("muted") !== null,
  camera_on: recall("dark") === null,
  music: recall("music") !== null,
});
for (const button of buttonsOf("screen")) button.hidden = !devices.canShare;
write("title", room);
write("room-name", room);
write("inside-title", `Room ${room}`);
document.title = `${room} · roomtone`;
const problem = roomNameProblem(room);
if (problem === "") {
  void openDevices();
  setInterval(listen, LISTEN_MS);
  void askHost().then((host) => { station_title = titleOf(stationOf(host, null)); });
} else {
  become("after");
  part("return", HTMLElement).hidden = true;
  write("after-title", "No such room.");
  write("after-words", problem);
}
