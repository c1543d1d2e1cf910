/**
 * The page of a room: turns taps and keys into calls of what is one's own and of the meeting, and what those say into
 * tiles, marks and words.
 */

import { knock } from "../shared/checkAccess.js";
import { Awake } from "./ui/wakeLock.js";
import { Chat } from "./ui/chatPanel.js";
import { Devices } from "./media/devices.js";
import { HostTools } from "./ui/moderatorTools.js";
import { listenToKeys } from "./ui/keyboardShortcuts.js";
import { Keys } from "../shared/tokenStore.js";
import { Meeting } from "./roomClient.js";
import { recall, remember } from "../shared/storage.js";
import { calledOf, pathOf, personOf, roomNameProblem, roomOf } from "../shared/roomName.js";
import { Own } from "./media/localMedia.js";
import { OwnView } from "./ui/localView.js";
import { announce, buttonsOf, part, write } from "../shared/dom.js";
import { People } from "./ui/peerTiles.js";
import { Pickers } from "./ui/devicePickers.js";
import { aloneWords, awayWords, farewellWords, leftWords, peopleWords, troubleWords } from "./ui/roomStrings.js";
import { askHost, stationOf } from "../shared/status.js";
import { StationSwitch } from "./ui/stationTile.js";
import { Grid } from "./ui/tile.js";
import { titleOf } from "../player/playerStrings.js";

/** How often it is looked who speaks: a syllable lasts about as long. */
const LISTEN_MS = 150;
/** How long a word such as "Copied" stands. */
const MOMENT_MS = 2000;

const keys = new Keys();
/** The key of the link just opened: out of the address bar before anything else is done. */
let fresh = keys.take();
const room = roomOf(location);
const scope = /** @type {const} */ (`room:${room}`);
const person = part("person", HTMLInputElement);
const tiles = part("tiles", HTMLElement);
const more = part("more", HTMLDialogElement);

/** @type {"before" | "inside" | "after"} */
let stage = "before";
/** @type {Meeting | null} */
let meeting = null;
/** The address alone does not open the room. */
let by_invitation = false;
/** The end of this room was our wish. */
let ended = false;
let speaker = recall("speaker") ?? "";
/** @type {Partial<Record<import("./media/devices.js").Device, import("./media/devices.js").Trouble>>} */
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
const view = new OwnView(own, tiles, { onRefused: tapNeeded, onCamera: () => void pickers.refresh() });
const station = new StationSwitch(tiles, () => keys.for("listen"), tapNeeded);
const awake = new Awake();
const people = new People(tiles, {
  onRefused: tapNeeded,
  onWish: (peer, called) => host.openFor(peer.id, called, peer.silenced || (peer.state?.muted ?? false)),
  onNumber: showPeople,
});
const host = new HostTools({
  onLock: (locked) => meeting?.lock(locked),
  onMute: (id) => meeting?.mute(id),
  onRemove: (id) => meeting?.remove(id),
  onEnd: () => {
    ended = true;
    meeting?.end();
  },
});
const grid = new Grid(part("stage", HTMLElement), tiles);

// --- one's own -------------------------------------------------------------------------------------------------------

const myName = () => personOf(person.value);

function showOwn() {
  const dark = troubles.camera === undefined ? "Your camera is off." : "No picture of you.";
  view.show(calledOf(myName(), meeting?.id ?? ""), asked ? dark : "");
  if (!own.muted) part("wished", HTMLElement).hidden = true;
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
  people.speakBy(id);
  station.speakBy(id);
}

function listen() {
  const now_ms = performance.now();
  if (stage === "after") return;
  view.hear(now_ms);
  for (const peer of meeting?.peers ?? []) people.hear(peer, now_ms);
}

// --- the others ------------------------------------------------------------------------------------------------------

function showPeople() {
  const number = people.number + 1;
  write("people", peopleWords(number));
  part("alone", HTMLElement).hidden = number > 1;
  document.title = `${room} · ${peopleWords(number)} · roomtone`;
}

/** A host wishes it, and one may have one's own mind: the button turns it on again. */
function muteByHost() {
  if (own.muted) return;
  own.setTalking(false);
  void own.setMuted(true);
  write("wished", "A host turned your microphone off. You can turn it on again.");
  const banner = part("wished", HTMLElement);
  banner.hidden = false;
  clearTimeout(wished_timer);
  wished_timer = setTimeout(() => { banner.hidden = true; }, 10 * MOMENT_MS);
}
/** @type {ReturnType<typeof setTimeout> | undefined} */
let wished_timer;

// --- coming and going ------------------------------------------------------------------------------------------------

/** @param {"before" | "inside" | "after"} next */
function become(next) {
  stage = next;
  document.body.dataset.stage = next;
  for (const each of ["before", "inside", "after"]) part(each, HTMLElement).hidden = each !== next;
  part("whereabouts", HTMLElement).hidden = next !== "inside";
  part("copy", HTMLElement).hidden = next !== "inside" || by_invitation;
  showTroubles();
}

