/**
 * What a moderator can do in a room: lock it, mute and remove people, end it.
 */

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { assertLayout } from "../harness/layout.mjs";
import { runMinimalClient } from "../harness/minimalClient.mjs";
import { newContext, shows, textOf, unnamedControls } from "../harness/page.mjs";
import { Participant } from "../harness/participant.mjs";
import { answerPrompt, holdPrompts } from "../harness/permissionPrompt.mjs";
import { assertNoErrors, joinAll, useBrowserAndServer } from "../harness/room.mjs";
import { waitFor } from "../harness/waitFor.mjs";

/** Waits until the lock is shown, or not. @param {Participant} participant */
const lockIs = ({ name, page }, visible) => waitFor(`${name}'s lock to be visible: ${visible}`, () => page.$eval(
  "#room-locked",
  (lock, expected) => lock.checkVisibility() === expected && lock.ariaLabel !== "",
  visible,
));

/** Whether a tile's audio element is muted. @param {Participant} participant */
const isTileSilent = ({ page }, tile) => page.$eval(tile, (element) => element.querySelector("audio").muted);

/**
 * The moderator uses the dialog for one person, by the keyboard: buttons that appear on hover must be reachable without a
 * mouse.
 * @param {Participant} moderator
 * @param {string} name
 * @param {"mute" | "remove"} command
 */
async function moderates({ page }, name, command) {
  await page.bringToFront();
  const button = `.tile [data-tool=moderate][aria-label="Mute or remove ${name}"]`;
  await waitFor(`${name}'s tile`, () => page.$(button));
  await page.focus(button);
  await page.keyboard.press("Enter");
  await waitFor("the dialog", () => page.$("#peer-dialog[open]"));
  assert.equal(await textOf(page, "#peer-dialog-title"), name);
  await page.click(`#peer-${command}`);
  await waitFor("the dialog to close", async () => (await page.$("#peer-dialog[open]")) === null);
}

/** @param {Participant} moderator */
async function confirms({ page }) {
  await waitFor("the question", () => page.$("#confirm[open]"));
  await page.click("#confirm-yes");
}

