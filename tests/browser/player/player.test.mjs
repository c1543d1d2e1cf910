import assert from "node:assert/strict";
import { test } from "node:test";
import { Player } from "../../../www/player/player.js";
import { SessionError } from "../../../www/player/sessionError.js";
import { VirtualClock } from "../harness/virtualClock.mjs";

/** A session that the test controls. */
function createSession(clock, { iceServers, jitterBufferTargetMs }, callbacks, number) {
  const session = {
    iceServers,
    jitterBufferTargetMs,
    setJitterBufferTarget: (targetMs) => { session.jitterBufferTargetMs = targetMs; },
    callbacks,
    stream: `stream ${number}`,
    connected: false,
    existsAtServer: true,
    receiving: false,
    packets: 0,
    stopped: null,
    existsCalls: 0,
    start: async () => {},
    stop: (keepalive) => { session.stopped = { keepalive }; },
    networkChanged: () => {},
    exists: async () => { session.existsCalls += 1; return session.existsAtServer; },
    getStats: async () => {
      if (session.receiving) session.packets += 10;
      const entry = { type: "inbound-rtp", kind: "audio", timestamp: clock.nowMs, packetsReceived: session.packets };
      return new Map(session.packets > 0 ? [["inbound", entry]] : []);
    },
    /** Packets begin to arrive. */
    connect() {
      session.connected = true;
      session.receiving = true;
      callbacks.onConnected();
    },
    fail: (reason, ...more) => callbacks.onFailed(new SessionError(reason, ...more)),
  };
  return session;
}

function setUp() {
  const clock = new VirtualClock();
  const states = [];
  const streams = [];
  const sessions = [];
  const player = new Player({ url: "/whep", token: () => null }, {
    onState: (state) => states.push(state.reason ? `${state.kind}: ${state.reason}` : state.kind),
    onStream: (stream) => streams.push(stream),
  }, {
    ...clock.platform,
    createSession: (endpoint, callbacks) => {
      const session = createSession(clock, endpoint, callbacks, sessions.length + 1);
      sessions.push(session);
      return session;
    },
  });
  return { clock, player, states, streams, sessions };
}

test("the stream is passed on within start, so in the same user gesture", () => {
  const { player, streams, states } = setUp();
  player.start();
  assert.deepEqual(streams, ["stream 1"]);
  assert.deepEqual(states, ["connecting"]);
});

test("live means that packets arrive, not that the session is connected", async () => {
  const { clock, player, sessions, states } = setUp();
  player.start();
  sessions[0].callbacks.onConnected();
  await clock.advance(3000);
  assert.deepEqual(states, ["connecting"]);
  sessions[0].connect();
  await clock.advance(300);
  assert.deepEqual(states, ["connecting", "live"]);
});

test("the jitter buffer's target holds for the session and for those that follow", async () => {
  const { player, sessions } = setUp();
  player.setJitterBufferTarget(400);
  player.start();
  assert.equal(sessions[0].jitterBufferTargetMs, 400);
  player.setJitterBufferTarget(0);
  assert.equal(sessions[0].jitterBufferTargetMs, 0);
  player.stop();
  player.start();
  assert.equal(sessions[1].jitterBufferTargetMs, 0);
});

test("stop ends the session, removes the stream and schedules nothing", async () => {
  const { clock, player, sessions, streams, states } = setUp();
  player.start();
  sessions[0].connect();
  await clock.advance(1000);
  player.stop(true);
  assert.deepEqual(sessions[0].stopped, { keepalive: true });
  assert.equal(streams.at(-1), null);
  assert.equal(states.at(-1), "idle");
  await clock.advance(60_000);
  assert.equal(sessions.length, 1);
  assert.equal(clock.pendingTimers, 0);
});

test("a refused token ends the player without further attempts", async () => {
  const { clock, player, sessions, states } = setUp();
  player.start();
  sessions[0].connect();
  await clock.advance(1000);
  sessions[0].fail("closed");
  await clock.advance(500);
  sessions[1].fail("unauthorized", "token-invalid");
  assert.equal(states.at(-1), "failed: unauthorized");
  await clock.advance(60_000);
  assert.equal(sessions.length, 2);
  assert.equal(clock.pendingTimers, 0);
});

