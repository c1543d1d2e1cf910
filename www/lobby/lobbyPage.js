/**
 * The front page: what this host offers, and to whom. The module of `/` that touches `document`.
 */

import { knock } from "../shared/checkAccess.js";
import { doorWords } from "../shared/accessStrings.js";
import { Keys } from "../shared/tokenStore.js";
import { pathOf, roomNameProblem } from "../shared/roomName.js";
import { part, write } from "../shared/dom.js";
import { askHost } from "../shared/status.js";
import { offerOf, titleOf, troubleOf } from "../player/playerStrings.js";

/** How often the host is asked, while somebody looks at the page. */
const ASK_MS = 10_000;

const keys = new Keys();
/** The key of the link just opened. */
let fresh = keys.take();
/** Why the stations are not told to us, as the host's code; empty when they are. */
let shut = "";

const list = part("stations", HTMLElement);
/** The offer as the HTML has it, a pattern for all others. */
const pattern = /** @type {HTMLElement} */ (list.firstElementChild);

/**
 * @param {HTMLElement} item
 * @param {string} name
 * @param {string} words
 * @param {string} state for the lamp
 */
function fill(item, name, words, state) {
  const [name_part, words_part] = [".offer-name", ".offer-words"].map((each) => item.querySelector(each));
  if (name_part !== null && name_part.textContent !== name) name_part.textContent = name;
  if (words_part !== null && words_part.textContent !== words) words_part.textContent = words;
  item.dataset.state = state;
}

/** @param {import("../shared/status.js").Station[]} stations */
function show(stations) {
  while (list.children.length > Math.max(1, stations.length)) list.lastElementChild?.remove();
  while (list.children.length < stations.length) list.append(pattern.cloneNode(true));
  stations.forEach((station, at) => {
    const item = /** @type {HTMLElement} */ (list.children[at]);
    const link = item.querySelector("a");
    // The first station is the one `/listen` plays without being told.
    if (link !== null) link.href = at === 0 ? "/listen" : `/listen?station=${encodeURIComponent(station.name)}`;
    fill(item, titleOf(station), offerOf(station), station.source.state);
  });
}

/** @param {number} seconds */
function uptimeOf(seconds) {
  if (seconds < 90) return "up for a moment";
  const minutes = Math.round(seconds / 60);
  if (minutes < 90) return `up for ${minutes} minutes`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `up for ${hours} hours` : `up for ${Math.round(hours / 24)} days`;
}

// --- who one is here -----------------------------------------------------------------------------------------------

/** Looks what the keys of this browser are good for: a host's, else one to listen with. */
async function arrive() {
  const opened = fresh;
  fresh = null;
  write("invited", "");
  let hosting = false;
  let answer = await knock(keys, "listen", { fresh: opened });
  if (answer.kind === "refused" && opened !== null) {
    const { title, words } = doorWords(answer.code, "host", answer.retry_after_ms);
    write("invited", `${title} ${words}`);
    // The bad key is gone by now: how are things without it?
    answer = await knock(keys, "listen");
  }
  if (answer.kind === "allowed") hosting = answer.host;
  shut = answer.kind === "refused" ? answer.code : "";
  const closed = shut !== "" || (answer.kind === "allowed" && answer.private);
  part("hosting", HTMLElement).hidden = !hosting;
  write("main-words", closed ? "For those who were invited" : "Always open");
  write("own-words", closed ? "Whoever was invited to it can enter." : "Whoever has its name, or its link, can enter.");
  await ask();
}

part("give-up", HTMLButtonElement).addEventListener("click", () => {
  const held = keys.for("admin");
  if (held !== null) keys.forget(held);
  void arrive().then(() => write("invited", "You are a guest now, as everybody else."));
  part("title", HTMLElement).focus();
});
addEventListener("hashchange", () => {
  fresh = keys.take();
  if (fresh !== null) void arrive();
});

// --- what is on ----------------------------------------------------------------------------------------------------

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
async function ask() {
  clearTimeout(timer);
  const host = shut === "" ? await askHost(keys.for("listen")) : null;
  let says = "";
  if (shut !== "") {
    const { title, words } = doorWords(shut, "station");
    fill(pattern, "Sound of this host", "For those who were invited", "unknown");
    says = `${title} ${words}`;
  } else if (host === null) {
    says = "The host does not answer. This page keeps asking.";
    for (const item of list.children) {
      fill(/** @type {HTMLElement} */ (item), item.querySelector(".offer-name")?.textContent ?? "", "Not reachable", "unknown");
    }
  } else if (host.stations.length === 0) {
    fill(pattern, "Sound of this host", "Nothing on air", "unknown");
  } else {
    show(host.stations);
    says = host.stations.length === 1 ? troubleOf(host.stations[0]) : "";
  }
  write("trouble", says);
  if (host !== null) write("about", `roomtone ${host.version} · ${uptimeOf(host.uptime_s)}`);
  clearTimeout(timer);
  if (shut === "" && document.visibilityState === "visible") timer = setTimeout(ask, ASK_MS);
}

const door = part("door", HTMLFormElement);
const room_name = part("name", HTMLInputElement);

/** @param {string} problem */
function showProblem(problem) {
  write("name-problem", problem);
  room_name.setAttribute("aria-invalid", String(problem !== ""));
}

door.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = room_name.value.trim();
  const problem = roomNameProblem(name);
  showProblem(problem);
  if (problem === "") location.assign(pathOf(name));
  else room_name.focus();
});
room_name.addEventListener("input", () => {
  // An empty field is no mistake before somebody presses Enter.
  const name = room_name.value.trim();
  showProblem(name === "" ? "" : roomNameProblem(name));
});

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") void ask();
});
void arrive();
