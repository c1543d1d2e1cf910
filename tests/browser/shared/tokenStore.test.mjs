import assert from "node:assert/strict";
import { test } from "node:test";
import { Keys, scopeOf } from "../../../www/shared/tokenStore.js";

/** A browser's address bar and its store. */
function bar(address, stored = {}) {
  const store = new Map(Object.entries(stored));
  const around = {
    location: new URL(address),
    rewrite: (next) => { around.location.href = new URL(next, around.location).href; },
    storage: {
      getItem: (key) => store.get(key) ?? null,
      setItem: (key, value) => store.set(key, value),
      removeItem: (key) => store.delete(key),
    },
  };
  return { around, store, kept: () => JSON.parse(store.get("roomtone.tokens") ?? "null") };
}

test("a link's key leaves the address bar at once, and is kept by what it opens", () => {
  for (const [path, scope] of [["/", "admin"], ["/listen?station=main", "listen"], ["/room/band", "room:band"], ["/room/b%2Ed", "room:b.d"], ["/room?name=duo", "room:duo"]]) {
    const { around, kept } = bar(`https://host.test${path}#t=pay-load_1.mac`);
    const keys = new Keys(around);
    assert.equal(keys.take(), "pay-load_1.mac");
    assert.equal(around.location.href, new URL(path, "https://host.test").href);
    assert.deepEqual(kept(), { [scope]: "pay-load_1.mac" });
    assert.equal(keys.take(), null, "taken once");
    assert.equal(keys.for(scope), "pay-load_1.mac");
  }
});

test("what is no key is not kept, but goes from the address bar all the same; other fragments stay", () => {
  for (const bad of ["", "a b", "x".repeat(513), "a%2Fb", "<b>"]) {
    const { around, kept } = bar(`https://host.test/room/band#t=${bad}`);
    assert.equal(new Keys(around).take(), null);
    assert.equal(around.location.href, "https://host.test/room/band");
    assert.equal(kept(), null);
  }
  const { around } = bar("https://host.test/listen#volume");
  assert.equal(new Keys(around).take(), null);
  assert.equal(around.location.hash, "#volume");
});

test("the host's key is preferred everywhere; another room's opens nothing", () => {
  const { around } = bar("https://host.test/room/band", { "roomtone.tokens": JSON.stringify({ "room:band": "b", "room:duo": "d" }) });
  const keys = new Keys(around);
  assert.equal(keys.for("room:band"), "b");
  assert.equal(keys.for("room:solo"), null);
  assert.equal(keys.for("listen"), null);
  around.location.href = "https://host.test/#t=a";
  keys.take();
  for (const scope of ["room:band", "room:solo", "listen", "admin"]) assert.equal(keys.for(scope), "a");
  keys.forget("a");
  assert.equal(keys.for("room:band"), "b");
});

test("a key that another page threw away is gone here too", () => {
  const { around } = bar("https://host.test/#t=a");
  const [mine, theirs] = [new Keys(around), new Keys(around)];
  mine.take();
  assert.equal(theirs.for("admin"), "a");
  theirs.forget("a");
  assert.equal(mine.for("admin"), null);
});

test("without a store, or with one that refuses or holds nonsense, a key lasts as long as the page", () => {
  const refuses = () => { throw new DOMException("no", "SecurityError"); };
  for (const storage of [null, { getItem: refuses, setItem: refuses, removeItem: refuses }, { getItem: () => "{nonsense", setItem: refuses, removeItem: refuses }]) {
    const { around } = bar("https://host.test/room/band#t=b");
    const keys = new Keys({ ...around, storage });
    assert.equal(keys.take(), "b");
    assert.equal(keys.for("room:band"), "b");
    keys.forget("b");
    assert.equal(keys.for("room:band"), null);
  }
  for (const nonsense of ["null", "[]", "7", '{"admin":7,"listen":"a b"}']) {
    const { around } = bar("https://host.test/", { "roomtone.tokens": nonsense });
    assert.equal(new Keys(around).for("admin"), null);
  }
});

test("keys do not pile up: the rooms of long ago are forgotten first", () => {
  const { around, kept } = bar("https://host.test/#t=a");
  const keys = new Keys(around);
  keys.take();
  for (let room = 0; room < 80; room += 1) {
    around.location.href = `https://host.test/room/r${room}#t=k${room}`;
    keys.take();
  }
  const scopes = Object.keys(kept());
  assert.equal(scopes.length, 64);
  assert.ok(scopes.includes("admin") && scopes.includes("room:r79") && !scopes.includes("room:r0"));
});

test("what a page's link opens is told by its path", () => {
  const scope = (path) => scopeOf(new URL(path, "https://host.test"));
  assert.equal(scope("/index.html"), "admin");
  assert.equal(scope("/listen.html"), "listen");
  assert.equal(scope("/room.html?name=x"), "room:x");
  assert.equal(scope("/room"), "room:main");
});
