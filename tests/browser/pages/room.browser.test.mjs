import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Guest } from "../harness/participant.mjs";
import { GUESTS, House, until } from "../harness/server.mjs";
import { assertLaidOut } from "../harness/layout.mjs";
import { speakSeed } from "../harness/minimalClient.mjs";

/** @param {Guest[]} guests all of them see and hear all others */
async function allMeet(guests) {
  const names = guests.map(({ name }) => name);
  await Promise.all(guests.map((guest) => guest.receives(names.filter((name) => name !== guest.name))));
}

/** @param {Guest[]} guests */
function assertQuiet(guests) {
  assert.deepEqual(guests.flatMap(({ errors }) => errors), []);
}

describe("a room in Chromium", { timeout: 200_000 }, () => {
  /** @type {import("puppeteer-core").Browser} */
  let browser;
  /** @type {House} */
  let house;
  before(async () => {
    [browser, house] = await Promise.all([GUESTS.Chromium(), House.open()]);
  });
  after(async () => {
    await browser?.close();
    await house?.kill();
  });

  /** @param {string[]} names */
  async function company(t, room, names) {
    const guests = [];
    for (const name of names) guests.push(await Guest.enter(t, browser, house, room, name));
    return guests;
  }

  test("the front page leads into a room by one click, and into any by its name", async (t) => {
    const page = await browser.newPage();
    t.after(() => page.close());
    await page.goto(`${house.origin}/`, { waitUntil: "load" });
    assert.equal(await page.$eval("a.offer[href^='/room/']", (link) => new URL(link.href).pathname), "/room/main");
    await page.type("#name", "no spaces here");
    await page.click(".offer-enter");
    assert.match(await page.$eval("#name-problem", (element) => element.textContent), /no spaces/);
    assert.equal(new URL(page.url()).pathname, "/");
    await page.$eval("#name", (field) => { field.value = ""; });
    await page.type("#name", "quartet");
    await Promise.all([page.waitForNavigation(), page.click(".offer-enter")]);
    assert.equal(new URL(page.url()).pathname, "/room/quartet");
    assert.equal(await page.$eval("#title", (element) => element.textContent), "quartet");
  });

  test("four people see and hear one another; when two leave, all tiles adjust within two seconds", async (t) => {
    const names = ["Ada", "Bela", "Cleo", "Dora"];
    const guests = await company(t, "quartet", names);
    await allMeet(guests);
    for (const { page } of guests) assert.equal(await page.evaluate(() => window.lines.length), 3, "one line to each");
    const [ada, bela, cleo, dora] = guests;

    await dora.press("leave");
    await Promise.all([ada, bela, cleo].map((guest) => guest.sees(names.filter((name) => name !== guest.name && name !== "Dora"), 2000)));
    assert.match(await dora.page.$eval("#after-title", (element) => element.textContent), /left/);
    await cleo.page.close();
    await Promise.all([ada.sees(["Bela"], 2000), bela.sees(["Ada"], 2000)]);
    await until("tiles to fill the stage", () => ada.page.evaluate(() => {
      const [stage, ...tiles] = [document.querySelector("#stage"), ...document.querySelectorAll(".tile")].map((each) => each.getBoundingClientRect());
      return tiles.length === 2 && tiles.every((tile) => tile.width > stage.width * 0.4);
    }), 2000);
    await allMeet([ada, bela]);
    assertQuiet([ada, bela, dora]);
  });

  test("mute, camera, name and chat are known to the others", async (t) => {
    const [ada, bela] = await company(t, "marks", ["Ada", "Bela"]);
    await allMeet([ada, bela]);
    await bela.press("mute");
    await until("the mark of being muted", async () => (await ada.tile("Bela"))?.muted);
    await bela.page.keyboard.down(" ");
    await until("talk by the space bar", async () => (await ada.tile("Bela"))?.muted === false);
    await ada.receives(["Bela"]);
    await bela.page.keyboard.up(" ");
    await until("the mark of being muted again", async () => (await ada.tile("Bela"))?.muted);
    await bela.page.keyboard.press("m");
    await until("no mark", async () => (await ada.tile("Bela"))?.muted === false);
    await bela.page.keyboard.press("v");
    await until("the mark of the camera", async () => (await ada.tile("Bela"))?.dark);
    assert.equal(await ada.page.evaluate(() => document.querySelector(".tile:not(.own)").classList.contains("lit")), false);
    await bela.page.keyboard.press("v");
    await ada.receives(["Bela"]);
    await ada.says("Guten Tag <b>du</b>");
    await bela.hears("Guten Tag <b>du</b>");
    assert.equal(await bela.page.$eval("#unread", (mark) => mark.textContent), "1");
    assert.equal((await bela.page.evaluate(() => window.lines.length)), 1, "nothing of this needs a new line");
    const late = await Guest.enter(t, browser, house, "marks", "Cleo");
    await late.hears("Guten Tag <b>du</b>");
    assertQuiet([ada, bela, late]);
  });

  test("a line to the server that is cut comes back without a leave", async (t) => {
    const [ada, bela] = await company(t, "cut", ["Ada", "Bela"]);
    await allMeet([ada, bela]);
    await Promise.all([ada.noteLeaves(), bela.noteLeaves()]);
    await bela.page.evaluate(() => window.sockets.at(-1).close(4000));
    await until("a second line to the server", () => bela.page.evaluate(() => window.sockets.length === 2 && window.sockets[1].readyState === 1));
    await bela.says("back again");
    await ada.hears("back again");
    await ada.says("welcome");
    await bela.hears("welcome");
    await allMeet([ada, bela]);
    assert.deepEqual(await ada.leaves(), []);
    assert.deepEqual(await bela.leaves(), []);
    assert.equal(await ada.page.evaluate(() => window.lines.length), 1);
    await until("the banner to go", () => bela.page.$eval("#away", (banner) => banner.hidden));
    assertQuiet([ada, bela]);
  });

  test("the server is killed and restarted: pictures keep flowing, and the room forms again under the old ids", async (t) => {
    const guests = await company(t, "restart", ["Ada", "Bela", "Cleo"]);
    await allMeet(guests);
    const idsOf = async (guest) => (await guest.look()).map(({ id }) => id).sort();
    const ids = await Promise.all(guests.map(idsOf));
    await Promise.all(guests.map((guest) => guest.noteLeaves()));
    await house.kill();
    await Promise.all(guests.map((guest) => until("the banner", () => guest.page.$eval("#away", (banner) => !banner.hidden && banner.textContent !== ""))));
    await allMeet(guests);
    house = await House.open(house.port);
    await Promise.all(guests.map((guest) => until("the banner to go", () => guest.page.$eval("#away", (banner) => banner.hidden))));
    await guests[0].says("we are all here");
    await Promise.all(guests.map((guest) => guest.hears("we are all here")));
    await allMeet(guests);
    assert.deepEqual(await Promise.all(guests.map(idsOf)), ids);
    for (const guest of guests) {
      assert.deepEqual(await guest.leaves(), []);
      assert.equal(await guest.page.evaluate(() => window.lines.length), 2, "no line was made anew");
    }
    const late = await Guest.enter(t, browser, house, "restart", "Dora");
    await allMeet([...guests, late]);
    assertQuiet(guests);
  });

  test("a screen is shared in a tile of its own, and taken back", async (t) => {
    const [ada, bela] = await company(t, "screen", ["Ada", "Bela"]);
    await allMeet([ada, bela]);
    for (const round of [1, 2]) {
      await ada.press("screen");
      await bela.sees(["Ada", "Ada’s screen"]);
      await bela.receives(["Ada"]);
      await bela.receives(["Ada’s screen"], { sound: false });
      const late = round === 2 ? await Guest.enter(t, browser, house, "screen", "Cleo") : null;
      await late?.receives(["Ada", "Bela"]);
      await late?.receives(["Ada’s screen"], { sound: false });
      await ada.press("screen");
      await bela.sees(late === null ? ["Ada"] : ["Ada", "Cleo"]);
    }
    await allMeet([ada, bela]);
    assertQuiet([ada, bela]);
  });

  test("offers that cross from both sides do no harm", async (t) => {
    const [ada, bela] = await company(t, "glare", ["Ada", "Bela"]);
    await allMeet([ada, bela]);
    for (let round = 0; round < 4; round += 1) {
      await Promise.all([ada, bela].map((guest) => guest.page.evaluate(() => {
        for (let times = 0; times < 3; times += 1) window.lines.at(-1).dispatchEvent(new Event("negotiationneeded"));
      })));
    }
    // Both in the same moment: another way to send sound, and new media, from both sides.
    await Promise.all([ada, bela].map((guest) => guest.page.$eval("#more [data-action=music]", (button) => button.click())));
    await Promise.all([ada.press("screen"), bela.press("screen")]);
    await Promise.all([ada.sees(["Bela", "Bela’s screen"]), bela.sees(["Ada", "Ada’s screen"])]);
    await allMeet([ada, bela]);
    await ada.receives(["Bela’s screen"], { sound: false });
    await bela.receives(["Ada’s screen"], { sound: false });
    for (const guest of [ada, bela]) {
      await until("agreement", () => guest.page.evaluate(() => window.lines.at(-1).signalingState === "stable"));
      assert.equal(await guest.page.evaluate(() => window.lines.length), 1, "no line was made anew");
    }
    assertQuiet([ada, bela]);
  });

  test("a path that failed is found again, and a line that died is replaced", async (t) => {
    const [ada, bela] = await company(t, "repair", ["Ada", "Bela"]);
    await allMeet([ada, bela]);
    const ufrag = () => ada.page.evaluate(() => /a=ice-ufrag:(.*)/.exec(window.lines.at(-1).localDescription.sdp)[1]);
    const old = await ufrag();
    // The line itself cannot be cut from here, so the browser is made to say that it was.
    await ada.page.evaluate(() => {
      const line = window.lines.at(-1);
      Object.defineProperty(line, "connectionState", { value: "failed", configurable: true });
      line.dispatchEvent(new Event("connectionstatechange"));
    });
    await until("a restart", async () => (await ufrag()) !== old);
    await ada.page.evaluate(() => {
      const line = window.lines.at(-1);
      delete line.connectionState;
      line.dispatchEvent(new Event("connectionstatechange"));
    });
    await allMeet([ada, bela]);
    assert.equal(await ada.page.evaluate(() => window.lines.length), 1);

    await ada.page.evaluate(() => window.lines.at(-1).close());
    await until("a line made anew", () => ada.page.evaluate(() => window.lines.length > 1));
    await allMeet([ada, bela]);
    await Promise.all([ada.sees(["Bela"]), bela.sees(["Ada"])]);
    assertQuiet([ada, bela]);
  });

  test("music mode sends two channels at 128 kbit/s, by the word of both sides", async (t) => {
    const [ada, bela] = await company(t, "music", ["Ada", "Bela"]);
    await allMeet([ada, bela]);
    const sends = (guest) => guest.page.evaluate(() => /a=fmtp:\d+ .*useinbandfec.*/.exec(window.lines.at(-1).remoteDescription.sdp)[0]);
    assert.doesNotMatch(await sends(ada), /stereo=1/);
    await ada.page.$eval("#more [data-action=music]", (button) => button.click());
    await until("two channels", async () => /stereo=1.*maxaveragebitrate=128000|maxaveragebitrate=128000.*stereo=1/.test(await sends(ada)));
    assert.match(await bela.page.evaluate(() => window.lines.at(-1).localDescription.sdp), /stereo=1/);
    assert.doesNotMatch(await sends(bela), /stereo=1/);
    const settings = await ada.page.evaluate(() => window.lines.at(-1).getSenders().find(({ track }) => track?.kind === "audio").track.getSettings());
    assert.equal(settings.echoCancellation, false);
    await allMeet([ada, bela]);
    assertQuiet([ada, bela]);
  });

  test("without permission it is said why, and one can watch and listen", async (t) => {
    const ada = await Guest.enter(t, browser, house, "denied", "Ada");
    const bela = await Guest.come(t, browser, house, "denied", "Bela", () => {
      navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("Permission denied", "NotAllowedError"));
    });
    await until("the reason", () => bela.page.$eval("#notice", (notice) => /Allow it/.test(notice.textContent)));
    assert.equal(await bela.page.$eval("#enter", (button) => button.textContent), "Enter to watch and listen");
    await bela.goIn();
    await bela.receives(["Ada"]);
    const tile = await until("Bela's tile", () => ada.tile("Bela"));
    assert.equal(tile.muted && tile.dark, true);
    assertQuiet([ada, bela]);
  });

  test("with no device to be had at all one still gets in, and plain HTTP is explained", async (t) => {
    const ada = await Guest.enter(t, browser, house, "insecure", "Ada");
    const bela = await Guest.come(t, browser, house, "insecure", "Bela", () => {
      Object.defineProperty(navigator, "mediaDevices", { value: undefined });
      Object.defineProperty(window, "isSecureContext", { value: false });
    });
    await until("the reason", () => bela.page.$eval("#notice", (notice) => /https:.*localhost/.test(notice.textContent)));
    await bela.goIn();
    await bela.receives(["Ada"]);
    assertQuiet([ada, bela]);
  });

  test("a client that speaks the seed's messages only sees, hears, is seen and is heard", async (t) => {
    const ada = await Guest.enter(t, browser, house, "seed", "Ada");
    // One that comes after ours and offers, and ours that comes after the seed's and offers to it.
    const seed = await browser.newPage();
    t.after(() => seed.close());
    await seed.goto(`${house.origin}/listen`);
    // A tap, so that it may play.
    await seed.click("body");
    await seed.evaluate(speakSeed, "seed");
    const bela = await Guest.enter(t, browser, house, "seed", "Bela");

    for (const guest of [ada, bela]) {
      await until(`${guest.name} to see and hear the seed's client`, async () => {
        const tile = (await guest.look()).find(({ name }) => name.startsWith("Guest "));
        return tile !== undefined && tile.width > 0 && tile.decoded > 5 && tile.energy > 0;
      });
    }
    await until("the seed's client to see and hear both", () => seed.evaluate(async () => {
      const all = await Promise.all(Object.values(window.seed).map(async (line) => {
        const entries = [...(await line.getStats()).values()].filter(({ type }) => type === "inbound-rtp");
        return entries.some(({ framesDecoded }) => framesDecoded > 5) && entries.some(({ totalAudioEnergy }) => totalAudioEnergy > 0);
      }));
      return all.length === 2 && all.every(Boolean);
    }));
    await allMeet([ada, bela]);
    // A screen takes the camera's place for a client that knows of one picture only.
    await ada.press("screen");
    await bela.sees(["Ada", "Ada’s screen", (await bela.look()).find(({ name }) => name.startsWith("Guest ")).name]);
    assert.equal(await seed.evaluate(() => window.seed_errors), 0);
    assertQuiet([ada, bela]);
  });

  test("the host's station is switched on as a tile, and off", async (t) => {
    const ada = await Guest.enter(t, browser, house, "station", "Ada");
    await until("the station to be offered", () => ada.page.$(".bar [data-action=station]:not([hidden])"));
    await ada.press("station");
    await until("the station to be live", () => ada.page.$(".tile.station[data-state=live]"));
    await until("its listener", async () => (await house.listeners()) === 1);
    await ada.press("station");
    await until("nobody to listen", async () => (await house.listeners()) === 0);
    assert.equal(await ada.page.$(".tile.station"), null);
    assertQuiet([ada]);
  });

  test("figures of a tile on demand", async (t) => {
    const [ada, bela] = await company(t, "figures", ["Ada", "Bela"]);
    await allMeet([ada, bela]);
    await ada.page.$eval(".tile:not(.own) [data-tool=figures]", (button) => button.click());
    await until("figures", () => ada.page.$eval(".tile:not(.own) .tile-figures", (figures) => /160 × 120.*kbit\/s.*%.*ms.*direct/.test(figures.textContent)));
  });

  test("no page is wider than its window, no control too small, and no two overlap", async (t) => {
    const lobby = await browser.newPage();
    t.after(() => lobby.close());
    await lobby.goto(`${house.origin}/`, { waitUntil: "load" });
    const waiting = await Guest.come(t, browser, house, "look", "Emma");
    await until("her own picture", () => waiting.page.$("#mirror.lit"));
    const [ada, ...rest] = await company(t, "look", ["Ada", "Bela", "Wilhelmina Featherstonehaugh-Cholmondeley", "Dora"]);
    await allMeet([ada, ...rest]);
    for (const [name, page] of [["lobby", lobby], ["before", waiting.page], ["room", ada.page]]) await assertLaidOut(page, name);
    const tree = await ada.page.accessibility.snapshot();
    const nodesOf = (node) => [node, ...(node.children ?? []).flatMap(nodesOf)];
    assert.deepEqual(nodesOf(tree).filter(({ role, name }) => /button|link|textbox|combobox|slider/.test(role) && !name), []);
  });
});