test("ICE servers of one session are used by the next", async () => {
  const { clock, player, sessions } = setUp();
  const iceServers = [{ urls: "stun:stun.example.net" }];
  player.start();
  sessions[0].callbacks.onIceServers(iceServers);
  sessions[0].fail("ice-failed");
  await clock.advance(500);
  assert.deepEqual(sessions.map((session) => session.iceServers), [undefined, iceServers]);
});

test("after a restart of the server, the player is live again by itself", async () => {
  const { clock, player, sessions, states } = setUp();
  player.start();
  sessions[0].connect();
  await clock.advance(5000);
  sessions[0].receiving = false;
  sessions[0].existsAtServer = false;
  await clock.advance(2200);
  assert.deepEqual(states.slice(-2), ["live", "waiting: closed"]);
  await clock.advance(500);
  assert.equal(states.at(-1), "retrying: closed");
  sessions[1].fail("unreachable");
  await clock.advance(1000);
  sessions[2].connect();
  await clock.advance(300);
  assert.equal(states.at(-1), "live");
  assert.equal(sessions[0].stopped.keepalive, false);
  assert.equal(sessions[1].stopped.keepalive, false);
});

test("a connected session without packets is ended after five seconds, even if the server knows it", async () => {
  const { clock, player, sessions, states } = setUp();
  player.start();
  sessions[0].connect();
  await clock.advance(2000);
  sessions[0].receiving = false;
  await clock.advance(4000);
  assert.equal(states.at(-1), "live");
  assert.ok(sessions[0].existsCalls > 0);
  await clock.advance(3000);
  assert.ok(states.includes("waiting: stalled"));
});

test("a session that restarts ICE is not ended", async () => {
  const { clock, player, sessions, states } = setUp();
  player.start();
  sessions[0].connect();
  await clock.advance(2000);
  sessions[0].receiving = false;
  sessions[0].connected = false;
  sessions[0].callbacks.onRestarting();
  await clock.advance(8000);
  assert.equal(states.at(-1), "repairing");
  sessions[0].connect();
  await clock.advance(300);
  assert.equal(states.at(-1), "live");
  assert.equal(sessions.length, 1);
});

test("a session without a packet after ten seconds is replaced", async () => {
  const { clock, player, states, sessions } = setUp();
  player.start();
  await clock.advance(10_500);
  assert.equal(states.at(-1), "waiting: ice-failed");
  await clock.advance(1000);
  assert.equal(sessions.length, 2);
});

test("a refusal that a retry would not change ends the player", async () => {
  for (const reason of ["not-found", "refused", "unsupported"]) {
    const { clock, player, states, sessions } = setUp();
    player.start();
    sessions[0].fail(reason);
    await clock.advance(60_000);
    assert.equal(states.at(-1), `failed: ${reason}`);
    assert.equal(player.started, false);
    assert.equal(sessions.length, 1);
  }
});

test("the same refusal by a server that is just starting is retried", async () => {
  const { clock, player, states, sessions } = setUp();
  player.start();
  sessions[0].fail("unreachable");
  await clock.advance(600);
  sessions[1].fail("not-found");
  assert.equal(states.at(-1), "waiting: not-found");
});

test("a full server is not asked again before its Retry-After", async () => {
  const { clock, player, sessions } = setUp();
  player.start();
  sessions[0].fail("full", "", 7000);
  await clock.advance(6000);
  player.networkChanged();
  await clock.advance(900);
  assert.equal(sessions.length, 1);
  await clock.advance(200);
  assert.equal(sessions.length, 2);
});

test("a network that is back is used at once", async () => {
  const { clock, player, sessions } = setUp();
  player.start();
  for (let attempt = 0; attempt < 6; attempt += 1) {
    sessions.at(-1).fail("unreachable");
    if (attempt < 5) await clock.advance(15_000);
  }
  const { length } = sessions;
  player.networkChanged();
  await clock.advance(0);
  assert.equal(sessions.length, length + 1);
});

test("callbacks of an ended session are ignored", async () => {
  const { clock, player, sessions, states } = setUp();
  player.start();
  player.stop();
  sessions[0].fail("ice-failed");
  sessions[0].connect();
  await clock.advance(1000);
  assert.deepEqual(states, ["connecting", "idle"]);
});

test("a failed player can be started again", () => {
  const { player, sessions, states } = setUp();
  player.start();
  sessions[0].fail("refused");
  player.start();
  assert.deepEqual(states, ["connecting", "failed: refused", "connecting"]);
});
