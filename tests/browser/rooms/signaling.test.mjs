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
 * @param {{ access?: object[] }} options `access`: results of access checks, then "allowed", each with the next ticket
 */
async function setUp({ access = [] } = {}) {
  const clock = new VirtualClock();
  const sockets = [];
  const seen = { configs: [], missed: [], messages: [], checks: [] };
  const signaling = new Signaling("ws://host/ws", "band", {
    onState: () => {},
    onConfig: (id, peerIds, config, mayHaveMissed) => {
      seen.configs.push([id, peerIds, config.resumed]);
      seen.missed.push(mayHaveMissed);
    },
    onMessage: (message) => seen.messages.push(message),
    peerState: () => STATE,
  }, {
    check: async (resume) => {
      seen.checks.push(resume);
      const ticket = `ticket${seen.checks.length}`;
      return access.shift() ?? { kind: "allowed", isPrivate: false, isModerator: false, ticket };
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
  assert.equal(socket.url, "ws://host/ws?room=band&ticket=ticket1");
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
  assert.equal(context.socket.url, "ws://host/ws?room=band&ticket=ticket2");
  assert.deepEqual(seen.checks, [null, "resume"], "the resume token is sent for the ticket");
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
  await settle();
  assert.notEqual(context.socket, old);
  assert.deepEqual(context.seen.checks, [null, "resume"]);
  old.drop(4001);
  assert.equal(context.signaling.state.kind, "connecting", "events of the old socket are ignored");
});

test("a server that is silent is asked for a sign of life, and a connection that stays silent is replaced", async () => {
  const context = await setUp();
  const { clock, seen, signaling, accept } = context;
  accept();
  const old = context.socket;
  await clock.advance(7_000);
  old.receive("new-peer", { id: "third" });
  await clock.advance(7_900);
  assert.deepEqual(old.sentTypes, ["hello"], "what arrives is a sign of life");
  await clock.advance(100);
  assert.deepEqual(old.sentTypes, ["hello", "ping"]);
  await clock.advance(5_900);
  old.receive("pong", {});
  assert.deepEqual(seen.messages.map(({ type }) => type), ["new-peer"]);
  await clock.advance(8_100);
  assert.deepEqual(old.sentTypes, ["hello", "ping", "ping"]);
  await clock.advance(6_000);
  assert.equal(old.closeCode, 4000);
  assert.equal(signaling.state.kind, "connecting");
  assert.deepEqual(seen.checks, [null, "resume"]);
  accept({ resumed: true });
  assert.deepEqual(seen.missed, [false, true], "what was sent to the old connection may be lost");
  context.socket.drop(1006);
  await clock.advance(500);
  accept({ resumed: true });
  assert.deepEqual(seen.missed, [false, true, false]);
});

test("a page that is looked at again asks at once, and one that waits retries", async () => {
  const context = await setUp();
  const { clock, signaling, accept } = context;
  accept();
  signaling.check();
  signaling.check();
  assert.deepEqual(context.socket.sentTypes, ["hello", "ping"]);
  await clock.advance(6_000);
  assert.equal(context.sockets.length, 2);
  context.socket.drop(1006);
  assert.equal(signaling.state.kind, "waiting");
  signaling.check();
  await clock.advance(0);
  assert.equal(context.sockets.length, 3);
  signaling.stop();
  assert.equal(clock.pendingTimers, 0);
});

test("after sleep the server is asked again before its silence counts", async () => {
  const context = await setUp();
  const { clock, accept } = context;
  accept();
  await clock.advance(8_000);
  assert.deepEqual(context.socket.sentTypes, ["hello", "ping"]);
  clock.sleep(3_600_000);
  await clock.advance(5_000);
  assert.deepEqual(context.socket.sentTypes, ["hello", "ping", "ping"]);
  context.socket.receive("pong", {});
  await clock.advance(7_000);
  assert.equal(context.sockets.length, 1);
});

test("requests that are answered and WebSockets that are not are told apart from a server that is away", async () => {
  const context = await setUp({ access: [...Array(4)].map(() => ({ kind: "allowed", ticket: "t" })) });
  const { signaling, nextSocket } = context;
  for (const expected of [false, true, true]) {
    context.socket.drop(1006);
    assert.equal(signaling.state.socketRefused, expected);
    await nextSocket();
    assert.equal(signaling.state.socketRefused, expected, "while it is tried again");
  }
  context.accept();
  context.socket.drop(1006);
  assert.equal(signaling.state.socketRefused, false);
  const away = await setUp({ access: [{ kind: "unknown" }, { kind: "unknown" }] });
  for (const _ of [1, 2]) {
    away.socket.drop(1006);
    assert.equal(away.signaling.state.socketRefused, false);
    await away.nextSocket();
  }
});

test("a hidden page, whose timers are always late, gives a silent connection up too", async () => {
  const context = await setUp();
  const { clock, accept, sockets } = context;
  accept();
  for (let minutes = 0; minutes < 4; minutes += 1) {
    clock.sleep(60_000);
    await clock.advance(0);
  }
  assert.deepEqual(sockets[0].sentTypes, ["hello", "ping", "ping"]);
  assert.equal(sockets.length, 2);
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
  assert.deepEqual([context.sockets.length, context.seen.checks], [2, [null, null]], "as a new peer");
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

test("no token is in any URL, and each attempt has a ticket of its own", async () => {
  const { clock, sockets, accept } = await setUp();
  for (const expected of ["ticket1", "ticket2", "ticket3"]) {
    assert.equal(sockets.at(-1).url, `ws://host/ws?room=band&ticket=${expected}`);
    accept();
    sockets.at(-1).drop(1006);
    await clock.advance(500);
  }
});

test("a newcomer tries without a ticket if the server did not answer, and asks again each time", async () => {
  const { clock, socket, seen, signaling } = await setUp({ access: [{ kind: "unknown" }, INVALID_TOKEN] });
  assert.equal(socket.url, "ws://host/ws?room=band");
  socket.drop(1006);
  assert.equal(signaling.state.kind, "waiting");
  await clock.advance(500);
  assert.equal(signaling.state.kind, "refused");
  assert.equal(seen.checks.length, 2);
});

test("a returning peer waits while the server is away or asks to wait, and stops if it is refused", async () => {
  const askedToWait = { ...INVALID_TOKEN, code: "too-many-failures", retryAfterMs: 5000 };
  const allowed = { kind: "allowed", ticket: "t" };
  const { clock, seen, signaling, sockets, accept } = await setUp({ access: [allowed, { kind: "unknown" }, askedToWait, INVALID_TOKEN] });
  accept();
  sockets[0].drop(1006);
  const kinds = [];
  for (const delayMs of [500, 1000, 5000]) {
    await clock.advance(delayMs);
    kinds.push(signaling.state.kind);
  }
  assert.deepEqual(kinds, ["waiting", "waiting", "refused"]);
  assert.equal(sockets.length, 1, "without a ticket the place would be lost");
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
