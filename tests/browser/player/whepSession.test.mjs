import assert from "node:assert/strict";
import { test } from "node:test";
import { iceServersOf } from "../../../www/player/iceLinks.js";
import { SessionError, WhepSession, retryAfterOf } from "../../../www/player/whepSession.js";

const MEDIA = "m=audio 9 UDP/TLS/RTP/SAVPF 111";
const description = (ufrag) => `v=0\r\n${MEDIA}\r\na=mid:0\r\na=ice-ufrag:${ufrag}\r\na=ice-pwd:pwd-of-${ufrag}\r\na=rtpmap:111 opus/48000/2\r\n`;

class FakePeerConnection extends EventTarget {
  connectionState = "new";
  localDescription = null;
  remoteDescription = null;
  #offers = 0;

  addTransceiver(kind, options) {
    this.transceiver = { kind, options };
    return { receiver: { track: "track" } };
  }
  async createOffer(options) {
    this.#offers += options?.iceRestart || this.#offers === 0 ? 1 : 0;
    return { sdp: description(`ours${this.#offers}`) };
  }
  async setLocalDescription(it) {
    this.localDescription = it;
  }
  setConfiguration(it) {
    this.configuration = it;
  }
  async setRemoteDescription(it) {
    this.remoteDescription = it;
  }
  find(candidate) {
    this.dispatchEvent(Object.assign(new Event("icecandidate"), { candidate: candidate === null ? null : { candidate } }));
  }
  become(state) {
    this.connectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
  }
  close() {
    this.connectionState = "closed";
  }
}

/** Lets every promise that can settle do so. */
async function settle() {
  for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
}

/**
 * A session against a server that answers from `answers`, keyed by method.
 */
function rig(answers = {}, key = null) {
  let now_ms = 0;
  let timers = [];
  const requests = [];
  const events = [];
  const errors = [];
  const pc = new FakePeerConnection();
  const all = {
    POST: () => new Response(description("theirs1"), {
      status: 201,
      headers: { Location: "/whep/session/7", ETag: '"one"', "Content-Type": "application/sdp" },
    }),
    PATCH: () => new Response(null, { status: 204 }),
    DELETE: () => new Response(null, { status: 200 }),
    GET: () => new Response(null, { status: 204 }),
    ...answers,
  };
  const session = new WhepSession({ endpoint: "http://host.test/whep", key: () => key }, {
    onConnected: () => events.push("connected"),
    onRepairing: () => events.push("repairing"),
    onServers: (servers) => events.push(`servers: ${servers.map(({ urls }) => urls).join(" ")}`),
    onBroken: (error) => {
      events.push(`broken: ${error.reason}`);
      errors.push(error);
    },
  }, {
    peerConnection: () => pc,
    mediaStream: (tracks) => ({ tracks }),
    later: (run, wait_ms) => {
      const timer = { run, at_ms: now_ms + wait_ms };
      timers.push(timer);
      return timer;
    },
    never: (timer) => { timers = timers.filter((each) => each !== timer); },
    fetch: async (url, request) => {
      const made = { url, ...request };
      requests.push(made);
      const response = await all[request.method](made);
      Object.defineProperty(response, "url", { value: url });
      return response;
    },
  });
  /** Lets so much time pass. */
  const pass = async (time_ms) => {
    await settle();
    now_ms += time_ms;
    const due = timers.filter(({ at_ms }) => at_ms <= now_ms);
    timers = timers.filter(({ at_ms }) => at_ms > now_ms);
    for (const { run } of due) run();
    await settle();
  };
  return { session, pc, requests, events, errors, pass, of: (method) => requests.filter((each) => each.method === method) };
}

test("the stream is there before anything was asked", () => {
  const { session, pc, requests } = rig();
  assert.deepEqual(session.stream, { tracks: ["track"] });
  assert.deepEqual(pc.transceiver, { kind: "audio", options: { direction: "recvonly" } });
  assert.equal(requests.length, 0);
});

test("the offer asks for two channels, in our own description too, and the answer is taken", async () => {
  const { session, pc, of } = rig();
  await session.start();
  const [post] = of("POST");
  assert.equal(post.headers["Content-Type"], "application/sdp");
  assert.match(post.body, /a=rtcp-fb:111 nack\r\n/);
  assert.match(post.body, /a=fmtp:111 stereo=1;sprop-stereo=1/);
  assert.equal(pc.localDescription.sdp, post.body);
  assert.equal(pc.remoteDescription.sdp, description("theirs1"));
});

