import assert from "node:assert/strict";
import { test } from "node:test";
import { knock } from "../../../www/shared/checkAccess.js";
import { doorWords } from "../../../www/shared/accessStrings.js";
import { Keys } from "../../../www/shared/tokenStore.js";

const no = (status, code, headers = {}) => Response.json({ error: { code, message: "No." } }, { status, headers });
const yes = (more = {}) => Response.json({ private: true, allowed: true, host: false, ...more });

/** Keys in a store, and a host that answers by key. */
function house(tokens, answer) {
  const store = new Map([["roomtone.tokens", JSON.stringify(tokens)]]);
  const storage = { getItem: (key) => store.get(key) ?? null, setItem: (key, value) => store.set(key, value), removeItem: (key) => store.delete(key) };
  const keys = new Keys({ storage, location: new URL("https://host.test/"), rewrite: () => {} });
  const asked = [];
  const ask = async (url, { headers }) => {
    asked.push([url, headers.Authorization?.slice("Bearer ".length) ?? null]);
    return answer(asked.at(-1)[1]);
  };
  return { keys, asked, ask, kept: () => JSON.parse(store.get("roomtone.tokens") ?? "{}") };
}

test("each scope has its own question, and the key goes with it", async () => {
  const { keys, asked, ask } = house({ "room:a.b": "r", listen: "l" }, () => yes());
  assert.deepEqual(await knock(keys, "room:a.b", { ask }), { kind: "allowed", private: true, host: false });
  await knock(keys, "listen", { ask });
  await knock(keys, "admin", { ask });
  await knock(keys, "room:a.b", { resume: "seat", ask });
  const room = "/api/access?room=a.b";
  assert.deepEqual(asked, [[room, "r"], ["/api/access?listen", "l"], ["/api/access", null], [`${room}&resume=seat`, "r"]]);
});

test("a key that is no good is thrown away and the next is tried", async () => {
  const { keys, asked, ask, kept } = house({ admin: "old", "room:band": "good" }, (key) => (key === "good" ? yes() : no(401, "token-invalid")));
  assert.equal((await knock(keys, "room:band", { ask })).kind, "allowed");
  assert.deepEqual(asked.map(([, key]) => key), ["old", "good"]);
  assert.deepEqual(kept(), { "room:band": "good" });
});

test("an old key keeps nobody out of an open room", async () => {
  const { keys, ask, kept } = house({ admin: "old" }, (key) => (key === null ? yes({ private: false }) : no(401, "token-invalid")));
  assert.deepEqual(await knock(keys, "room:band", { ask }), { kind: "allowed", private: false, host: false });
  assert.deepEqual(kept(), {});
});

test("if the door stays shut, it is said what was wrong with the key, not that one is missing", async () => {
  const { keys, ask } = house({ "room:band": "old" }, (key) => (key === null ? no(401, "token-required") : no(401, "token-invalid")));
  assert.equal((await knock(keys, "room:band", { ask })).code, "token-invalid");
  assert.equal((await knock(keys, "room:band", { ask })).code, "token-required", "the next time it is gone");
});

test("a link just opened that is no good is told even where nobody needs one", async () => {
  const { keys, ask } = house({ admin: "fresh" }, (key) => (key === null ? yes({ private: false }) : no(401, "token-invalid")));
  assert.equal((await knock(keys, "admin", { fresh: "fresh", ask })).code, "token-invalid");
  assert.equal((await knock(keys, "admin", { ask })).kind, "allowed");
});

test("a key is kept while the host only asks to wait, or does not answer", async () => {
  for (const [answer, expected] of [
    [() => no(429, "too-many-failures", { "Retry-After": "7" }), { kind: "refused", code: "too-many-failures", retry_after_ms: 7000 }],
    [() => new Response("bad gateway", { status: 502 }), { kind: "unknown" }],
    [() => new Response("<p>hello", { status: 200 }), { kind: "unknown" }],
    [() => { throw new TypeError("fetch failed"); }, { kind: "unknown" }],
  ]) {
    const { keys, ask, kept } = house({ listen: "l" }, answer);
    assert.deepEqual(await knock(keys, "listen", { ask }), expected);
    assert.deepEqual(kept(), { listen: "l" });
  }
});

test("a proxy's own 401 has a sentence too", async () => {
  const { keys, ask } = house({}, () => new Response("<h1>401</h1>", { status: 401 }));
  assert.equal((await knock(keys, "listen", { ask })).code, "token-required");
});

test("every refusal is a sentence and what to do", () => {
  for (const code of ["token-required", "token-invalid", "not-allowed", "too-many-failures", "foreign-origin", "never heard of"]) {
    for (const place of ["room", "station", "host"]) {
      const { title, words } = doorWords(code, place, 0);
      assert.match(title, /^[A-Z].*\.$/, code);
      assert.match(words, /^[A-Z].*\.$/, code);
    }
  }
  const said = (...what) => Object.values(doorWords(...what)).join(" ");
  assert.equal(said("token-required", "room"), "This room is private. Open the link you were invited with.");
  assert.equal(said("token-invalid", "room"), "This link has expired or was withdrawn. Ask for a new one.");
  assert.match(said("not-allowed", "room"), /^This link is for another room\./);
  assert.match(said("too-many-failures", "room", 61_200), /Wait 62 seconds/);
  assert.match(said("too-many-failures", "room", 601_000), /Wait 11 minutes/);
});
