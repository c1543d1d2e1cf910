import assert from "node:assert/strict";
import { test } from "node:test";
import { SessionError } from "../../../www/player/sessionError.js";
import { WhepSession } from "../../../www/player/whepSession.js";
import { VirtualClock, settle } from "../harness/virtualClock.mjs";

const MEDIA = "m=audio 9 UDP/TLS/RTP/SAVPF 111";
const description = (ufrag) => `v=0\r\n${MEDIA}\r\na=mid:0\r\na=ice-ufrag:${ufrag}\r\na=ice-pwd:pwd-of-${ufrag}\r\na=rtpmap:111 opus/48000/2\r\n`;

class FakePeerConnection extends EventTarget {
  connectionState = "new";
  localDescription = null;
  remoteDescription = null;
  #offers = 0;
  receiver = { track: "track", jitterBufferTarget: null };

  addTransceiver(kind, options) {
    this.transceiver = { kind, options };
    return { receiver: this.receiver };
  }
  async createOffer(options) {
    this.#offers += options?.iceRestart || this.#offers === 0 ? 1 : 0;
    return { sdp: description(`local${this.#offers}`) };
  }
  async setLocalDescription(localDescription) {
    this.localDescription = localDescription;
  }
  setConfiguration(configuration) {
    this.configuration = configuration;
  }
  async setRemoteDescription(remoteDescription) {
    this.remoteDescription = remoteDescription;
  }
  fireCandidate(candidate) {
    this.dispatchEvent(Object.assign(new Event("icecandidate"), { candidate: candidate === null ? null : { candidate } }));
  }
  setState(state) {
    this.connectionState = state;
    this.dispatchEvent(new Event("connectionstatechange"));
  }
  close() {
    this.connectionState = "closed";
  }
}

/**
 * A session and a server.
 * @param {Record<string, (request: object) => Response>} answers of the server, by method, in place of the usual ones
 * @param {string | null} token
 */
function setUp(answers = {}, token = null) {
  const clock = new VirtualClock();
  const requests = [];
  const events = [];
  const errors = [];
  const pc = new FakePeerConnection();
  const server = {
    POST: () => new Response(description("remote1"), {
      status: 201,
      headers: { Location: "/whep/session/7", ETag: '"one"', "Content-Type": "application/sdp" },
    }),
    PATCH: () => new Response(null, { status: 204 }),
    DELETE: () => new Response(null, { status: 200 }),
    GET: () => new Response(null, { status: 204 }),
    ...answers,
  };
  const session = new WhepSession({ url: "http://host.test/whep", token: () => token }, {
    onConnected: () => events.push("connected"),
    onRestarting: () => events.push("restarting"),
    onIceServers: (servers) => events.push(`servers: ${servers.map(({ urls }) => urls).join(" ")}`),
    onFailed: (error) => {
      events.push(`failed: ${error.reason}`);
      errors.push(error);
    },
  }, {
    ...clock.platform,
    createPeerConnection: () => pc,
    createMediaStream: (tracks) => ({ tracks }),
    fetch: async (url, options) => {
      const request = { url, ...options };
      requests.push(request);
      const response = await server[request.method](request);
      Object.defineProperty(response, "url", { value: url });
      return response;
    },
  });
  return { clock, session, pc, requests, events, errors, sent: (method) => requests.filter((request) => request.method === method) };
}

test("the stream exists before any request", () => {
  const { session, pc, requests } = setUp();
  assert.deepEqual(session.stream, { tracks: ["track"] });
  assert.deepEqual(pc.transceiver, { kind: "audio", options: { direction: "recvonly" } });
  assert.equal(requests.length, 0);
});

test("the jitter buffer's target is set from the start, in milliseconds or by the older name in seconds", () => {
  const { session, pc } = setUp();
  assert.equal(pc.receiver.jitterBufferTarget, 0);
  session.setJitterBufferTarget(400);
  assert.deepEqual(pc.receiver, { track: "track", jitterBufferTarget: 400 });
  delete pc.receiver.jitterBufferTarget;
  session.setJitterBufferTarget(400);
  assert.deepEqual(pc.receiver, { track: "track", playoutDelayHint: 0.4 });
});

