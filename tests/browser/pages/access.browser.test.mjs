import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Guest } from "../harness/participant.mjs";
import { GUESTS, House, until } from "../harness/server.mjs";
import { assertLaidOut } from "../harness/layout.mjs";
import { speakSeed } from "../harness/minimalClient.mjs";

const BAD = "bm9uZQ.b2YgdGhpcyBob3VzZQ";

/** A person's own browser: it remembers for itself, and for nobody else. */
async function person(t, browser) {
  const context = await browser.createBrowserContext();
  t.after(() => context.close());
  return context;
}

/** A page that notes what goes wrong in it unseen. */
async function visit(t, browser, address) {
  const page = await (await person(t, browser)).newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  await page.goto(address, { waitUntil: "load" });
  return { page, errors };
}

const textOf = (page, selector) => page.$eval(selector, (element) => element.checkVisibility() ? element.textContent.trim() : "");
const says = (page, selector, words) => until(`${selector} to say ${words}`, async () => words.test(await textOf(page, selector)));
const keptIn = (page) => page.evaluate(() => JSON.parse(localStorage.getItem("roomtone.tokens") ?? "{}"));
const addressOf = (page) => page.evaluate(() => location.href);

/** @param {Guest} guest */
const hearsNothingOf = (guest, tile) => guest.page.$eval(tile, (element) => element.querySelector("audio").muted);

/**
 * The host presses what is on the sheet of one person.
 * @param {Guest} host
 * @param {string} called
 * @param {"mute" | "remove"} wish
 */
async function wishes(host, called, wish) {
  const { page } = host;
  await page.bringToFront();
  const tool = `.tile [data-tool=wish][aria-label="Mute or remove ${called}"]`;
  await until(`${called}'s tile`, () => page.$(tool));
  // By the keyboard: what is only to be seen under a mouse must be reached without one.
  await page.focus(tool);
  await page.keyboard.press("Enter");
  await until("the sheet", () => page.$("#wishes[open]"));
  assert.equal(await textOf(page, "#wishes-title"), called);
  await page.click(`#wish-${wish}`);
  await until("the sheet to close", async () => (await page.$("#wishes[open]")) === null);
}

/** @param {Guest} host */
async function agrees(host) {
  await until("the question", () => host.page.$("#sure[open]"));
  await host.page.click("#sure-yes");
}