describe("a moderator in Chromium", { timeout: 200_000 }, () => {
  const fixture = useBrowserAndServer("Chromium");
  /** @type {string} */
  let adminToken;
  before(() => {
    adminToken = fixture.server.invite("--admin");
  });

  /** A moderator, who opened the administrator's link on the front page first, and other people. */
  async function joinWithModerator(t, room, [moderatorName, ...names]) {
    const context = await newContext(t, fixture.browser);
    const lobby = await context.newPage();
    await lobby.goto(`${fixture.server.origin}/#t=${adminToken}`);
    await shows(lobby, "#moderator-notice", /moderator/);
    await lobby.close();
    const moderator = await Participant.join(t, context, fixture.server, room, moderatorName);
    const others = await joinAll(t, fixture, room, names);
    await waitFor("the moderator's tools", () => moderator.page.$("body[data-moderator]"));
    return [moderator, ...others];
  }

  test("locks the room: everybody sees it, nobody new can join, and people inside can reconnect", async (t) => {
    const [hanna, bela] = await joinWithModerator(t, "locked", ["Hanna", "Bela"]);
    assert.equal(await bela.offers("lock"), false, "only for moderators");
    const lockButton = () => hanna.page.$eval(".toolbar [data-action=lock]", (button) => [button.getAttribute("aria-pressed"), button.textContent.trim()]);
    assert.deepEqual(await lockButton(), ["false", "Room open"]);
    await hanna.press("lock");
    await Promise.all([lockIs(hanna, true), lockIs(bela, true)]);
    assert.deepEqual(await lockButton(), ["true", "Room locked"]);
    await shows(bela.page, "#announcement", /locked/);

    const cleo = await Participant.open(t, fixture.browser, fixture.server, "locked", "Cleo");
    await cleo.hasPreview();
    await cleo.page.type("#display-name", "Cleo");
    await cleo.page.click("#join");
    await cleo.showsNotice(/This room is locked\.\s+Ask somebody in the room to let you in\./);
    assert.equal(await textOf(cleo.page, "#notice-action"), "Try again");
    await bela.reconnectsSignaling();
    await bela.sendsChat("still here");
    await hanna.receivesChat("still here");
    assert.equal(await cleo.socketCount(), 1, "a refused page does not retry by itself");

    await hanna.page.bringToFront();
    await hanna.page.keyboard.press("l");
    await lockIs(bela, false);
    await cleo.page.bringToFront();
    await cleo.page.click("#notice-action");
    await hanna.sees(["Bela", "Cleo"]);
    await cleo.receives(["Hanna", "Bela"]);
    assertNoErrors([hanna, bela, cleo]);
  });

  test("mutes a person, who can unmute; a client that does not obey is not played", async (t) => {
    const [hanna, bela, cleo] = await joinWithModerator(t, "muted", ["Hanna", "Bela", "Cleo"]);
    await Promise.all([hanna.receives(["Bela", "Cleo"]), cleo.receives(["Bela"])]);
    await moderates(hanna, "Bela", "mute");
    await shows(bela.page, "#muted-banner", /A moderator turned your microphone off\./);
    for (const participant of [hanna, cleo]) await participant.tileIs("Bela", "muted");
    const sendsAudio = () => bela.page.evaluate(() => window.connections[0].getSenders().find(({ track }) => track?.kind === "audio").track.enabled);
    assert.equal(await sendsAudio(), false);
    assert.equal(await bela.page.$eval(".toolbar [data-action=mute]", (button) => button.textContent.trim()), "Unmute");
    await bela.press("mute");
    for (const participant of [hanna, cleo]) await participant.receives(["Bela"]);
    assert.equal(await textOf(bela.page, "#muted-banner"), "");

    const minimal = await fixture.browser.newPage();
    t.after(() => minimal.close());
    await minimal.goto(`${fixture.server.origin}/listen`);
    await minimal.evaluate(runMinimalClient, "muted");
    const guest = await waitFor("the minimal client", async () => (await hanna.tiles()).find(({ name }) => name.startsWith("Guest "))?.name);
    const tile = `.tile[aria-label="${guest}"]`;
    for (const participant of [hanna, cleo]) await participant.receives([guest]);
    for (const participant of [hanna, cleo]) assert.equal(await isTileSilent(participant, tile), false);
    await moderates(hanna, guest, "mute");
    for (const participant of [hanna, cleo]) await waitFor("silence", () => isTileSilent(participant, tile));
    const packets = async () => (await cleo.tile(guest)).audioPackets;
    const packetsBefore = await packets();
    await waitFor("further packets", async () => (await packets()) > packetsBefore + 50);
    for (const participant of [hanna, cleo]) {
      assert.equal(await isTileSilent(participant, tile), true);
      assert.equal((await participant.tile(guest)).muted, true);
    }
    assertNoErrors([hanna, bela, cleo]);
  });

  test("mutes a person whose microphone is being opened: nobody hears it when it arrives", async (t) => {
    const [hanna] = await joinWithModerator(t, "mutedearly", ["Hanna"]);
    const bela = await Participant.open(t, fixture.browser, fixture.server, "mutedearly", "Bela", holdPrompts);
    await bela.join();
    await hanna.sees(["Bela"]);
    // The dialog does not offer to mute a microphone that is off, but the command may cross the news that it is on.
    await hanna.page.evaluate((targetId) => window.sockets.at(-1).send(JSON.stringify({ type: "mute", targetId, payload: {} })), (await hanna.tile("Bela")).id);
    await shows(bela.page, "#muted-banner", /A moderator turned your microphone off\./);
    await answerPrompt(bela.page, 1, "grant");
    await hanna.receives(["Bela"], { audio: false });
    const microphone = () => bela.page.evaluate(() => window.connections[0].getSenders().find(({ track }) => track?.kind === "audio").track.enabled);
    assert.equal(await microphone(), false);
    await hanna.tileIs("Bela", "muted");
    await bela.press("mute");
    await hanna.receives(["Bela"]);
    assertNoErrors([hanna, bela]);
  });

  test("removes a person after one question, and that page does not reconnect", async (t) => {
    const [hanna, bela, cleo] = await joinWithModerator(t, "removed", ["Hanna", "Bela", "Cleo"]);
    await moderates(hanna, "Cleo", "remove");
    await waitFor("the question", () => hanna.page.$("#confirm[open]"));
    assert.match(await textOf(hanna.page, "#confirm-title"), /^Remove Cleo from this room\?$/);
    assert.equal(await hanna.page.evaluate(() => document.activeElement.value), "no", "Enter alone removes nobody");
    await hanna.page.keyboard.press("Escape");
    await waitFor("the question to go", async () => (await hanna.page.$("#confirm[open]")) === null);
    assert.notEqual(await hanna.tile("Cleo"), undefined);

    await moderates(hanna, "Cleo", "remove");
    await confirms(hanna);
    await cleo.showsNotice(/A moderator removed you from this room\./);
    await Promise.all([hanna.sees(["Bela"]), bela.sees(["Hanna"])]);
    assert.equal(await cleo.page.$eval("#notice-action", (button) => button.checkVisibility()), false);
    assert.equal(await cleo.socketCount(), 1);
    await assertLayout(cleo.page, "removed");
    await cleo.page.setViewport({ width: 1000, height: 800 });
    await Promise.all([cleo.page.waitForNavigation(), cleo.page.click("#notice-home")]);
    assert.equal(new URL(cleo.page.url()).pathname, "/");
    assertNoErrors([hanna, bela, cleo]);
  });

  test("ends the room for everybody after one question", async (t) => {
    const [hanna, bela, cleo] = await joinWithModerator(t, "ended", ["Hanna", "Bela", "Cleo"]);
    await hanna.press("settings");
    await hanna.page.click("#settings [data-action=end-room]");
    await confirms(hanna);
    await Promise.all([bela, cleo].map((participant) => participant.showsNotice(/A moderator ended this room\./)));
    await hanna.showsNotice(/You ended this room\./);
    for (const participant of [hanna, bela, cleo]) assert.equal(await participant.socketCount(), 1);
    // The room's name can be used again.
    const [dora] = await joinAll(t, fixture, "ended", ["Dora"]);
    await dora.sees([]);
    assertNoErrors([hanna, bela, cleo, dora]);
  });

  test("has dialogs with a good layout, and names for all controls", async (t) => {
    const [hanna, ...others] = await joinWithModerator(t, "layout", ["Hanna", "Bela", "Wilhelmina Featherstonehaugh-Cholmondeley", "Dora"]);
    await hanna.receives(others.map(({ name }) => name), { audio: false });
    await hanna.press("lock");
    await lockIs(hanna, true);
    await hanna.page.$eval(".tile:not(.local)", (tile) => tile.classList.add("selected"));
    await assertLayout(hanna.page, "moderator-room");
    await hanna.press("settings");
    await assertLayout(hanna.page, "moderator-settings", "#settings");
    await hanna.page.keyboard.press("Escape");
    await hanna.page.$eval(`[aria-label="Mute or remove ${others[1].name}"]`, (button) => button.click());
    await assertLayout(hanna.page, "moderator-peer-dialog", "#peer-dialog");
    await hanna.page.$eval("#peer-remove", (button) => button.click());
    await waitFor("the question", () => hanna.page.$("#confirm[open]"));
    await assertLayout(hanna.page, "moderator-confirm", "#confirm");
    await hanna.page.keyboard.press("Escape");
    assert.deepEqual(await unnamedControls(hanna.page, /button|link|textbox|combobox|slider|dialog/), []);
    assertNoErrors([hanna]);
  });
});