test("the offer requests stereo and NACK, in the local description too, and the answer is applied", async () => {
  const { session, pc, sent } = setUp();
  await session.start();
  const [post] = sent("POST");
  assert.equal(post.headers["Content-Type"], "application/sdp");
  assert.match(post.body, /a=rtcp-fb:111 nack\r\n/);
  assert.match(post.body, /a=fmtp:111 stereo=1;sprop-stereo=1/);
  assert.equal(pc.localDescription.sdp, post.body);
  assert.equal(pc.remoteDescription.sdp, description("remote1"));
});

test("candidates are sent together in one PATCH of the session", async () => {
  const { clock, session, pc, sent } = setUp();
  const started = session.start();
  await settle();
  pc.fireCandidate("candidate:1");
  await started;
  pc.fireCandidate("candidate:2");
  pc.fireCandidate(null);
  await clock.advance(100);
  assert.equal(sent("PATCH").length, 1);
  const [patch] = sent("PATCH");
  assert.equal(patch.url, "http://host.test/whep/session/7");
  assert.deepEqual(patch.headers, { "Content-Type": "application/trickle-ice-sdpfrag", "If-Match": '"one"' });
  assert.equal(patch.body, `${MEDIA}\r\na=mid:0\r\na=ice-ufrag:local1\r\na=ice-pwd:pwd-of-local1\r\na=candidate:1\r\na=candidate:2\r\na=end-of-candidates\r\n`);
});

test("stop ends the session at the server, once, and with keepalive if the page is being closed", async () => {
  for (const keepalive of [false, true]) {
    const { session, pc, sent } = setUp();
    await session.start();
    session.stop(keepalive);
    session.stop(keepalive);
    assert.deepEqual(sent("DELETE").map((request) => [request.url, request.keepalive]), [["http://host.test/whep/session/7", keepalive]]);
    assert.equal(pc.connectionState, "closed");
  }
});

test("a session stopped before its answer is still ended at the server", async () => {
  const { session, sent } = setUp();
  const started = session.start();
  session.stop();
  await started;
  assert.equal(sent("DELETE").length, 1);
});

test("a connection that recovers within two seconds does not restart ICE", async () => {
  const { clock, session, pc, events, sent } = setUp();
  await session.start();
  pc.setState("connected");
  pc.setState("disconnected");
  await clock.advance(1900);
  pc.setState("connected");
  await clock.advance(10_000);
  assert.deepEqual(events, ["connected", "connected"]);
  assert.equal(sent("PATCH").length, 0);
});

const restartAnswer = () => new Response(`${MEDIA}\r\na=mid:0\r\na=ice-ufrag:remote2\r\na=ice-pwd:pwd-of-remote2\r\na=candidate:9\r\na=end-of-candidates\r\n`, {
  status: 200,
  headers: { ETag: '"two"' },
});

test("a connection that stays disconnected restarts ICE, and later candidates carry the new ETag", async () => {
  const { clock, session, pc, events, sent } = setUp({
    PATCH: ({ headers }) => (headers["If-Match"] === "*" ? restartAnswer() : new Response(null, { status: 204 })),
  });
  await session.start();
  pc.setState("connected");
  pc.setState("disconnected");
  await clock.advance(2100);
  await settle();
  assert.match(sent("PATCH")[0].body, /a=ice-ufrag:local2/);
  const { sdp } = pc.remoteDescription;
  assert.match(sdp, /a=ice-ufrag:remote2\r\na=ice-pwd:pwd-of-remote2/);
  assert.match(sdp, /a=candidate:9\r\na=end-of-candidates/);
  assert.doesNotMatch(sdp, /remote1/);

  pc.fireCandidate("candidate:3");
  await clock.advance(100);
  assert.equal(sent("PATCH")[1].headers["If-Match"], '"two"');
  assert.match(sent("PATCH")[1].body, /local2[\s\S]*a=candidate:3/);
  pc.setState("connected");
  await clock.advance(10_000);
  assert.deepEqual(events, ["connected", "restarting", "connected"]);
});