describe("a private house in Chromium", { timeout: 200_000 }, () => {
  /** @type {import("puppeteer-core").Browser} */
  let browser;
  /** @type {House} */
  let house;
  before(async () => {
    [browser, house] = await Promise.all([GUESTS.Chromium(), House.open(0, ["--private"])]);
    house.key = house.invite("--admin");
  });
  after(async () => {
    await browser?.close();
    await house?.kill();
  });

  test("a room opens by its link alone, which leaves the address bar and is kept for the next time", async (t) => {
    const key = house.invite("--room", "band");
    const ada = await Guest.come(t, await person(t, browser), house, "band", "Ada");
    await ada.isTold(/This room is private\.\s+Open the link you were invited with\./);
    assert.equal(await ada.page.evaluate(() => document.activeElement.id), "after-title", "it is read out");
    assert.equal(await ada.page.evaluate(() => window.asked), 0, "nobody is asked for a camera in vain");

    // The link is opened in the page that stands there already, as a click on it does.
    await ada.page.evaluate((hash) => { location.hash = hash; }, `t=${key}`);
    await until("her own picture", () => ada.page.$("#mirror.lit"));
    assert.equal(await addressOf(ada.page), `${house.origin}/room/band`);
    await ada.goIn();
    assert.match(await textOf(ada.page, "#alone"), /Only those who were invited/);

    await ada.page.reload({ waitUntil: "load" });
    await until("her own picture", () => ada.page.$("#mirror.lit"));
    await ada.goIn();
    const bela = await Guest.enter(t, await person(t, browser), house, `band#t=${key}`, "Bela");
    assert.equal(await addressOf(bela.page), `${house.origin}/room/band`);
    await Promise.all([ada.receives(["Bela"]), bela.receives(["Ada"])]);
    assert.equal(await bela.page.$("body[data-hosting]"), null);

    // A line that breaks comes back with its key.
    await bela.page.evaluate(() => window.sockets.at(-1).close(4000));
    await until("a second line", () => bela.page.evaluate(() => window.sockets.length === 2 && window.sockets[1].readyState === 1));
    await bela.says("back");
    await ada.hears("back");
    assert.deepEqual([...ada.errors, ...bela.errors], []);
  });

  test("a link for another room, one that was withdrawn and one that never was each have their sentence", async (t) => {
    const key = house.invite("--room", "band");
    const ada = await Guest.come(t, await person(t, browser), house, `other#t=${key}`, "Ada");
    await ada.isTold(/This link is for another room\./);

    const bela = await Guest.come(t, await person(t, browser), house, `band#t=${key}`, "Bela");
    await until("her own picture", () => bela.page.$("#mirror.lit"));
    house.revoke(key);
    await bela.page.click("#enter");
    await bela.isTold(/This link has expired or was withdrawn\.\s+Ask for a new one\./);
    assert.deepEqual(await keptIn(bela.page), {}, "it is forgotten");
    await bela.page.click("#return");
    await bela.isTold(/This room is private/);
    await bela.page.goto(`${house.origin}/room/band#t=${house.invite("--room", "band")}`);
    await until("her own picture", () => bela.page.$("#mirror.lit"));
    assert.deepEqual([...ada.errors, ...bela.errors], []);
  });

  test("a link for one lets that one back in after a dropped line, and nobody else", async (t) => {
    const key = house.invite("--room", "solo", "--uses", "1");
    const ada = await Guest.enter(t, await person(t, browser), house, `solo#t=${key}`, "Ada");
    await ada.page.evaluate(() => window.sockets.at(-1).close(4000));
    await until("a second line", () => ada.page.evaluate(() => window.sockets.length === 2 && window.sockets[1].readyState === 1));
    await ada.says("still here");
    await ada.hears("still here");
    const bela = await Guest.come(t, await person(t, browser), house, `solo#t=${key}`, "Bela");
    await bela.isTold(/This link has expired or was withdrawn\./);
    assert.deepEqual([...ada.errors, ...bela.errors], []);
  });

  test("the station plays by its link, even for one, and says in place of its controls that it is private", async (t) => {
    const { page, errors } = await visit(t, browser, `${house.origin}/listen`);
    await says(page, "#refused", /This station is private\.\s+Open the link you were invited with\./);
    assert.equal(await page.$eval("#power", (power) => power.checkVisibility()), false);
    const key = house.invite("--listen", "--uses", "1");
    await page.evaluate((hash) => { location.hash = hash; }, `t=${key}`);
    await until("the controls", () => page.$eval("#power", (power) => power.checkVisibility()));
    assert.equal(await addressOf(page), `${house.origin}/listen`);
    await page.click("#power");
    await says(page, "#status", /^Live$/);
    assert.match(await textOf(page, "#title"), /440/);
    await until("its listener", async () => (await house.listeners()) === 1);
    await page.click("#power");
    await until("nobody to listen", async () => (await house.listeners()) === 0);
    // It was for one to come in.
    await page.click("#power");
    await says(page, "#refused", /This link has expired or was withdrawn\./);
    assert.deepEqual(errors, []);
  });

  test("the front page tells who one is here, and a host can be a guest again", async (t) => {
    const { page, errors } = await visit(t, browser, `${house.origin}/`);
    await says(page, "#trouble", /This station is private/);
    assert.equal(await textOf(page, "#hosting"), "");
    assert.match(await textOf(page, "#main-words"), /invited/);
    await assertLaidOut(page, "lobby-private");
    await page.evaluate((hash) => { location.hash = hash; }, `t=${house.key}`);
    await says(page, "#hosting", /You are here as a host\./);
    assert.equal(await addressOf(page), `${house.origin}/`);
    await says(page, ".offer-words", /On air/);
    await assertLaidOut(page, "lobby-host");
    await page.setViewport({ width: 1000, height: 800 });
    await page.click("#give-up");
    await says(page, "#invited", /guest/);
    assert.equal(await textOf(page, "#hosting"), "");
    assert.deepEqual(await keptIn(page), {});
    await says(page, "#trouble", /This station is private/);
    assert.deepEqual(errors, []);
  });

  test("a sentence that refuses is well laid out, and so is one's way on", async (t) => {
    const room = await Guest.come(t, await person(t, browser), house, "band", "Ada");
    await room.isTold(/private/);
    await assertLaidOut(room.page, "refused-room");
    const { page } = await visit(t, browser, `${house.origin}/listen#t=${BAD}`);
    await says(page, "#refused", /This link has expired or was withdrawn\./);
    await assertLaidOut(page, "refused-listen");
  });
});