describe("Chromium with Firefox", { timeout: 120_000 }, () => {
  /** @type {import("puppeteer-core").Browser[]} */
  let browsers = [];
  /** @type {House} */
  let house;
  before(async () => {
    [house, ...browsers] = await Promise.all([House.open(), GUESTS.Chromium(), GUESTS.Firefox()]);
  });
  after(async () => {
    await Promise.all(browsers.map((browser) => browser.close()));
    await house?.kill();
  });

  for (const order of [[0, 1], [1, 0]]) {
    const names = ["Chromium", "Firefox"];
    test(`${names[order[1]]} comes to ${names[order[0]]}, and both see and hear`, async (t) => {
      const guests = [];
      for (const which of order) guests.push(await Guest.enter(t, browsers[which], house, "mixed", names[which]));
      await allMeet(guests);
      const [first, second] = guests;
      await second.press("mute");
      await until("the mark", async () => (await first.tile(second.name))?.muted);
      await second.press("camera");
      await until("the other mark", async () => (await first.tile(second.name))?.dark);
      await second.press("camera");
      await second.press("mute");
      await allMeet(guests);
      const chromium = guests[order.indexOf(0)];
      const firefox = guests[order.indexOf(1)];
      await chromium.press("screen");
      await firefox.receives(["Chromium’s screen"], { sound: false });
      await chromium.page.$eval("#more [data-action=music]", (button) => button.click());
      await allMeet(guests);
      await second.press("leave");
      await first.sees([], 2000);
      assertQuiet(guests);
    });
  }
});
