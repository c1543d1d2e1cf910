import assert from "node:assert/strict";
import { test } from "node:test";
import { Signaling } from "../../../www/rooms/signaling.js";
import { VirtualClock, settle } from "../harness/virtualClock.mjs";

const STATE = { name: "Ada", muted: false, camera: true, screen: null };
const INVALID_TOKEN = { kind: "refused", code: "token-invalid", retryAfterMs: 0 };

/** A WebSocket whose server is the test. */
class FakeSocket extends EventTarget {
  sent = [];
  closeCode = null;

  constructor(url) {
    super();
    this.url = url;
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close(code) {
    this.closeCode = code;
  }
  receiveText(data) {
    this.dispatchEvent(Object.assign(new Event("message"), { data }));
  }
  receive(type, payload) {
    this.receiveText(JSON.stringify({ type, payload }));
  }
  /** The server, or the network, closes the socket. */
  drop(code) {
    this.dispatchEvent(Object.assign(new Event("close"), { code }));
  }
  get sentTypes() {
    return this.sent.map(({ type }) => type);
  }
}

/**
 * Starts signaling.
 * @param {{ token?: string | null, access?: object[] }} options `access`: results of access checks, then "allowed"
 */
async function setUp({ token = null, access = [] } = {}) {
  const clock = new VirtualClock();
  const sockets = [];
  const seen = { configs: [], messages: [], checks: [] };
  const signaling = new Signaling("ws://host/ws", "band", {
    onState: () => {},
    onConfig: (id, peerIds, config) => seen.configs.push([id, peerIds, config.resumed]),
    onMessage: (message) => seen.messages.push(message),
    peerState: () => STATE,
  }, {
    token: () => token,
    check: async (resume) => {
      seen.checks.push(resume);
      return access.shift() ?? { kind: "allowed", isPrivate: false, isModerator: false };
    },
  }, {
    ...clock.platform,
    createWebSocket: (url) => {
      sockets.push(new FakeSocket(url));
      return sockets.at(-1);
    },
  });
  await signaling.start();
  const context = {
    clock,
    sockets,
    seen,
    signaling,
    get socket() {
      return sockets.at(-1);
    },
    /** The server sends `init-peers` and `config`. */
    accept: (more) => {
      const config = { instance: "i", resume: "resume", resumed: false, room: "band", iceServers: [], stations: [], limits: {}, ...more };
      context.socket.receive("init-peers", { id: "me", peerIds: ["you"] });
      context.socket.receive("config", config);
    },
    /** Waits for the next WebSocket, and returns how long that took. */
    nextSocket: async () => {
      const startMs = clock.nowMs;
      const { length } = sockets;
      while (sockets.length === length) await clock.advance(100);
      return clock.nowMs - startMs;
    },
  };
  return context;
}

test("nothing is passed on before config; then hello is sent first", async () => {
  const { socket, seen, signaling, accept } = await setUp();
  assert.equal(socket.url, "ws://host/ws?room=band");
  socket.receive("init-peers", { id: "me", peerIds: ["you"] });
  assert.deepEqual(seen.configs, []);
  assert.equal(signaling.send({ type: "chat", payload: { text: "lost" } }), false);
  accept();
  assert.deepEqual(seen.configs, [["me", ["you"], false]]);
  assert.deepEqual(socket.sent, [{ type: "hello", payload: STATE }]);
  socket.receive("new-peer", { id: "third" });
  assert.deepEqual(seen.messages, [{ type: "new-peer", payload: { id: "third" } }]);
});

test("a lost connection resumes with its token, and sends what was queued for single peers", async () => {
  const context = await setUp();
  const { clock, seen, signaling, accept } = context;
  accept();
  context.socket.drop(1006);
  assert.equal(signaling.state.kind, "waiting");
  signaling.sendToPeer({ type: "offer", targetId: "you", payload: { sdp: "queued" } });
  await clock.advance(500);
  assert.equal(context.socket.url, "ws://host/ws?room=band&resume=resume");
  signaling.sendToPeer({ type: "ice-candidate", targetId: "you", payload: { candidate: null } });
  accept({ resumed: true });
  assert.deepEqual(context.socket.sentTypes, ["hello", "offer", "ice-candidate"]);
  assert.deepEqual(seen.configs.at(-1), ["me", ["you"], true]);
});

test("delays grow while the server is down, and a network change retries now", async () => {
  const context = await setUp();
  const { clock, signaling, sockets, nextSocket } = context;
  const delays = [];
  for (let times = 0; times < 4; times += 1) {
    context.socket.drop(1006);
    delays.push(await nextSocket());
  }
  assert.deepEqual(delays, [500, 1000, 2000, 4000]);
  context.socket.drop(1006);
  const { length } = sockets;
  signaling.networkChanged();
  await clock.advance(0);
  assert.equal(sockets.length, length + 1);
});

test("after a network change, an open connection is replaced, and the server keeps the place", async () => {
  const context = await setUp();
  context.accept();
  const old = context.socket;
  context.signaling.networkChanged();
  assert.equal(old.closeCode, 4000);
  assert.match(context.socket.url, /resume=resume/);
  old.drop(4001);
  assert.equal(context.signaling.state.kind, "connecting", "events of the old socket are ignored");
});

test("an attempt without config is given up after ten seconds", async () => {
  const { clock, sockets, signaling } = await setUp();
  await clock.advance(10_000);
  assert.equal(signaling.state.kind, "waiting");
  assert.equal(sockets[0].closeCode, 4000);
});

test("a full room refuses newcomers, but a peer that was in it retries", async () => {
  const newcomer = await setUp();
  newcomer.socket.receive("error", { code: "room-full", message: "Full." });
  newcomer.socket.drop(1013);
  assert.deepEqual(newcomer.signaling.state, { kind: "refused", code: "room-full", message: "Full.", retryAfterMs: 0 });
  const returning = await setUp();
  returning.accept();
  returning.socket.drop(1006);
  await returning.clock.advance(500);
  returning.socket.receive("error", { code: "room-full", message: "Full." });
  returning.socket.drop(1013);
  assert.equal(returning.signaling.state.kind, "waiting");
});

test("a page that was replaced by another one does not reconnect", async () => {
  const context = await setUp();
  context.accept();
  context.socket.receive("error", { code: "replaced", message: "Another connection." });
  context.socket.drop(4001);
  assert.equal(context.signaling.state.kind, "refused");
  await context.clock.advance(60_000);
  assert.equal(context.sockets.length, 1);
  await context.signaling.start();
  assert.equal(context.socket.url, "ws://host/ws?room=band", "as a new peer");
});

test("leaving is sent, and final", async () => {
  const { clock, socket, sockets, signaling, accept } = await setUp();
  accept();
  signaling.stop();
  assert.equal(socket.sent.at(-1).type, "leave");
  assert.equal(socket.closeCode, 1000);
  await clock.advance(60_000);
  assert.equal(sockets.length, 1);
});

test("text that is no message of the protocol is ignored", async () => {
  const { socket, seen, accept } = await setUp();
  accept();
  for (const text of ["", "null", "[]", '{"type":1}', '{"type":"chat"}', '{"type":"chat","payload":null}']) socket.receiveText(text);
  assert.deepEqual(seen.messages, []);
});

test("access is checked first, and a refusal is final", async () => {
  const { clock, sockets, seen, signaling } = await setUp({ access: [INVALID_TOKEN] });
  assert.deepEqual(signaling.state, { kind: "refused", code: "token-invalid", message: "", retryAfterMs: 0 });
  await clock.advance(60_000);
  assert.equal(sockets.length, 0);
  assert.equal(seen.checks.length, 1);
});

test("every attempt sends the access token", async () => {
  const context = await setUp({ token: "payload.mac" });
  assert.equal(context.socket.url, "ws://host/ws?room=band&token=payload.mac");
  context.accept();
  context.socket.drop(1006);
  await context.clock.advance(500);
  assert.equal(context.socket.url, "ws://host/ws?room=band&resume=resume&token=payload.mac");
});

test("after a socket that received nothing, a newcomer checks access again, and stops if it is refused", async () => {
  const { socket, seen, signaling } = await setUp({ access: [{ kind: "allowed" }, INVALID_TOKEN] });
  socket.drop(1006);
  assert.equal(signaling.state.kind, "waiting");
  await settle();
  assert.equal(signaling.state.kind, "refused");
  assert.equal(seen.checks.length, 2);
});

test("a returning peer sends its resume token with the check, waits if asked to, and stops if refused", async () => {
  const askedToWait = { ...INVALID_TOKEN, code: "too-many-failures", retryAfterMs: 5000 };
  const context = await setUp({ access: [{ kind: "allowed" }, { kind: "unknown" }, askedToWait, INVALID_TOKEN] });
  const { seen, signaling, nextSocket } = context;
  context.accept();
  // A socket that received messages was not refused, so there is no check.
  context.socket.drop(1006);
  await settle();
  assert.equal(seen.checks.length, 1);
  const kinds = [];
  for (let times = 0; times < 3; times += 1) {
    await nextSocket();
    context.socket.drop(1006);
    await settle();
    kinds.push(signaling.state.kind);
  }
  assert.deepEqual(kinds, ["waiting", "waiting", "refused"]);
  assert.deepEqual(seen.checks, [null, "resume", "resume", "resume"]);
});

for (const [code, closeCode] of [["removed", 4003], ["room-locked", 4004], ["room-ended", 4005]]) {
  test(`${code} is final, by its error or by its close code`, async () => {
    for (const droppedWith of [closeCode, 1006]) {
      const { clock, socket, sockets, signaling, accept } = await setUp();
      accept();
      socket.receive("error", { code, message: "Because." });
      socket.drop(droppedWith);
      assert.deepEqual(signaling.state, { kind: "refused", code, message: "Because.", retryAfterMs: 0 });
      await clock.advance(60_000);
      assert.equal(sockets.length, 1);
    }
    const withoutError = await setUp();
    withoutError.accept();
    withoutError.socket.drop(closeCode);
    assert.equal(withoutError.signaling.state.code, code);
  });
}

test("stopping during the access check opens no connection", async () => {
  const { sockets, signaling } = await setUp();
  signaling.stop();
  const starting = signaling.start();
  signaling.stop();
  await starting;
  assert.equal(sockets.length, 1);
  assert.equal(signaling.state.kind, "idle");
});

test("a moderator's command names its target, and is not queued", async () => {
  const context = await setUp();
  const { clock, signaling, accept } = context;
  accept();
  assert.equal(signaling.send({ type: "mute", targetId: "you", payload: {} }), true);
  assert.deepEqual(context.socket.sent.at(-1), { type: "mute", targetId: "you", payload: {} });
  context.socket.drop(1006);
  assert.equal(signaling.send({ type: "remove", targetId: "you", payload: {} }), false);
  await clock.advance(500);
  accept({ resumed: true });
  assert.deepEqual(context.socket.sentTypes, ["hello"]);
});