describe("an open house in Chromium", { timeout: 200_000 }, () => {
  /** @type {import("puppeteer-core").Browser} */
  let browser;
  /** @type {House} */
  let house;
  /** @type {string} */
  let admin;
  before(async () => {
    [browser, house] = await Promise.all([GUESTS.Chromium(), House.open()]);
    admin = house.invite("--admin");
  });
  after(async () => {
    await browser?.close();
    await house?.kill();
  });

  /** A host, who opened the link on the front page first, and guests. */
  async function company(t, room, names) {
    const [first, ...rest] = names;
    const own = await person(t, browser);
    const lobby = await own.newPage();
    await lobby.goto(`${house.origin}/#t=${admin}`);
    await says(lobby, "#hosting", /host/);
    await lobby.close();
    const host = await Guest.enter(t, own, house, room, first);
    const guests = [];
    for (const name of rest) guests.push(await Guest.enter(t, browser, house, room, name));
    await until("the host's tools", () => host.page.$("body[data-hosting]"));
    return [host, ...guests];
  }

  test("a key that is no good is told when its link is opened, and keeps nobody out afterwards", async (t) => {
    const ada = await Guest.come(t, await person(t, browser), house, `band#t=${BAD}`, "Ada");
    await ada.isTold(/This link has expired or was withdrawn\./);
    await ada.page.click("#return");
    await until("her own picture", () => ada.page.$("#mirror.lit"));
    const { page, errors } = await visit(t, browser, `${house.origin}/#t=${BAD}`);
    await says(page, "#invited", /This link has expired or was withdrawn\./);
    await says(page, ".offer-words", /On air/);
    assert.deepEqual([...ada.errors, ...errors], []);
  });

  test("a host locks the room: all see it, nobody new comes in, and those inside stay", async (t) => {
    const [host, bela] = await company(t, "locked", ["Hanna", "Bela"]);
    assert.equal(await bela.page.$eval(".bar [data-action=lock]", (button) => button.checkVisibility()), false, "not for guests");
    const lock = () => host.page.$eval(".bar [data-action=lock]", (button) => [button.getAttribute("aria-pressed"), button.textContent.trim()]);
    assert.deepEqual(await lock(), ["false", "Room open"]);
    await host.press("lock");
    for (const { page } of [host, bela]) await until("the sign", () => page.$eval("#locked", (sign) => sign.checkVisibility() && sign.ariaLabel !== ""));
    assert.deepEqual(await lock(), ["true", "Room locked"]);
    await says(bela.page, "#announce", /locked/);

    const cleo = await Guest.come(t, browser, house, "locked", "Cleo");
    await until("her own picture", () => cleo.page.$("#mirror.lit"));
    await cleo.page.type("#person", "Cleo");
    await cleo.page.click("#enter");
    await cleo.isTold(/This room is locked\.\s+Ask somebody inside to let you in\./);
    assert.equal(await textOf(cleo.page, "#return"), "Try again");
    await bela.page.evaluate(() => window.sockets.at(-1).close(4000));
    await until("a second line", () => bela.page.evaluate(() => window.sockets.length === 2 && window.sockets[1].readyState === 1));
    await bela.says("still here");
    await host.hears("still here");
    assert.equal(await cleo.page.evaluate(() => window.sockets.length), 1, "no page comes back by itself where it was refused");

    await host.page.bringToFront();
    await host.page.keyboard.press("l");
    await until("the sign to go", () => bela.page.$eval("#locked", (sign) => !sign.checkVisibility()));
    await cleo.page.bringToFront();
    await cleo.page.click("#return");
    await host.sees(["Bela", "Cleo"]);
    await cleo.receives(["Hanna", "Bela"]);
    assert.deepEqual([host, bela, cleo].flatMap(({ errors }) => errors), []);
  });

  test("a host mutes somebody, who is told and may speak again; one who does not obey is not played", async (t) => {
    const [host, bela, cleo] = await company(t, "muted", ["Hanna", "Bela", "Cleo"]);
    await Promise.all([host.receives(["Bela", "Cleo"]), cleo.receives(["Bela"])]);
    await wishes(host, "Bela", "mute");
    await says(bela.page, "#wished", /A host turned your microphone off\./);
    for (const guest of [host, cleo]) await until("the mark", async () => (await guest.tile("Bela"))?.muted);
    const track = () => bela.page.evaluate(() => window.lines[0].getSenders().find(({ track }) => track?.kind === "audio").track.enabled);
    assert.equal(await track(), false);
    assert.equal(await bela.page.$eval(".bar [data-action=mute]", (button) => button.textContent.trim()), "Unmute");
    await bela.press("mute");
    for (const guest of [host, cleo]) await guest.receives(["Bela"]);
    assert.equal(await textOf(bela.page, "#wished"), "");

    const seed = await browser.newPage();
    t.after(() => seed.close());
    await seed.goto(`${house.origin}/listen`);
    await seed.evaluate(speakSeed, "muted");
    const called = await until("the other client", async () => (await host.look()).find(({ name }) => name.startsWith("Guest "))?.name);
    const tile = `.tile[aria-label="${called}"]`;
    for (const guest of [host, cleo]) await guest.receives([called]);
    for (const guest of [host, cleo]) assert.equal(await hearsNothingOf(guest, tile), false);
    await wishes(host, called, "mute");
    for (const guest of [host, cleo]) await until("silence", () => hearsNothingOf(guest, tile));
    const packets = async () => (await cleo.tile(called)).packets;
    const sent = await packets();
    await until("it to go on sending all the same", async () => (await packets()) > sent + 50);
    for (const guest of [host, cleo]) {
      assert.equal(await hearsNothingOf(guest, tile), true);
      assert.equal((await guest.tile(called)).muted, true);
    }
    assert.deepEqual([host, bela, cleo].flatMap(({ errors }) => errors), []);
  });

  test("a host removes somebody, after one question, and the page does not come back by itself", async (t) => {
    const [host, bela, cleo] = await company(t, "removed", ["Hanna", "Bela", "Cleo"]);
    await wishes(host, "Cleo", "remove");
    await until("the question", () => host.page.$("#sure[open]"));
    assert.match(await textOf(host.page, "#sure-title"), /^Remove Cleo from this room\?$/);
    assert.equal(await host.page.evaluate(() => document.activeElement.value), "no", "Enter alone removes nobody");
    await host.page.keyboard.press("Escape");
    await until("the question to go", async () => (await host.page.$("#sure[open]")) === null);
    assert.notEqual(await host.tile("Cleo"), undefined);

    await wishes(host, "Cleo", "remove");
    await agrees(host);
    await cleo.isTold(/A host removed you from this room\./);
    await Promise.all([host.sees(["Bela"]), bela.sees(["Hanna"])]);
    assert.equal(await cleo.page.$eval("#return", (button) => button.checkVisibility()), false);
    assert.equal(await cleo.page.evaluate(() => window.sockets.length), 1);
    await assertLaidOut(cleo.page, "removed");
    await cleo.page.setViewport({ width: 1000, height: 800 });
    await Promise.all([cleo.page.waitForNavigation(), cleo.page.click("#front")]);
    assert.equal(new URL(cleo.page.url()).pathname, "/");
    assert.deepEqual([host, bela, cleo].flatMap(({ errors }) => errors), []);
  });

  test("a host ends the room for everybody, after one question", async (t) => {
    const [host, bela, cleo] = await company(t, "ended", ["Hanna", "Bela", "Cleo"]);
    await host.press("more");
    await host.page.click("#more [data-action=end]");
    await agrees(host);
    await Promise.all([bela, cleo].map((guest) => guest.isTold(/A host ended this room\./)));
    await host.isTold(/You ended this room\./);
    for (const { page } of [host, bela, cleo]) assert.equal(await page.evaluate(() => window.sockets.length), 1);
    // The name is free again.
    const dora = await Guest.enter(t, browser, house, "ended", "Dora");
    await dora.sees([]);
    assert.deepEqual([host, bela, cleo, dora].flatMap(({ errors }) => errors), []);
  });

  test("what a host sees is well laid out, and named", async (t) => {
    const [host, ...guests] = await company(t, "look", ["Hanna", "Bela", "Wilhelmina Featherstonehaugh-Cholmondeley", "Dora"]);
    await host.receives(guests.map(({ name }) => name), { sound: false });
    await host.press("lock");
    await until("the sign", () => host.page.$eval("#locked", (sign) => sign.checkVisibility()));
    await host.page.$eval(".tile:not(.own)", (tile) => tile.classList.add("picked"));
    await assertLaidOut(host.page, "host-room");
    await host.press("more");
    await assertLaidOut(host.page, "host-settings", "#more");
    await host.page.keyboard.press("Escape");
    await host.page.$eval(`[aria-label="Mute or remove ${guests[1].name}"]`, (button) => button.click());
    await assertLaidOut(host.page, "host-wishes", "#wishes");
    await host.page.$eval("#wish-remove", (button) => button.click());
    await until("the question", () => host.page.$("#sure[open]"));
    await assertLaidOut(host.page, "host-sure", "#sure");
    await host.page.keyboard.press("Escape");
    const nodesOf = (node) => [node, ...(node.children ?? []).flatMap(nodesOf)];
    const tree = nodesOf(await host.page.accessibility.snapshot());
    assert.deepEqual(tree.filter(({ role, name }) => /button|link|textbox|combobox|slider|dialog/.test(role) && !name), []);
    assert.deepEqual(host.errors, []);
  });
});

