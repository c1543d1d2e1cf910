/**
 * The front page: what this host offers. The one module of `/` that touches `document`.
 */

import { pathOf, roomNameProblem } from "./names.js";
import { askHost } from "./station.js";
import { offerOf, titleOf, troubleOf } from "./words.js";

/** How often the host is asked, while somebody looks at the page. */
const ASK_MS = 10_000;

const list = /** @type {HTMLElement} */ (document.getElementById("stations"));
const trouble = /** @type {HTMLElement} */ (document.getElementById("trouble"));
const about = /** @type {HTMLElement} */ (document.getElementById("about"));
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

/** @param {import("./station.js").Station[]} stations */
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

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
async function ask() {
  clearTimeout(timer);
  const host = await askHost();
  let says = "";
  if (host === null) {
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
  if (trouble.textContent !== says) trouble.textContent = says;
  if (host !== null) about.textContent = `roomtone ${host.version} · ${uptimeOf(host.uptime_s)}`;
  clearTimeout(timer);
  if (document.visibilityState === "visible") timer = setTimeout(ask, ASK_MS);
}

const door = /** @type {HTMLFormElement} */ (document.getElementById("door"));
const room_name = /** @type {HTMLInputElement} */ (document.getElementById("name"));
const name_problem = /** @type {HTMLElement} */ (document.getElementById("name-problem"));

/** @param {string} problem */
function showProblem(problem) {
  if (name_problem.textContent !== problem) name_problem.textContent = problem;
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
void ask();