/** Asks whether we may come in before anything is asked of the person, and says so if not. */
async function arrive() {
  const answer = await knock(keys, scope, { fresh });
  fresh = null;
  if (stage === "inside") return;
  if (answer.kind === "refused") {
    own.close();
    sayFarewell(farewellWords({ message: "", ...answer }));
    return;
  }
  if (answer.kind === "allowed") by_invitation = answer.private;
  write("alone-words", aloneWords(by_invitation));
  part("alone-link", HTMLElement).hidden = by_invitation;
  void askHost(keys.for("listen")).then((found) => { station.title = titleOf(stationOf(found, null)); });
  if (stage === "before" && asked) return;
  if (stage !== "before") become("before");
  await openDevices();
}

function enter() {
  remember("name", myName() === "" ? null : myName());
  view.wake();
  ended = false;
  become("inside");
  view.enter();
  meeting = new Meeting({
    endpoint: `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`,
    hostname: location.hostname,
    room,
    outgoing: own.outgoing,
    door: { key: () => keys.for(scope), knock: (resume) => knock(keys, scope, { resume }) },
  }, {
    onSignal: showLine,
    onConfig: (config) => {
      person.maxLength = config.limits?.nameChars ?? person.maxLength;
      part("words", HTMLInputElement).maxLength = config.limits?.chatChars ?? 2000;
      station.offer(config.stations?.[0] ?? null);
      host.show(config.host === true);
      showOwn();
    },
    onLock: (locked) => host.showLock(locked),
    onMuted: muteByHost,
    onPeer: (peer, newcomer) => people.add(peer, newcomer),
    onGone: (peer) => {
      host.forget(peer.id);
      people.remove(peer);
    },
    onChange: (peer) => people.change(peer),
    onTracks: (peer, tracks) => people.show(peer, tracks),
    onFlow: (peer, flow) => people.count(peer, flow),
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
  void awake.stay();
}

/** @param {import("./ui/roomStrings.js").Farewell} farewell */
function leave(farewell = leftWords(room)) {
  if (stage !== "inside") return;
  meeting?.leave();
  meeting = null;
  people.clear();
  view.leave();
  station.set(false);
  own.close();
  chat.show(false);
  more.close();
  host.show(false);
  host.showLock(false);
  part("wished", HTMLElement).hidden = true;
  if (document.fullscreenElement) void document.exitFullscreen();
  awake.end();
  sayFarewell(farewell);
}

/** @type {import("./ui/roomStrings.js").Farewell["way"]} */
let way_back = "before";
/** @param {import("./ui/roomStrings.js").Farewell} farewell */
function sayFarewell({ title, words, way, label }) {
  become("after");
  way_back = way;
  write("after-title", title);
  write("after-words", words);
  write("return", label);
  part("return", HTMLElement).hidden = way === null;
  // Where no way leads back, the front page is the way on.
  part("front", HTMLElement).classList.toggle("enter", way === null);
  document.title = `${room} · roomtone`;
  part("after-title", HTMLElement).focus();
}

async function comeBack() {
  if (way_back === "knock") {
    await arrive();
    return;
  }
  const straight = way_back === "inside";
  become("before");
  await openDevices();
  if (straight && stage === "before") enter();
}

/** @param {import("./signaling.js").LineState} line */
function showLine(line) {
  if (line.kind === "refused") {
    leave(farewellWords(line, ended));
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
  people.play();
  station.play();
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
  station: () => station.toggle(),
  chat: () => showChat(!chat.open),
  more: () => {
    void pickers.refresh();
    if (!more.open) more.showModal();
  },
  copy: () => void copyLink(),
  lock: () => host.toggleLock(),
  end: () => {
    more.close();
    void host.askEnd();
  },
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

listenToKeys({
  act: (action) => actions[action](),
  inside: () => stage === "inside",
  talk: (talking) => own.setTalking(talking),
  closeChat: () => {
    const { open } = chat;
    if (open) showChat(false);
    return open;
  },
  words: part("words", HTMLElement),
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
part("return", HTMLButtonElement).addEventListener("click", () => void comeBack());
addEventListener("hashchange", () => {
  fresh = keys.take();
  // Inside, the key is kept for the next time.
  if (fresh !== null && stage !== "inside" && problem === "") void arrive();
});
for (const kind of ["pointerup", "keydown"]) document.addEventListener(kind, () => view.wake(), { capture: true });

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  view.wake();
  if (stage === "inside") void awake.stay();
});
addEventListener("online", () => {
  meeting?.hurry();
  station.hurry();
});
addEventListener("pagehide", (event) => {
  station.part();
  if (!event.persisted) return;
  // Kept in the browser's memory, the page must not keep its place in the room.
  leave();
});

setSpeaker(speaker);
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
  void arrive();
  setInterval(listen, LISTEN_MS);
} else {
  sayFarewell({ title: "No such room.", words: problem, way: null, label: "" });
}
