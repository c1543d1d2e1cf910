/**
 * Controller of the room page, `/room/NAME`: checks access, joins and leaves, and connects the room's client to what is
 * shown.
 *
 * The page has three views: `prejoin` (preview and devices), `room`, and `notice` (left, removed, or not let in).
 */

import { addressOf, pagePath } from "../shared/address.js";
import { checkAccess } from "../shared/checkAccess.js";
import {
  announce, byId, childOf, closeOnBackdropClick, exitFullscreen, isPageVisible, onDocument, pageData, pageStarted, setHidden, setPageTitle,
  setText,
} from "../shared/dom.js";
import { roomFromPath, roomNameProblem, roomPath } from "../shared/roomName.js";
import { stationTitle } from "../shared/stationStrings.js";
import { fetchStatus, findStation } from "../shared/status.js";
import { TokenStore, roomScope } from "../shared/tokenStore.js";
import { RoomClient } from "./roomClient.js";
import { Banner } from "./ui/banner.js";
import { ChatPanel } from "./ui/chatPanel.js";
import { displayName } from "./ui/displayName.js";
import { listenForShortcuts } from "./ui/keyboardShortcuts.js";
import { LocalControls } from "./ui/localControls.js";
import { ModeratorTools } from "./ui/moderatorTools.js";
import { PeerTiles } from "./ui/peerTiles.js";
import { connectionProblem, emptyRoom, endingFor, invalidRoom, leftRoom, missingForRooms, peopleCount, unsupportedBrowser } from "./ui/roomStrings.js";
import { StationToggle } from "./ui/stationToggle.js";
import { TileGrid } from "./ui/tileGrid.js";
import { ScreenWakeLock } from "./ui/wakeLock.js";

/** How often levels are read: about the length of a syllable. */
const LEVEL_INTERVAL_MS = 150;
/** How long the copy button says "Copied". */
const COPIED_MS = 2000;
/** A second click within this time belongs to the first: the usual setting of desktops. */
const DOUBLE_CLICK_MS = 500;
/** Chat text, if the server does not tell its limit. */
const CHAT_CHARS = 2000;

/** @typedef {import("./ui/localControls.js").View} View */
/** @type {View[]} */
const VIEWS = ["prejoin", "room", "notice"];

class RoomPage {
  #tokens = new TokenStore();
  /** Token of the link just opened: it leaves the address bar before anything else happens. */
  #linkToken = this.#tokens.takeFromUrl();
  /** In the link's spelling, until the server tells that of the person who opened the room. */
  #room = roomFromPath(pagePath());
  #scope = roomScope(this.#room);

  /** @type {View} */
  #view = "prejoin";
  /** @type {RoomClient | null} while in the room */
  #client = null;
  /** What the join button said when it was pressed. @type {import("./ui/joinIntent.js").JoinIntent} */
  #joinedWith = "send";
  #joinedAtMs = -Infinity;
  /** Only invited people can join, so the URL alone is of no use to others. */
  #isPrivate = false;
  /** We ended the room. */
  #endedByUs = false;
  /** @type {import("./ui/roomStrings.js").Ending["action"]} what the button of the notice does */
  #noticeAction = "prejoin";

