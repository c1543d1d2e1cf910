import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { assertLayout } from "../harness/layout.mjs";
import { unnamedControls } from "../harness/page.mjs";
import { Participant } from "../harness/participant.mjs";
import { allReceive, assertNoErrors, joinAll, useBrowserAndServer } from "../harness/room.mjs";
import { Server } from "../harness/server.mjs";
import { waitFor } from "../harness/waitFor.mjs";

describe("a room in Chromium", { timeout: 200_000 }, () => {
  const fixture = useBrowserAndServer("Chromium");
  const join = (t, room, name) => Participant.join(t, fixture.browser, fixture.server, room, name);

  test("the front page opens the main room by one click, and any room by its name", async (t) => {
    const page = await fixture.browser.newPage();
    t.after(() => page.close());
    await page.goto(`${fixture.server.origin}/`, { waitUntil: "load" });
    assert.equal(await page.$eval("a.card[href^='room/']", (link) => new URL(link.href).pathname), "/room/main");
    await page.type("#room-name", "no spaces here");
    await page.click(".card-submit");
    assert.match(await page.$eval("#room-name-problem", (element) => element.textContent), /no spaces/);
    assert.equal(new URL(page.url()).pathname, "/");
    await page.$eval("#room-name", (field) => { field.value = ""; });
    await page.type("#room-name", "quartet");
    await Promise.all([page.waitForNavigation(), page.click(".card-submit")]);
    assert.equal(new URL(page.url()).pathname, "/room/quartet");
    assert.equal(await page.$eval("#prejoin-title", (element) => element.textContent), "quartet");
  });

  test("capital and small letters name one room, and its pages show the spelling of the person who opened it", async (t) => {
    const ada = await join(t, "Bandstand", "Ada");
    const bela = await join(t, "bandSTAND", "Bela");
    await allReceive([ada, bela]);
    for (const { page } of [ada, bela]) {
      assert.equal(await page.$eval("#room-name", (element) => element.textContent), "Bandstand");
      assert.match(await page.title(), /^Bandstand · 2 people/);
    }
    assertNoErrors([ada, bela]);
  });

  test("a room may have the name of a file", async (t) => {
    const [ada, bela] = await joinAll(t, fixture, "roomPage.js", ["Ada", "Bela"]);
    await allReceive([ada, bela]);
    assertNoErrors([ada, bela]);
  });

  test("four people see and hear each other; when two leave, all tiles adjust within two seconds", async (t) => {
    const names = ["Ada", "Bela", "Cleo", "Dora"];
    const participants = await joinAll(t, fixture, "quartet", names);
    await allReceive(participants);
    for (const participant of participants) assert.equal(await participant.connectionCount(), 3, "one connection to each");
    const [ada, bela, cleo, dora] = participants;

    await dora.press("leave");
    await Promise.all([ada, bela, cleo].map((each) => each.sees(names.filter((name) => name !== each.name && name !== "Dora"), 2000)));
    assert.match(await dora.page.$eval("#notice-title", (element) => element.textContent), /left/);
    await cleo.page.close();
    await Promise.all([ada.sees(["Bela"], 2000), bela.sees(["Ada"], 2000)]);
    await waitFor("tiles to fill the area", () => ada.page.evaluate(() => {
      const boxes = [document.querySelector("#tile-area"), ...document.querySelectorAll(".tile")].map((each) => each.getBoundingClientRect());
      const [area, ...tiles] = boxes;
      return tiles.length === 2 && tiles.every((tile) => tile.width > area.width * 0.4);
    }), 2000);
    await allReceive([ada, bela]);
    assertNoErrors([ada, bela, dora]);
  });

  test("a person who left can rejoin, with the chat closed", async (t) => {
    const [ada, bela] = await joinAll(t, fixture, "rejoin", ["Ada", "Bela"]);
    await bela.press("chat");
    await bela.press("leave");
    await ada.sees([]);
    await bela.page.click("#notice-action");
    await bela.hasPreview();
    await bela.join();
    assert.equal(await bela.page.$(".chat-open"), null);
    await allReceive([ada, bela]);
    assertNoErrors([ada, bela]);
  });

  test("peers see mute, camera, name and chat", async (t) => {
    const [ada, bela] = await joinAll(t, fixture, "states", ["Ada", "Bela"]);
    await allReceive([ada, bela]);
    await bela.press("mute");
    await ada.tileIs("Bela", "muted");
    await bela.page.keyboard.down(" ");
    await ada.tileIs("Bela", "muted", false);
    await ada.receives(["Bela"]);
    await bela.page.keyboard.up(" ");
    await ada.tileIs("Bela", "muted");
    await bela.page.keyboard.press("m");
    await ada.tileIs("Bela", "muted", false);
    await bela.page.keyboard.press("v");
    await ada.tileIs("Bela", "cameraOff");
    assert.equal(await ada.page.evaluate(() => document.querySelector(".tile:not(.local)").classList.contains("has-video")), false);
    await bela.page.keyboard.press("v");
    await ada.receives(["Bela"]);
    await ada.sendsChat("Guten Tag <b>du</b>");
    await bela.receivesChat("Guten Tag <b>du</b>");
    assert.equal(await bela.page.$eval("#unread-count", (element) => element.textContent), "1");
    assert.equal(await bela.connectionCount(), 1, "no new connection");
    const late = await join(t, "states", "Cleo");
    await late.receivesChat("Guten Tag <b>du</b>");
    assertNoErrors([ada, bela, late]);
  });

  test("a lost WebSocket reconnects, and peers do not notice", async (t) => {
    const [ada, bela] = await joinAll(t, fixture, "reconnect", ["Ada", "Bela"]);
    await allReceive([ada, bela]);
    await Promise.all([ada.recordRemovedTiles(), bela.recordRemovedTiles()]);
    await bela.reconnectsSignaling();
    await bela.sendsChat("back again");
    await ada.receivesChat("back again");
    await ada.sendsChat("welcome");
    await bela.receivesChat("welcome");
    await allReceive([ada, bela]);
    assert.deepEqual(await ada.removedTiles(), []);
    assert.deepEqual(await bela.removedTiles(), []);
    assert.equal(await ada.connectionCount(), 1);
    await waitFor("the banner to go", () => bela.page.$eval("#connection-banner", (banner) => banner.hidden));
    assertNoErrors([ada, bela]);
  });

  test("after a crash and restart of the server, media continues and the room forms again with the same ids", async (t) => {
    const participants = await joinAll(t, fixture, "restart", ["Ada", "Bela", "Cleo"]);
    await allReceive(participants);
    const idsOf = async (participant) => (await participant.tiles()).map(({ id }) => id).sort();
    const ids = await Promise.all(participants.map(idsOf));
    await Promise.all(participants.map((participant) => participant.recordRemovedTiles()));
    await fixture.server.kill();
    await Promise.all(participants.map(({ page }) => waitFor("the banner", () => page.$eval(
      "#connection-banner",
      (banner) => !banner.hidden && banner.textContent !== "",
    ))));
    await allReceive(participants);
    fixture.server = await Server.start(fixture.server.port);
    await Promise.all(participants.map(({ page }) => waitFor("the banner to go", () => page.$eval("#connection-banner", (banner) => banner.hidden))));
    await participants[0].sendsChat("we are all here");
    await Promise.all(participants.map((participant) => participant.receivesChat("we are all here")));
    await allReceive(participants);
    assert.deepEqual(await Promise.all(participants.map(idsOf)), ids);
    for (const participant of participants) {
      assert.deepEqual(await participant.removedTiles(), []);
      assert.equal(await participant.connectionCount(), 2, "no new connection");
    }
    const late = await join(t, "restart", "Dora");
    await allReceive([...participants, late]);
    assertNoErrors(participants);
  });

  test("a shared screen has its own tile, until sharing stops", async (t) => {
    const [ada, bela] = await joinAll(t, fixture, "screen", ["Ada", "Bela"]);
    await allReceive([ada, bela]);
    for (const round of [1, 2]) {
      await ada.press("screen");
      await bela.sees(["Ada", "Ada’s screen"]);
      await bela.receives(["Ada"]);
      await bela.receives(["Ada’s screen"], { audio: false });
      const late = round === 2 ? await join(t, "screen", "Cleo") : null;
      await late?.receives(["Ada", "Bela"]);
      await late?.receives(["Ada’s screen"], { audio: false });
      await ada.press("screen");
      await bela.sees(late === null ? ["Ada"] : ["Ada", "Cleo"]);
    }
    await allReceive([ada, bela]);
    assertNoErrors([ada, bela]);
  });

  test("offers that collide do no harm", async (t) => {
    const [ada, bela] = await joinAll(t, fixture, "collision", ["Ada", "Bela"]);
    await allReceive([ada, bela]);
    for (let round = 0; round < 4; round += 1) {
      await Promise.all([ada, bela].map(({ page }) => page.evaluate(() => {
        for (let times = 0; times < 3; times += 1) window.connections.at(-1).dispatchEvent(new Event("negotiationneeded"));
      })));
    }
    // At the same time, both sides change how they send audio, and add media.
    await Promise.all([ada.toggleMusic(), bela.toggleMusic()]);
    await Promise.all([ada.press("screen"), bela.press("screen")]);
    await Promise.all([ada.sees(["Bela", "Bela’s screen"]), bela.sees(["Ada", "Ada’s screen"])]);
    await allReceive([ada, bela]);
    await ada.receives(["Bela’s screen"], { audio: false });
    await bela.receives(["Ada’s screen"], { audio: false });
    for (const participant of [ada, bela]) {
      await waitFor("a stable state", () => participant.page.evaluate(() => window.connections.at(-1).signalingState === "stable"));
      assert.equal(await participant.connectionCount(), 1, "no new connection");
    }
    assertNoErrors([ada, bela]);
  });

  test("a failed connection restarts ICE, and a closed one is replaced", async (t) => {
    const [ada, bela] = await joinAll(t, fixture, "repair", ["Ada", "Bela"]);
    await allReceive([ada, bela]);
    const ufrag = () => ada.page.evaluate(() => /a=ice-ufrag:(.*)/.exec(window.connections.at(-1).localDescription.sdp)[1]);
    const ufragBefore = await ufrag();
    // A test cannot cut the network path, so the connection is made to report a failure.
    await ada.page.evaluate(() => {
      const connection = window.connections.at(-1);
      Object.defineProperty(connection, "connectionState", { value: "failed", configurable: true });
      connection.dispatchEvent(new Event("connectionstatechange"));
    });
    await waitFor("an ICE restart", async () => (await ufrag()) !== ufragBefore);
    await ada.page.evaluate(() => {
      const connection = window.connections.at(-1);
      delete connection.connectionState;
      connection.dispatchEvent(new Event("connectionstatechange"));
    });
    await allReceive([ada, bela]);
    assert.equal(await ada.connectionCount(), 1);

    await ada.page.evaluate(() => window.connections.at(-1).close());
    await waitFor("a new connection", async () => (await ada.connectionCount()) > 1);
    await allReceive([ada, bela]);
    await Promise.all([ada.sees(["Bela"]), bela.sees(["Ada"])]);
    assertNoErrors([ada, bela]);
  });

  test("music mode negotiates stereo at 128 kbit/s in one direction", async (t) => {
    const [ada, bela] = await joinAll(t, fixture, "music", ["Ada", "Bela"]);
    await allReceive([ada, bela]);
    const opusParameters = ({ page }) => page.evaluate(() => /a=fmtp:\d+ .*useinbandfec.*/.exec(window.connections.at(-1).remoteDescription.sdp)[0]);
    assert.doesNotMatch(await opusParameters(ada), /stereo=1/);
    await ada.toggleMusic();
    await waitFor("stereo", async () => {
      const parameters = await opusParameters(ada);
      return /stereo=1/.test(parameters) && /maxaveragebitrate=128000/.test(parameters);
    });
    assert.match(await bela.page.evaluate(() => window.connections.at(-1).localDescription.sdp), /stereo=1/);
    assert.doesNotMatch(await opusParameters(bela), /stereo=1/);
    const settings = await ada.page.evaluate(() => window.connections.at(-1).getSenders().find(({ track }) => track?.kind === "audio").track.getSettings());
    assert.equal(settings.echoCancellation, false);
    await allReceive([ada, bela]);
    assertNoErrors([ada, bela]);
  });

  test("if devices are denied, the page says why, and the person can watch and listen", async (t) => {
    const ada = await join(t, "denied", "Ada");
    const bela = await Participant.open(t, fixture.browser, fixture.server, "denied", "Bela", () => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("Permission denied", "NotAllowedError"));
    });
    await waitFor("the reason", () => bela.page.$eval("#device-notice", (notice) => /Allow it/.test(notice.textContent)));
    assert.equal(await bela.page.$eval("#join", (button) => button.textContent), "Join to watch and listen");
    await bela.join();
    await bela.receives(["Ada"]);
    await ada.tileIs("Bela", "muted");
    await ada.tileIs("Bela", "cameraOff");
    assertNoErrors([ada, bela]);
  });

  test("on a page that is not secure, the page names addresses that are, and the person can still join", async (t) => {
    const ada = await join(t, "insecure", "Ada");
    const bela = await Participant.open(t, fixture.browser, fixture.server, "insecure", "Bela", () => {
      Object.defineProperty(navigator, "mediaDevices", { value: undefined });
      Object.defineProperty(window, "isSecureContext", { value: false });
    });
    await waitFor("the reason", () => bela.page.$eval("#device-notice", (notice) => /https:.*localhost/.test(notice.textContent)));
    await bela.join();
    await bela.receives(["Ada"]);
    assertNoErrors([ada, bela]);
  });

  test("the host's station is added as a tile, and removed", async (t) => {
    const ada = await join(t, "station", "Ada");
    await waitFor("the station's button", () => ada.page.$(".toolbar [data-action=station]:not([hidden])"));
    await ada.press("station");
    await waitFor("the station to be live", () => ada.page.$(".tile.station[data-state=live]"));
    await waitFor("one listener", async () => (await fixture.server.listeners()) === 1);
    await ada.press("station");
    await waitFor("no listener", async () => (await fixture.server.listeners()) === 0);
    assert.equal(await ada.page.$(".tile.station"), null);
    assertNoErrors([ada]);
  });

  test("a tile shows its statistics on demand", async (t) => {
    const [ada, bela] = await joinAll(t, fixture, "statistics", ["Ada", "Bela"]);
    await allReceive([ada, bela]);
    await ada.page.$eval(".tile:not(.local) [data-tool=statistics]", (button) => button.click());
    await waitFor("statistics", () => ada.page.$eval(
      ".tile:not(.local) .tile-statistics",
      (statistics) => /160 × 120.*kbit\/s.*%.*ms.*direct/.test(statistics.textContent),
    ));
  });

  test("no page is wider than its window, no control is too small to tap, none overlap, and all have names", async (t) => {
    const lobby = await fixture.browser.newPage();
    t.after(() => lobby.close());
    await lobby.goto(`${fixture.server.origin}/`, { waitUntil: "load" });
    const emma = await Participant.open(t, fixture.browser, fixture.server, "layout", "Emma");
    await emma.hasPreview();
    const participants = await joinAll(t, fixture, "layout", ["Ada", "Bela", "Wilhelmina Featherstonehaugh-Cholmondeley", "Dora"]);
    await allReceive(participants);
    const [ada] = participants;
    for (const [name, page] of [["lobby", lobby], ["prejoin", emma.page], ["room", ada.page]]) await assertLayout(page, name);
    assert.deepEqual(await unnamedControls(ada.page, /button|link|textbox|combobox|slider/), []);
  });
});
