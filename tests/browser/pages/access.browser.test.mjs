/**
 * A private server, where people join by invitation links.
 */

import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { assertLayout } from "../harness/layout.mjs";
import { collectErrors, newContext, shows, textOf } from "../harness/page.mjs";
import { Participant } from "../harness/participant.mjs";
import { assertNoErrors, useBrowserAndServer } from "../harness/room.mjs";
import { waitFor } from "../harness/waitFor.mjs";

/** A token of another server. */
const FOREIGN_TOKEN = "bm9uZQ.b2YgdGhpcyBob3VzZQ";

const storedTokens = (page) => page.evaluate(() => JSON.parse(localStorage.getItem("roomtone.tokens") ?? "{}"));
const addressOf = (page) => page.evaluate(() => location.href);
/** Changes the fragment of an open page, as a click on a link does. */
const openLinkInPlace = (page, token) => page.evaluate((hash) => { location.hash = hash; }, `t=${token}`);

/** Opens a page in a context of its own. */
async function openPage(t, browser, url) {
  const page = await (await newContext(t, browser)).newPage();
  const errors = collectErrors(page);
  await page.goto(url, { waitUntil: "load" });
  return { page, errors };
}

describe("a private server", { timeout: 200_000 }, () => {
  const fixture = useBrowserAndServer("Chromium", ["--private"]);
  before(() => {
    fixture.server.adminToken = fixture.server.invite("--admin");
  });
  /** Opens a room with a context of its own. */
  const open = async (t, room, name) => Participant.open(t, await newContext(t, fixture.browser), fixture.server, room, name);
  const join = async (t, room, name) => Participant.join(t, await newContext(t, fixture.browser), fixture.server, room, name);

  test("a link opens its room; its token leaves the address bar and is stored for the next visit", async (t) => {
    const { server } = fixture;
    const token = server.invite("--room", "band");
    const ada = await open(t, "band", "Ada");
    await ada.showsNotice(/This room is private\.\s+Open the link in your invitation\./);
    assert.equal(await ada.page.evaluate(() => document.activeElement.id), "notice-title", "screen readers read it");
    assert.equal(await ada.page.evaluate(() => window.deviceRequests), 0, "no useless permission prompt");

    await openLinkInPlace(ada.page, token);
    await ada.hasPreview();
    assert.equal(await addressOf(ada.page), `${server.origin}/room/band`);
    await ada.join();
    assert.match(await textOf(ada.page, "#empty-room"), /Only invited people can join/);

    await ada.page.reload({ waitUntil: "load" });
    await ada.hasPreview();
    await ada.join();
    const bela = await join(t, `band#t=${token}`, "Bela");
    assert.equal(await addressOf(bela.page), `${server.origin}/room/band`);
    await Promise.all([ada.receives(["Bela"]), bela.receives(["Ada"])]);
    assert.equal(await bela.page.$("body[data-moderator]"), null);

    // A reconnect uses the token as well.
    await bela.reconnectsSignaling();
    const urls = await bela.page.evaluate(() => [
      ...window.sockets.map(({ url }) => url),
      ...performance.getEntriesByType("resource").map(({ name }) => name),
    ]);
    assert.ok(urls.filter((url) => url.includes("ticket=")).length >= 2, "each WebSocket has a ticket");
    const secrets = urls.filter((url) => url.includes(token) || /(token|resume)=/.test(url));
    assert.deepEqual(secrets, [], "proxies log URLs");
    await bela.sendsChat("back");
    await ada.receivesChat("back");
    assertNoErrors([ada, bela]);
  });

  test("a link for another room, a withdrawn link and a missing link have different messages", async (t) => {
    const { server } = fixture;
    const token = server.invite("--room", "band");
    const ada = await open(t, `other#t=${token}`, "Ada");
    await ada.showsNotice(/This link is for another room\./);

    const bela = await open(t, `band#t=${token}`, "Bela");
    await bela.hasPreview();
    server.revoke(token);
    await bela.page.click("#join");
    await bela.showsNotice(/This link has expired or was withdrawn\.\s+Ask for a new one\./);
    assert.deepEqual(await storedTokens(bela.page), {}, "the token is removed");
    await bela.page.click("#notice-action");
    await bela.showsNotice(/This room is private/);
    await bela.page.goto(`${server.origin}/room/band#t=${server.invite("--room", "band")}`);
    await bela.hasPreview();
    assertNoErrors([ada, bela]);
  });

  test("a link for one use lets its user reconnect, and nobody else in", async (t) => {
    const token = fixture.server.invite("--room", "solo", "--uses", "1");
    const ada = await join(t, `solo#t=${token}`, "Ada");
    await ada.reconnectsSignaling();
    await ada.sendsChat("still here");
    await ada.receivesChat("still here");
    const bela = await open(t, `solo#t=${token}`, "Bela");
    await bela.showsNotice(/This link has expired or was withdrawn\./);
    assertNoErrors([ada, bela]);
  });

  test("the listening page says in place of its controls that the station is private, and plays with a link for one use", async (t) => {
    const { browser, server } = fixture;
    const { page, errors } = await openPage(t, browser, `${server.origin}/listen`);
    await shows(page, "#notice", /This station is private\.\s+Open the link in your invitation\./);
    assert.equal(await page.$eval("#play", (button) => button.checkVisibility()), false);
    await openLinkInPlace(page, server.invite("--listen", "--uses", "1"));
    await waitFor("the controls", () => page.$eval("#play", (button) => button.checkVisibility()));
    assert.equal(await addressOf(page), `${server.origin}/listen`);
    await page.click("#play");
    await shows(page, "#status", /^Live$/);
    assert.match(await textOf(page, "#title"), /440/);
    await waitFor("one listener", async () => (await server.listeners()) === 1);
    await page.click("#play");
    await waitFor("no listener", async () => (await server.listeners()) === 0);
    // The only use was the first session.
    await page.click("#play");
    await shows(page, "#notice", /This link has expired or was withdrawn\./);
    assert.deepEqual(errors, []);
  });

  test("the front page shows what its visitor may do, and a moderator can give up the role", async (t) => {
    const { browser, server } = fixture;
    const { page, errors } = await openPage(t, browser, `${server.origin}/`);
    await shows(page, "#problem", /This station is private/);
    assert.equal(await textOf(page, "#moderator-notice"), "");
    assert.match(await textOf(page, "#main-room-status"), /invited/);
    await assertLayout(page, "lobby-private");
    await openLinkInPlace(page, server.adminToken);
    await shows(page, "#moderator-notice", /You are a moderator\./);
    assert.equal(await addressOf(page), `${server.origin}/`);
    await shows(page, ".card-status-text", /On air/);
    await assertLayout(page, "lobby-moderator");
    await page.setViewport({ width: 1000, height: 800 });
    await page.click("#leave-moderator");
    await shows(page, "#link-notice", /no longer a moderator/);
    assert.equal(await textOf(page, "#moderator-notice"), "");
    assert.deepEqual(await storedTokens(page), {});
    await shows(page, "#problem", /This station is private/);
    assert.deepEqual(errors, []);
  });

  test("the layout of a refusal is good on both pages", async (t) => {
    const room = await open(t, "band", "Ada");
    await room.showsNotice(/private/);
    await assertLayout(room.page, "refused-room");
    const { page } = await openPage(t, fixture.browser, `${fixture.server.origin}/listen#t=${FOREIGN_TOKEN}`);
    await shows(page, "#notice", /This link has expired or was withdrawn\./);
    await assertLayout(page, "refused-listen");
  });
});

describe("an open server", { timeout: 100_000 }, () => {
  const fixture = useBrowserAndServer("Chromium");

  test("a link with an invalid token is reported once, and then does not keep anybody out", async (t) => {
    const { browser, server } = fixture;
    const ada = await Participant.open(t, await newContext(t, browser), server, `band#t=${FOREIGN_TOKEN}`, "Ada");
    await ada.showsNotice(/This link has expired or was withdrawn\./);
    await ada.page.click("#notice-action");
    await ada.hasPreview();
    const { page, errors } = await openPage(t, browser, `${server.origin}/#t=${FOREIGN_TOKEN}`);
    await shows(page, "#link-notice", /This link has expired or was withdrawn\./);
    await shows(page, ".card-status-text", /On air/);
    assert.deepEqual([...ada.errors, ...errors], []);
  });
});