test("candidates found meanwhile leave together in one PATCH of the session", async () => {
  const { session, pc, of, pass } = rig();
  const started = session.start();
  await settle();
  pc.find("candidate:1");
  await started;
  pc.find("candidate:2");
  pc.find(null);
  await pass(100);
  assert.equal(of("PATCH").length, 1);
  const [patch] = of("PATCH");
  assert.equal(patch.url, "http://host.test/whep/session/7");
  assert.deepEqual(patch.headers, { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": '"one"' });
  assert.equal(patch.body, `${MEDIA}\r\na=mid:0\r\na=ice-ufrag:ours1\r\na=ice-pwd:pwd-of-ours1\r\na=candidate:1\r\na=candidate:2\r\na=end-of-candidates\r\n`);
});

test("stop ends the session at the server; leaving the page lets the request outlive it", async () => {
  for (const leaving of [false, true]) {
    const { session, pc, of } = rig();
    await session.start();
    session.stop(leaving);
    session.stop(leaving);
    assert.deepEqual(of("DELETE").map(({ url, keepalive }) => [url, keepalive]), [["http://host.test/whep/session/7", leaving]]);
    assert.equal(pc.connectionState, "closed");
  }
});

test("a session that was stopped while its answer was on the way is still ended at the server", async () => {
  const { session, of } = rig();
  const started = session.start();
  session.stop();
  await started;
  assert.equal(of("DELETE").length, 1);
});

test("a path that returns within two seconds is left alone", async () => {
  const { session, pc, events, of, pass } = rig();
  await session.start();
  pc.become("connected");
  pc.become("disconnected");
  await pass(1900);
  pc.become("connected");
  await pass(10_000);
  assert.deepEqual(events, ["connected", "connected"]);
  assert.equal(of("PATCH").length, 0);
});

const restarted = () => new Response(`${MEDIA}\r\na=mid:0\r\na=ice-ufrag:theirs2\r\na=ice-pwd:pwd-of-theirs2\r\na=candidate:9\r\na=end-of-candidates\r\n`, {
  status: 200,
  headers: { ETag: '"two"' },
});

test("a path that stays away is replaced by an ICE restart, and later candidates carry the new ETag", async () => {
  const { session, pc, events, of, pass } = rig({ PATCH: ({ headers }) => (headers["If-Match"] === "*" ? restarted() : new Response(null, { status: 204 })) });
  await session.start();
  pc.become("connected");
  pc.become("disconnected");
  await pass(2100);
  assert.match(of("PATCH")[0].body, /a=ice-ufrag:ours2/);
  const { sdp } = pc.remoteDescription;
  assert.match(sdp, /a=ice-ufrag:theirs2\r\na=ice-pwd:pwd-of-theirs2/);
  assert.match(sdp, /a=candidate:9\r\na=end-of-candidates/);
  assert.doesNotMatch(sdp, /theirs1/);

  pc.find("candidate:3");
  await pass(100);
  assert.equal(of("PATCH")[1].headers["If-Match"], '"two"');
  assert.match(of("PATCH")[1].body, /ours2[\s\S]*a=candidate:3/);
  pc.become("connected");
  await pass(10_000);
  assert.deepEqual(events, ["connected", "repairing", "connected"]);
});

test("a restart that brings no path breaks the session", async () => {
  const { session, pc, events, pass } = rig({ PATCH: restarted });
  await session.start();
  pc.become("failed");
  await pass(0);
  await pass(4100);
  assert.deepEqual(events, ["repairing", "broken: no-path"]);
});

test("a restart of a session the host has forgotten breaks it at once", async () => {
  const { session, pc, events, pass } = rig({ PATCH: () => new Response(null, { status: 404 }) });
  await session.start();
  pc.become("failed");
  await pass(0);
  assert.deepEqual(events, ["repairing", "broken: cut"]);
});

test("servers that the answer names are taken for the next try", async () => {
  const headers = new Headers({ Location: "/whep/session/7" });
  headers.append("Link", '<stun:stun.example.net>; rel="ice-server"');
  headers.append("Link", '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="u,s;er"; credential="a\\"b"; credential-type="password"');
  const { session, pc, events } = rig({ POST: () => new Response(description("theirs1"), { status: 201, headers }) });
  await session.start();
  assert.deepEqual(events, ["servers: stun:stun.example.net turn:turn.example.net?transport=udp"]);
  assert.deepEqual(pc.configuration.iceServers, [
    { urls: "stun:stun.example.net" },
    { urls: "turn:turn.example.net?transport=udp", username: "u,s;er", credential: 'a"b' },
  ]);
});

test("other links, and servers that a browser would refuse, are passed over", () => {
  for (const field of [null, "", "</style.css>; rel=preload", '<https://stun.example.net>; rel="ice-server"', '<turn:t.example.net>; rel="ice-server"', "<stun:s.example.net>", "stun:s.example.net; rel=ice-server", "<<>>;;=\"\\"]) {
    assert.deepEqual(iceServersOf(field), [], field);
  }
  assert.deepEqual(iceServersOf('<a>; rel=x, <stun:s.example.net>;rel=ice-server , <b>'), [{ urls: "stun:s.example.net" }]);
  assert.equal(iceServersOf(Array(50).fill("<stun:s.example.net>; rel=ice-server").join(", ")).length, 8);
});

test("the key goes with every request, and no header without one", async () => {
  const { session, pc, requests, pass } = rig({}, "payload.mac");
  await session.start();
  pc.find("candidate:1");
  await pass(100);
  session.stop();
  await settle();
  assert.deepEqual(requests.map(({ method }) => method), ["POST", "PATCH", "DELETE"]);
  for (const { headers } of requests) assert.equal(headers.Authorization, "Bearer payload.mac");
  const open = rig();
  await open.session.start();
  assert.equal(open.requests[0].headers.Authorization, undefined);
});

for (const [status, code] of [[401, "token-required"], [401, "token-invalid"], [403, "not-allowed"], [429, "too-many-failures"]]) {
  test(`${status} ${code} means that one was not invited, and says how`, async () => {
    const { session, errors } = rig({ POST: () => Response.json({ error: { code, message: "No." } }, { status }) });
    await session.start();
    assert.deepEqual([errors[0].reason, errors[0].detail], ["uninvited", code]);
  });
}

for (const [status, reason] of [[503, "full"], [409, "full"], [404, "missing"], [400, "refused"], [415, "refused"], [500, "unreachable"]]) {
  test(`a POST answered ${status} breaks as ${reason}`, async () => {
    const { session, events } = rig({ POST: () => new Response("because", { status }) });
    await session.start();
    assert.deepEqual(events, [`broken: ${reason}`]);
  });
}

test("a host that does not answer is unreachable", async () => {
  const { session, events } = rig({ POST: () => { throw new TypeError("fetch failed"); } });
  await session.start();
  assert.deepEqual(events, ["broken: unreachable"]);
});

test("a full host says why and when to come again", async () => {
  const { session, errors } = rig({
    POST: () => new Response('{"error":{"code":"full","message":"No place."}}', { status: 503, headers: { "Retry-After": "7" } }),
  });
  await session.start();
  assert.ok(errors[0] instanceof SessionError);
  assert.equal(errors[0].retry_after_ms, 7000);
  assert.equal(errors[0].detail, "No place.");
});

test("Retry-After is seconds or a date, and nonsense is nothing", () => {
  const now_ms = Date.parse("2024-01-01T00:00:00Z");
  assert.equal(retryAfterOf("12", now_ms), 12_000);
  assert.equal(retryAfterOf("Mon, 01 Jan 2024 00:00:30 GMT", now_ms), 30_000);
  assert.equal(retryAfterOf("Sun, 31 Dec 2023 00:00:00 GMT", now_ms), 0);
  assert.equal(retryAfterOf("soon", now_ms), 0);
  assert.equal(retryAfterOf(null, now_ms), 0);
});

test("a session is known until the host says otherwise or says nothing", async () => {
  let answer = () => new Response(null, { status: 204 });
  const { session } = rig({ GET: () => answer() });
  assert.equal(await session.isKnown(), false);
  await session.start();
  assert.equal(await session.isKnown(), true);
  answer = () => new Response(null, { status: 404 });
  assert.equal(await session.isKnown(), false);
  answer = () => { throw new TypeError("fetch failed"); };
  assert.equal(await session.isKnown(), false);
});