test("an ICE restart that does not connect fails the session", async () => {
  const { clock, session, pc, events } = setUp({ PATCH: restartAnswer });
  await session.start();
  pc.setState("failed");
  await clock.advance(4200);
  assert.deepEqual(events, ["restarting", "failed: ice-failed"]);
});

test("an ICE restart of a session that the server does not know fails it at once", async () => {
  const { clock, session, pc, events } = setUp({ PATCH: () => new Response(null, { status: 404 }) });
  await session.start();
  pc.setState("failed");
  await clock.advance(0);
  await settle();
  assert.deepEqual(events, ["restarting", "failed: closed"]);
});

test("ICE servers of the answer are used for the next attempt", async () => {
  const headers = new Headers({ Location: "/whep/session/7" });
  headers.append("Link", '<stun:stun.example.net>; rel="ice-server"');
  headers.append("Link", '<turn:turn.example.net>; rel="ice-server"; username="u"; credential="c"');
  const { session, pc, events } = setUp({ POST: () => new Response(description("remote1"), { status: 201, headers }) });
  await session.start();
  assert.deepEqual(events, ["servers: stun:stun.example.net turn:turn.example.net"]);
  assert.deepEqual(pc.configuration.iceServers, [
    { urls: "stun:stun.example.net" },
    { urls: "turn:turn.example.net", username: "u", credential: "c" },
  ]);
});

test("the token is sent with every request, and no header without one", async () => {
  const { clock, session, pc, requests } = setUp({}, "payload.mac");
  await session.start();
  pc.fireCandidate("candidate:1");
  await clock.advance(100);
  session.stop();
  await settle();
  assert.deepEqual(requests.map(({ method }) => method), ["POST", "PATCH", "DELETE"]);
  for (const { headers } of requests) assert.equal(headers.Authorization, "Bearer payload.mac");
  const open = setUp();
  await open.session.start();
  assert.equal(open.requests[0].headers.Authorization, undefined);
});

for (const [status, code] of [[401, "token-required"], [401, "token-invalid"], [403, "not-allowed"], [429, "too-many-failures"]]) {
  test(`${status} ${code} fails the session as unauthorized, with the code`, async () => {
    const { session, errors } = setUp({ POST: () => Response.json({ error: { code, message: "No." } }, { status }) });
    await session.start();
    assert.deepEqual([errors[0].reason, errors[0].detail], ["unauthorized", code]);
  });
}

for (const [status, reason] of [[503, "full"], [409, "full"], [404, "not-found"], [400, "refused"], [415, "refused"], [500, "unreachable"]]) {
  test(`status ${status} fails the session as ${reason}`, async () => {
    const { session, events } = setUp({ POST: () => new Response("because", { status }) });
    await session.start();
    assert.deepEqual(events, [`failed: ${reason}`]);
  });
}

test("a server that does not answer is unreachable", async () => {
  const { session, events } = setUp({ POST: () => { throw new TypeError("fetch failed"); } });
  await session.start();
  assert.deepEqual(events, ["failed: unreachable"]);
});

test("a full server's message and Retry-After are passed on", async () => {
  const { session, errors } = setUp({
    POST: () => new Response('{"error":{"code":"full","message":"No place."}}', { status: 503, headers: { "Retry-After": "7" } }),
  });
  await session.start();
  assert.ok(errors[0] instanceof SessionError);
  assert.equal(errors[0].retryAfterMs, 7000);
  assert.equal(errors[0].detail, "No place.");
});

test("a session exists until the server denies it or does not answer", async () => {
  let answer = () => new Response(null, { status: 204 });
  const { session } = setUp({ GET: () => answer() });
  assert.equal(await session.exists(), false);
  await session.start();
  assert.equal(await session.exists(), true);
  answer = () => new Response(null, { status: 404 });
  assert.equal(await session.exists(), false);
  answer = () => { throw new TypeError("fetch failed"); };
  assert.equal(await session.exists(), false);
});
