/**
 * Controller of the front page, `/`: rooms and stations of this server, and what this browser may do.
 */

import { accessStrings } from "../shared/accessStrings.js";
import { addressOf } from "../shared/address.js";
import { checkAccess } from "../shared/checkAccess.js";
import { byId, isPageVisible, onDocument, pageStarted, setHidden, setText } from "../shared/dom.js";
import { roomNameProblem, roomPath } from "../shared/roomName.js";
import { stationProblem } from "../shared/stationStrings.js";
import { fetchStatus } from "../shared/status.js";
import { TokenStore } from "../shared/tokenStore.js";
import { INVITED_ONLY, roomStrings, uptimeOf } from "./lobbyStrings.js";
import { StationList } from "./stationList.js";

/** How often to fetch the server's status while the page is visible. */
const STATUS_INTERVAL_MS = 10_000;

class LobbyPage {
  #tokens = new TokenStore();
  /** Token of the link just opened. */
  #linkToken = this.#tokens.takeFromUrl();
  /** Why listening is refused, as the server's code; empty if it is allowed. */
  #refusal = "";
  /** @type {number | undefined} */
  #statusTimer;
  #stations = new StationList(byId("stations", HTMLElement));
  #roomName = byId("room-name", HTMLInputElement);

  start() {
    pageStarted();
    byId("leave-moderator", HTMLButtonElement).addEventListener("click", () => void this.#giveUpModerator());
    byId("room-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#openRoom();
    });
    this.#roomName.addEventListener("input", () => {
      // An empty field is an error only when the form is submitted.
      const name = this.#roomName.value.trim();
      this.#showNameProblem(name === "" ? "" : roomNameProblem(name));
    });
    addEventListener("hashchange", () => {
      this.#linkToken = this.#tokens.takeFromUrl();
      if (this.#linkToken !== null) void this.#checkAccess();
    });
    onDocument("visibilitychange", () => {
      if (isPageVisible()) void this.#updateStatus();
    });
    void this.#checkAccess();
  }

  // --- access ----------------------------------------------------------------------------------------------------------

  /** Asks what the tokens of this browser allow, and shows it. */
  async #checkAccess() {
    const linkToken = this.#linkToken;
    this.#linkToken = null;
    setText("link-notice", "");
    let access = await checkAccess(this.#tokens, "listen", { linkToken });
    if (access.kind === "refused" && linkToken !== null) {
      const { title, text } = accessStrings(access.code, "moderator", access.retryAfterMs);
      setText("link-notice", `${title} ${text}`);
      // The invalid token is removed by now: ask again without it.
      access = await checkAccess(this.#tokens, "listen");
    }
    this.#refusal = access.kind === "refused" ? access.code : "";
    const isPrivate = access.kind === "refused" || (access.kind === "allowed" && access.isPrivate);
    setHidden("moderator-notice", !(access.kind === "allowed" && access.isModerator));
    const { mainRoom, namedRoom } = roomStrings(isPrivate);
    setText("main-room-status", mainRoom);
    setText("named-room-status", namedRoom);
    await this.#updateStatus();
  }

  async #giveUpModerator() {
    const token = this.#tokens.tokenFor("admin");
    if (token !== null) this.#tokens.remove(token);
    byId("title", HTMLElement).focus();
    await this.#checkAccess();
    setText("link-notice", "You are no longer a moderator.");
  }

  // --- stations --------------------------------------------------------------------------------------------------------

  /** Shows the stations, and again after a while as long as the page is visible. */
  async #updateStatus() {
    clearTimeout(this.#statusTimer);
    if (this.#refusal !== "") {
      const { title, text } = accessStrings(this.#refusal, "station");
      this.#stations.showNone(INVITED_ONLY);
      setText("problem", `${title} ${text}`);
      return;
    }
    const status = await fetchStatus(this.#tokens.tokenFor("listen"));
    setText("problem", this.#showStations(status));
    if (status !== null) setText("about", `roomtone ${status.version} · ${uptimeOf(status.uptime_s)}`);
    clearTimeout(this.#statusTimer);
    if (this.#refusal === "" && isPageVisible()) {
      this.#statusTimer = setTimeout(() => void this.#updateStatus(), STATUS_INTERVAL_MS);
    }
  }

  /**
   * @param {import("../shared/protocol.js").Status | null} status
   * @returns {string} a problem, or empty
   */
  #showStations(status) {
    if (status === null) {
      this.#stations.showUnreachable();
      return "The server does not answer. This page keeps trying.";
    }
    if (status.stations.length === 0) {
      this.#stations.showNone("Nothing on air");
      return "";
    }
    this.#stations.show(status.stations);
    return status.stations.length === 1 ? stationProblem(status.stations[0]) : "";
  }

  // --- rooms -----------------------------------------------------------------------------------------------------------

  #openRoom() {
    const name = this.#roomName.value.trim();
    const problem = roomNameProblem(name);
    this.#showNameProblem(problem);
    if (problem === "") location.assign(addressOf(roomPath(name)));
    else this.#roomName.focus();
  }

  /** @param {string} problem */
  #showNameProblem(problem) {
    setText("room-name-problem", problem);
    this.#roomName.setAttribute("aria-invalid", String(problem !== ""));
  }
}

new LobbyPage().start();