describe("a moderator in Firefox", { timeout: 120_000 }, () => {
  const fixture = useBrowserAndServer("Firefox", ["--private"]);

  test("lets people in by links, locks the room, mutes and removes a person", async (t) => {
    const { browser, server } = fixture;
    const open = async (method, room, name) => Participant[method](t, await newContext(t, browser), server, room, name);
    const hanna = await open("join", `band#t=${server.invite("--admin")}`, "Hanna");
    const stranger = await open("open", "band", "Stranger");
    await stranger.showsNotice(/This room is private/);
    const bela = await open("join", `band#t=${server.invite("--room", "band")}`, "Bela");
    assert.equal(await bela.page.evaluate(() => location.href), `${server.origin}/room/band`);
    await Promise.all([hanna.receives(["Bela"]), bela.receives(["Hanna"])]);
    await hanna.press("lock");
    await lockIs(bela, true);
    await moderates(hanna, "Bela", "mute");
    await shows(bela.page, "#muted-banner", /A moderator turned your microphone off\./);
    await hanna.tileIs("Bela", "muted");
    await moderates(hanna, "Bela", "remove");
    await confirms(hanna);
    await bela.showsNotice(/A moderator removed you/);
    await hanna.sees([]);
    assertNoErrors([hanna, bela, stranger]);
  });
});