describe("a private house in Firefox", { timeout: 120_000 }, () => {
  /** @type {import("puppeteer-core").Browser} */
  let browser;
  /** @type {House} */
  let house;
  before(async () => {
    [browser, house] = await Promise.all([GUESTS.Firefox(), House.open(0, ["--private"])]);
  });
  after(async () => {
    await browser?.close();
    await house?.kill();
  });

  test("a guest comes in by the link, is muted, locked in and put out by the host", async (t) => {
    const host = await Guest.enter(t, await person(t, browser), house, `band#t=${house.invite("--admin")}`, "Hanna");
    const lost = await Guest.come(t, await person(t, browser), house, "band", "Lost");
    await lost.isTold(/This room is private/);
    const bela = await Guest.enter(t, await person(t, browser), house, `band#t=${house.invite("--room", "band")}`, "Bela");
    assert.equal(await addressOf(bela.page), `${house.origin}/room/band`);
    await Promise.all([host.receives(["Bela"]), bela.receives(["Hanna"])]);
    await host.press("lock");
    await until("the sign", () => bela.page.$eval("#locked", (sign) => sign.checkVisibility()));
    await wishes(host, "Bela", "mute");
    await says(bela.page, "#wished", /A host turned your microphone off\./);
    await until("the mark", async () => (await host.tile("Bela"))?.muted);
    await wishes(host, "Bela", "remove");
    await agrees(host);
    await bela.isTold(/A host removed you/);
    await host.sees([]);
    assert.deepEqual([...host.errors, ...bela.errors, ...lost.errors], []);
  });
});
