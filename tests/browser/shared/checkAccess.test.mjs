import assert from "node:assert/strict";
import { test } from "node:test";
import { checkAccess } from "../../../www/shared/checkAccess.js";
import { TokenStore } from "../../../www/shared/tokenStore.js";

const refused = (status, code, headers = {}) => Response.json({ error: { code, message: "No." } }, { status, headers });
const granted = (more = {}) => Response.json({ private: true, allowed: true, host: false, ...more });

/**
 * A token store and a server.
 * @param {Record<string, string>} stored
 * @param {(token: string | null) => Response} answer
 */
function setUp(stored, answer) {
  const values = new Map([["roomtone.tokens", JSON.stringify(stored)]]);
  const storage = { getItem: (key) => values.get(key) ?? null, setItem: (key, value) => values.set(key, value), removeItem: (key) => values.delete(key) };
  const tokens = new TokenStore({ storage, storageKey: "roomtone.tokens", location: new URL("https://host.test/"), replaceUrl: () => {} });
  const requests = [];
  const fetch = async (url, { method = "GET", headers, body }) => {
    const token = headers.Authorization?.slice("Bearer ".length) ?? null;
    requests.push(method === "GET" ? [url, token] : [url, token, headers["Content-Type"], JSON.parse(body)]);
    return answer(token);
  };
  return { tokens, requests, fetch, storedTokens: () => JSON.parse(values.get("roomtone.tokens") ?? "{}") };
}

test("each scope has its URL, and the token is sent with the request", async () => {
  const { tokens, requests, fetch } = setUp({ "room:a.b": "r", listen: "l" }, () => granted());
  assert.deepEqual(await checkAccess(tokens, "room:a.b", { fetch }), { kind: "allowed", isPrivate: true, isModerator: false, ticket: null });
  await checkAccess(tokens, "listen", { fetch });
  await checkAccess(tokens, "admin", { fetch });
  const room = "https://host.test/api/access?room=a.b";
  assert.deepEqual(requests, [[room, "r"], ["https://host.test/api/access?listen", "l"], ["https://host.test/api/access", null]]);
});

test("a ticket is asked for with both tokens, and neither is in the URL", async () => {
  const { tokens, requests, fetch } = setUp({ "room:a.b": "r" }, () => granted({ ticket: "t" }));
  for (const resume of [null, "resume"]) assert.equal((await checkAccess(tokens, "room:a.b", { resume, fetch })).ticket, "t");
  const asked = ["https://host.test/api/access?room=a.b", "r", "application/json"];
  assert.deepEqual(requests, [[...asked, { resume: null }], [...asked, { resume: "resume" }]]);
});

test("a rejected token is removed, and the next one is tried", async () => {
  const { tokens, requests, fetch, storedTokens } = setUp(
    { admin: "old", "room:band": "good" },
    (token) => (token === "good" ? granted() : refused(401, "token-invalid")),
  );
  assert.equal((await checkAccess(tokens, "room:band", { fetch })).kind, "allowed");
  assert.deepEqual(requests.map(([, token]) => token), ["old", "good"]);
  assert.deepEqual(storedTokens(), { "room:band": "good" });
});

test("an old token keeps nobody out of an open room", async () => {
  const { tokens, fetch, storedTokens } = setUp(
    { admin: "old" },
    (token) => (token === null ? granted({ private: false }) : refused(401, "token-invalid")),
  );
  assert.deepEqual(await checkAccess(tokens, "room:band", { fetch }), { kind: "allowed", isPrivate: false, isModerator: false, ticket: null });
  assert.deepEqual(storedTokens(), {});
});

test("if access stays refused, the result says what was wrong with the token, not that one is missing", async () => {
  const { tokens, fetch } = setUp(
    { "room:band": "old" },
    (token) => (token === null ? refused(401, "token-required") : refused(401, "token-invalid")),
  );
  assert.equal((await checkAccess(tokens, "room:band", { fetch })).code, "token-invalid");
  assert.equal((await checkAccess(tokens, "room:band", { fetch })).code, "token-required", "the token is removed by now");
});

test("a rejected token of the link just opened is reported even on an open server", async () => {
  const { tokens, fetch } = setUp(
    { admin: "new" },
    (token) => (token === null ? granted({ private: false }) : refused(401, "token-invalid")),
  );
  assert.equal((await checkAccess(tokens, "admin", { linkToken: "new", fetch })).code, "token-invalid");
  assert.equal((await checkAccess(tokens, "admin", { fetch })).kind, "allowed");
});

test("a token is kept while the server only asks to wait, or does not answer", async () => {
  for (const [answer, expected] of [
    [() => refused(429, "too-many-failures", { "Retry-After": "7" }), { kind: "refused", code: "too-many-failures", retryAfterMs: 7000 }],
    [() => new Response("bad gateway", { status: 502 }), { kind: "unknown" }],
    [() => new Response("<p>hello", { status: 200 }), { kind: "unknown" }],
    [() => { throw new TypeError("fetch failed"); }, { kind: "unknown" }],
  ]) {
    const { tokens, fetch, storedTokens } = setUp({ listen: "l" }, answer);
    assert.deepEqual(await checkAccess(tokens, "listen", { fetch }), expected);
    assert.deepEqual(storedTokens(), { listen: "l" });
  }
});

test("a 401 of a proxy counts as a missing token", async () => {
  const { tokens, fetch } = setUp({}, () => new Response("<h1>401</h1>", { status: 401 }));
  assert.equal((await checkAccess(tokens, "listen", { fetch })).code, "token-required");
});
