import assert from "node:assert/strict";
import { test } from "node:test";
import { TokenStore, scopeOf } from "../../../www/shared/tokenStore.js";

/** A browser's address bar and storage. */
function browserAt(url, stored = {}) {
  const values = new Map(Object.entries(stored));
  const platform = {
    storageKey: "roomtone.tokens",
    location: new URL(url),
    replaceUrl: (next) => { platform.location.href = new URL(next, platform.location).href; },
    storage: {
      getItem: (key) => values.get(key) ?? null,
      setItem: (key, value) => values.set(key, value),
      removeItem: (key) => values.delete(key),
    },
  };
  return { platform, storedTokens: () => JSON.parse(values.get("roomtone.tokens") ?? "null") };
}

test("a link's token leaves the address bar at once, and is stored by its scope", () => {
  for (const [path, scope] of [["/", "admin"], ["/listen?station=main", "listen"], ["/room/band", "room:band"], ["/room/b%2Ed", "room:b.d"], ["/room/Kitchen", "room:kitchen"]]) {
    const { platform, storedTokens } = browserAt(`https://host.test${path}#t=pay-load_1.mac`);
    const tokens = new TokenStore(platform);
    assert.equal(tokens.takeFromUrl(), "pay-load_1.mac");
    assert.equal(platform.location.href, new URL(path, "https://host.test").href);
    assert.deepEqual(storedTokens(), { [scope]: "pay-load_1.mac" });
    assert.equal(tokens.takeFromUrl(), null, "only once");
    assert.equal(tokens.tokenFor(scope), "pay-load_1.mac");
  }
});

test("an invalid token is not stored, but leaves the address bar; other fragments stay", () => {
  for (const invalid of ["", "a b", "x".repeat(513), "a%2Fb", "<b>"]) {
    const { platform, storedTokens } = browserAt(`https://host.test/room/band#t=${invalid}`);
    assert.equal(new TokenStore(platform).takeFromUrl(), null);
    assert.equal(platform.location.href, "https://host.test/room/band");
    assert.equal(storedTokens(), null);
  }
  const { platform } = browserAt("https://host.test/listen#volume");
  assert.equal(new TokenStore(platform).takeFromUrl(), null);
  assert.equal(platform.location.hash, "#volume");
});

test("an administrator's token applies to every scope, a room's token to that room only", () => {
  const { platform } = browserAt("https://host.test/room/band", { "roomtone.tokens": JSON.stringify({ "room:band": "b", "room:duo": "d" }) });
  const tokens = new TokenStore(platform);
  assert.equal(tokens.tokenFor("room:band"), "b");
  assert.equal(tokens.tokenFor("room:solo"), null);
  assert.equal(tokens.tokenFor("listen"), null);
  platform.location.href = "https://host.test/#t=a";
  tokens.takeFromUrl();
  for (const scope of ["room:band", "room:solo", "listen", "admin"]) assert.equal(tokens.tokenFor(scope), "a");
  tokens.remove("a");
  assert.equal(tokens.tokenFor("room:band"), "b");
});

test("a token that was stored in the spelling of its link is found", () => {
  const { platform } = browserAt("https://host.test/room/Band", { "roomtone.tokens": JSON.stringify({ "room:Band": "b" }) });
  assert.equal(new TokenStore(platform).tokenFor(scopeOf("/room/Band")), "b");
});

test("a token that another page removed is removed here too", () => {
  const { platform } = browserAt("https://host.test/#t=a");
  const [first, second] = [new TokenStore(platform), new TokenStore(platform)];
  first.takeFromUrl();
  assert.equal(second.tokenFor("admin"), "a");
  second.remove("a");
  assert.equal(first.tokenFor("admin"), null);
});

test("without storage, or with refusing or invalid storage, a token lasts as long as the page", () => {
  const refuse = () => { throw new DOMException("no", "SecurityError"); };
  for (const storage of [null, { getItem: refuse, setItem: refuse, removeItem: refuse }, { getItem: () => "{invalid", setItem: refuse, removeItem: refuse }]) {
    const { platform } = browserAt("https://host.test/room/band#t=b");
    const tokens = new TokenStore({ ...platform, storage });
    assert.equal(tokens.takeFromUrl(), "b");
    assert.equal(tokens.tokenFor("room:band"), "b");
    tokens.remove("b");
    assert.equal(tokens.tokenFor("room:band"), null);
  }
  for (const invalid of ["null", "[]", "7", '{"admin":7,"listen":"a b"}']) {
    const { platform } = browserAt("https://host.test/", { "roomtone.tokens": invalid });
    assert.equal(new TokenStore(platform).tokenFor("admin"), null);
  }
});

test("the number of tokens is limited: the oldest rooms are removed first", () => {
  const { platform, storedTokens } = browserAt("https://host.test/#t=a");
  const tokens = new TokenStore(platform);
  tokens.takeFromUrl();
  for (let room = 0; room < 80; room += 1) {
    platform.location.href = `https://host.test/room/r${room}#t=k${room}`;
    tokens.takeFromUrl();
  }
  const scopes = Object.keys(storedTokens());
  assert.equal(scopes.length, 64);
  assert.ok(scopes.includes("admin") && scopes.includes("room:r79") && !scopes.includes("room:r0"));
});

test("the path of a page determines the scope of its link", () => {
  assert.equal(scopeOf("/index.html"), "admin");
  assert.equal(scopeOf("/listen.html"), "listen");
  assert.equal(scopeOf("/room/Listen"), "room:listen");
});