  #grid = byId("tile-grid", HTMLElement);
  #settings = byId("settings", HTMLDialogElement);
  #chatInput = byId("message", HTMLInputElement);
  #connectionBanner = new Banner(byId("connection-banner", HTMLElement));
  #tileGrid = new TileGrid(byId("tile-area", HTMLElement), this.#grid);
  #wakeLock = new ScreenWakeLock();
  #station = new StationToggle(this.#grid, () => this.#tokens.tokenFor("listen"), () => this.#onPlayRefused());
  #peerTiles = new PeerTiles(this.#grid, {
    onPlayRefused: () => this.#onPlayRefused(),
    onModerate: (peer, name) => this.#moderator.openFor(peer.id, name, peer.mutedByModerator || (peer.state?.muted ?? false)),
    onCount: () => this.#showPeopleCount(),
  });
  #local = new LocalControls(this.#grid, {
    onChange: () => this.#client?.update(),
    onSpeaker: (id) => {
      this.#peerTiles.setSpeaker(id);
      this.#station.setSpeaker(id);
    },
    onPlayRefused: () => this.#onPlayRefused(),
  });
  #moderator = new ModeratorTools({
    setLocked: (locked) => this.#client?.setLocked(locked),
    mutePeer: (id) => this.#client?.mutePeer(id),
    removePeer: (id) => this.#client?.removePeer(id),
    endRoom: () => {
      this.#endedByUs = true;
      this.#client?.endRoom();
    },
  });
  #chat = new ChatPanel({
    room: byId("room", HTMLElement),
    panel: byId("chat", HTMLElement),
    log: byId("messages", HTMLElement),
    form: byId("message-form", HTMLFormElement),
    input: this.#chatInput,
    unread: byId("unread-count", HTMLElement),
    toggle: childOf(byId("room", HTMLElement), ".toolbar [data-action=chat]", HTMLButtonElement),
  }, (text) => this.#client?.sendChat(text) ?? false);

  /** What the buttons with `data-action` do. @type {Record<string, () => void>} */
  #actions = {
    mute: () => this.#local.toggleMute(),
    camera: () => this.#local.toggleCamera(),
    screen: () => this.#local.toggleScreen(),
    music: () => this.#local.toggleMusic(),
    station: () => this.#station.toggle(),
    chat: () => this.#chat.setOpen(!this.#chat.isOpen),
    settings: () => {
      void this.#local.refreshPickers();
      if (!this.#settings.open) this.#settings.showModal();
    },
    "copy-link": () => void this.#copyLink(),
    lock: () => this.#moderator.toggleLock(),
    "end-room": () => {
      this.#settings.close();
      void this.#moderator.askToEndRoom();
    },
    leave: () => this.#leave(leftRoom(this.#room)),
  };

  start() {
    pageStarted();
    this.#addListeners();
    this.#local.restore();
    this.#showRoomName();
    setPageTitle(`${this.#room} · roomtone`);
    const problem = roomNameProblem(this.#room);
    if (problem !== "") {
      this.#showNotice(invalidRoom(problem));
      return;
    }
    const missing = missingForRooms(globalThis);
    if (missing !== null) {
      this.#showNotice(unsupportedBrowser(missing));
      return;
    }
    void this.#checkAccess();
    setInterval(() => this.#updateLevels(), LEVEL_INTERVAL_MS);
  }

  #addListeners() {
    onDocument("click", (event) => this.#onClick(event));
    onDocument(["pointerup", "keydown"], () => this.#local.resumeAudio(), { capture: true });
    onDocument("visibilitychange", () => {
      if (!isPageVisible()) return;
      this.#local.resumeAudio();
      this.#local.recover();
      this.#client?.checkConnection();
      if (this.#view === "room") void this.#wakeLock.request();
    });
    listenForShortcuts({
      run: (action) => this.#actions[action](),
      inRoom: () => this.#view === "room",
      pushToTalk: (talking) => this.#local.media.setPushToTalk(talking),
      closeChat: () => {
        const wasOpen = this.#chat.isOpen;
        if (wasOpen) this.#chat.setOpen(false);
        return wasOpen;
      },
      chatInput: this.#chatInput,
    });
    closeOnBackdropClick(this.#settings);
    byId("join-form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#join(this.#local.joinIntent);
    });
    byId("retry-devices", HTMLButtonElement).addEventListener("click", () => void this.#local.open());
    byId("play-audio", HTMLButtonElement).addEventListener("click", () => this.#playAll());
    byId("notice-action", HTMLButtonElement).addEventListener("click", () => void this.#runNoticeAction());
    addEventListener("hashchange", () => {
      this.#linkToken = this.#tokens.takeFromUrl();
      // In the room, the token is only stored for the next visit.
      const isUsed = this.#view !== "room" && roomNameProblem(this.#room) === "";
      if (this.#linkToken !== null && isUsed) void this.#checkAccess();
    });
    addEventListener("online", () => {
      this.#client?.networkChanged();
      this.#station.networkChanged();
    });
    addEventListener("pagehide", (event) => {
      this.#station.pageClosed();
      // A page in the back/forward cache must not keep its place in the room.
      if (event.persisted) this.#leave(leftRoom(this.#room));
    });
  }

  /** Runs the action of the clicked button. @param {MouseEvent} event */
  #onClick(event) {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    const action = button?.dataset.action;
    if (button === null || action === undefined) return;
    // The second click of a double click on the join button is not for the button that is now in its place.
    if (event.detail > 0 && event.timeStamp - this.#joinedAtMs < DOUBLE_CLICK_MS) return;
    this.#actions[action]();
    // After a click, the space bar is for push-to-talk again. With the keyboard, the focus stays.
    if (event.detail > 0 && button.closest(".toolbar") !== null) button.blur();
  }

  // --- views -----------------------------------------------------------------------------------------------------------

  /** @param {View} view */
  #setView(view) {
    this.#view = view;
    pageData().view = view;
    for (const each of VIEWS) setHidden(each, each !== view);
    setHidden("room-info", view !== "room");
    setHidden("copy-link", view !== "room" || this.#isPrivate);
    this.#local.setView(view);
  }

  /**
   * Asks for access before the permission prompt for devices, and shows a notice if it is refused. The user need not wait
   * for the answer: in the room, the WebSocket tells whether the room lets us in, and devices are opened after the answer.
   */
  async #checkAccess() {
    const viewBefore = this.#view;
    const access = await checkAccess(this.#tokens, this.#scope, { linkToken: this.#linkToken });
    this.#linkToken = null;
    if (access.kind === "refused") {
      if (this.#view === "room") return;
      this.#local.media.close();
      this.#showNotice(endingFor({ ...access, message: "" }));
      return;
    }
    if (access.kind === "allowed") this.#showPrivate(access.isPrivate);
    void fetchStatus(this.#tokens.tokenFor("listen")).then((status) => {
      this.#station.title = stationTitle(findStation(status, null));
    });
    if (this.#view !== "notice" && this.#local.opened) return;
    if (this.#view === "room" && this.#joinedWith === "watch") return;
    // The user joined and left before the answer came.
    if (this.#view === "notice" && viewBefore === "prejoin") return;
    if (this.#view === "notice") this.#setView("prejoin");
    await this.#local.open();
  }

  /** @param {boolean} isPrivate */
  #showPrivate(isPrivate) {
    this.#isPrivate = isPrivate;
    setText("empty-room-text", emptyRoom(isPrivate));
    setHidden("empty-room-link", isPrivate);
    setHidden("copy-link", this.#view !== "room" || isPrivate);
  }

  /** @param {import("./ui/roomStrings.js").Ending} ending */
  #showNotice({ title, text, action, actionLabel }) {
    this.#setView("notice");
    this.#noticeAction = action;
    setText("notice-title", title);
    setText("notice-text", text);
    setText("notice-action", actionLabel);
    setHidden("notice-action", action === null);
    // Without an action, the link to the front page is the main button.
    byId("notice-home", HTMLElement).classList.toggle("primary-button", action === null);
    setPageTitle(`${this.#room} · roomtone`);
    byId("notice-title", HTMLElement).focus();
  }

  async #runNoticeAction() {
    if (this.#noticeAction === "checkAccess") {
      await this.#checkAccess();
      return;
    }
    const rejoin = this.#noticeAction === "rejoin";
    this.#setView("prejoin");
    const opened = rejoin && this.#joinedWith === "watch" ? Promise.resolve() : this.#local.open();
    if (rejoin) this.#join(this.#joinedWith);
    await opened;
  }

  // --- the room --------------------------------------------------------------------------------------------------------

  /** @param {import("./ui/joinIntent.js").JoinIntent} intent what the button said when it was pressed */
  #join(intent) {
    if (this.#view !== "prejoin") return;
    this.#joinedWith = intent;
    this.#joinedAtMs = performance.now();
    this.#endedByUs = false;
    this.#setView("room");
    this.#local.join(intent);
    this.#client = this.#createClient();
    this.#local.update();
    this.#showPeopleCount();
    this.#client.join();
    this.#tileGrid.update();
    byId("room-title", HTMLElement).focus({ preventScroll: true });
    void this.#wakeLock.request();
  }

  #createClient() {
    return new RoomClient({
      endpoint: addressOf("ws").replace(/^http/, "ws"),
      hostname: location.hostname,
      room: this.#room,
      outgoing: this.#local.media.outgoing,
      access: {
        check: (resume) => checkAccess(this.#tokens, this.#scope, { resume }),
      },
    }, {
      onSignaling: (state) => this.#onSignaling(state),
      onConfig: (config) => this.#onConfig(config),
      onLock: (locked) => this.#moderator.showLock(locked),
      onMuted: () => this.#local.muteByModerator(),
      onPeerAdded: (peer, isNew) => this.#peerTiles.add(peer, isNew),
      onPeerRemoved: (peer) => {
        this.#moderator.peerLeft(peer.id);
        this.#peerTiles.remove(peer);
      },
      onPeerChanged: (peer) => this.#peerTiles.update(peer),
      onTracks: (peer, tracks) => this.#peerTiles.setTracks(peer, tracks),
      onStats: (peer, snapshot) => this.#peerTiles.updateStatistics(peer, snapshot),
      onChat: ({ senderId, name, text, ageMs, isHistory }) => this.#chat.add({
        name: displayName(name, senderId),
        text,
        isLocal: senderId === this.#client?.id,
        isHistory,
        sentAt: new Date(Date.now() - ageMs),
      }),
      onError: ({ code, message }) => console.warn(`error of the server: ${code}: ${message}`),
      peerState: () => this.#local.peerState(),
    });
  }

  /** @param {import("../shared/protocol.js").Config} config */
  #onConfig({ room, limits, stations, host }) {
    this.#room = room;
    this.#showRoomName();
    this.#showPeopleCount();
    this.#local.joined(this.#client?.id ?? "", limits?.nameChars);
    this.#chatInput.maxLength = limits?.chatChars ?? CHAT_CHARS;
    this.#station.setStation(stations?.[0] ?? null);
    this.#moderator.setModerator(host === true);
  }

  /** @param {import("./signaling.js").SignalingState} state */
  #onSignaling(state) {
    if (state.kind === "refused") {
      this.#leave(endingFor(state, this.#endedByUs));
      return;
    }
    const client = this.#client;
    const firstAttempt = client !== null && client.id === "" && state.kind === "connecting" && !state.socketRefused;
    this.#connectionBanner.show(client === null || firstAttempt ? "" : connectionProblem(state, navigator.onLine));
  }

  /** @param {import("./ui/roomStrings.js").Ending} ending */
  #leave(ending) {
    if (this.#view !== "room") return;
    this.#client?.leave();
    this.#client = null;
    this.#peerTiles.clear();
    this.#station.setOn(false);
    this.#local.leave();
    this.#chat.setOpen(false);
    this.#settings.close();
    this.#moderator.setModerator(false);
    this.#moderator.showLock(false);
    exitFullscreen();
    this.#wakeLock.release();
    this.#showNotice(ending);
  }

  #showRoomName() {
    setText("prejoin-title", this.#room);
    setText("room-name", this.#room);
    setText("room-title", `Room ${this.#room}`);
  }

  #showPeopleCount() {
    const count = this.#peerTiles.count + 1;
    setText("people-count", peopleCount(count));
    setHidden("empty-room", count > 1);
    setPageTitle(`${this.#room} · ${peopleCount(count)} · roomtone`);
  }

  #updateLevels() {
    if (this.#view === "notice") return;
    const nowMs = performance.now();
    this.#local.updateLevel(nowMs);
    for (const peer of this.#client?.peers ?? []) this.#peerTiles.updateLevel(peer, nowMs);
  }

  // --- audio that waits for a user gesture -----------------------------------------------------------------------------

  #onPlayRefused() {
    setHidden("play-audio", false);
  }

  #playAll() {
    setHidden("play-audio", true);
    this.#peerTiles.play();
    this.#local.play();
    this.#station.play();
  }

  async #copyLink() {
    const link = addressOf(roomPath(this.#room));
    try {
      await navigator.clipboard.writeText(link);
      setText("copy-link-label", "Copied");
      announce("The link is copied.");
    } catch {
      // Only secure pages have a clipboard. Elsewhere the user copies the link.
      prompt("Link to this room:", link);
    }
    setTimeout(() => setText("copy-link-label", "Copy link"), COPIED_MS);
  }
}

new RoomPage().start();
