import assert from "node:assert/strict";
import { test } from "node:test";
import { Tuner } from "../../../www/player/player.js";
import { SessionError } from "../../../www/player/whepSession.js";

async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

/** A tuner in virtual time, with sessions that the test plays. */
function rig() {
  let now_ms = 0;
  let timers = [];
  const states = [];
  const streams = [];
  const sessions = [];

  const tuner = new Tuner({ endpoint: "/whep", key: () => null }, {
    onState: (state) => states.push(state.reason ? `${state.kind}: ${state.reason}` : state.kind),
    onStream: (stream) => streams.push(stream),
    onHistory: () => {},
  }, {
    session: ({ endpoint, servers }, callbacks) => {
      const session = {
        endpoint,
        servers,
        callbacks,
        stream: `stream ${sessions.length + 1}`,
        connected: false,
        known: true,
        flowing: false,
        packets: 0,
        stopped: null,
        asked: 0,
        start: async () => {},
        stop: (leaving) => { session.stopped = { leaving }; },
        hurry: () => {},
        isKnown: async () => { session.asked += 1; return session.known; },
        getStats: async () => {
          if (session.flowing) session.packets += 10;
          return new Map(session.packets > 0 ? [["in", { type: "inbound-rtp", kind: "audio", timestamp: now_ms, packetsReceived: session.packets }]] : []);
        },
        /** Packets begin to flow. */
        play() {
          session.connected = true;
          session.flowing = true;
          callbacks.onConnected();
        },
      };
      sessions.push(session);
      return session;
    },
    now: () => now_ms,
    later: (run, wait_ms) => {
      const timer = { run, at_ms: now_ms + wait_ms };
      timers.push(timer);
      return timer;
    },
    never: (timer) => { timers = timers.filter((each) => each !== timer); },
    random: () => 1,
  });

  /** Lets time pass, timer by timer. */
  async function pass(time_ms) {
    const end_ms = now_ms + time_ms;
    for (;;) {
      await settle();
      const next = timers.filter(({ at_ms }) => at_ms <= end_ms).sort((a, b) => a.at_ms - b.at_ms)[0];
      if (next === undefined) break;
      timers = timers.filter((each) => each !== next);
      now_ms = Math.max(now_ms, next.at_ms);
      next.run();
    }
    now_ms = end_ms;
    await settle();
  }
  return { tuner, states, streams, sessions, pass, timers: () => timers };
}

test("the stream is handed over within start, so within the tap", () => {
  const { tuner, streams, states } = rig();
  tuner.start();
  assert.deepEqual(streams, ["stream 1"]);
  assert.deepEqual(states, ["connecting"]);
});

test("live means that packets come, not that something is connected", async () => {
  const { tuner, sessions, states, pass } = rig();
  tuner.start();
  sessions[0].callbacks.onConnected();
  await pass(3000);
  assert.deepEqual(states, ["connecting"]);
  sessions[0].play();
  await pass(300);
  assert.deepEqual(states, ["connecting", "live"]);
});

test("stop ends the session, takes the stream away and plans nothing", async () => {
  const { tuner, sessions, streams, states, pass, timers } = rig();
  tuner.start();
  sessions[0].play();
  await pass(1000);
  tuner.stop(true);
  assert.deepEqual(sessions[0].stopped, { leaving: true });
  assert.equal(streams.at(-1), null);
  assert.equal(states.at(-1), "idle");
  await pass(60_000);
  assert.equal(sessions.length, 1);
  assert.deepEqual(timers(), []);
});

test("who is not invited any more is told so, and does not knock on and on", async () => {
  const { tuner, sessions, states, pass, timers } = rig();
  tuner.start();
  sessions[0].play();
  await pass(1000);
  sessions[0].callbacks.onBroken(new SessionError("cut"));
  await pass(500);
  sessions[1].callbacks.onBroken(new SessionError("uninvited", "token-invalid"));
  assert.equal(states.at(-1), "failed: uninvited");
  await pass(60_000);
  assert.equal(sessions.length, 2);
  assert.deepEqual(timers(), []);
});

test("servers that one session was told of help the next", async () => {
  const { tuner, sessions, pass } = rig();
  const servers = [{ urls: "stun:stun.example.net" }];
  tuner.start();
  sessions[0].callbacks.onServers(servers);
  sessions[0].callbacks.onBroken(new SessionError("no-path"));
  await pass(500);
  assert.deepEqual(sessions.map((session) => session.servers), [undefined, servers]);
});

test("a host that was killed and restarted is heard again by itself", async () => {
  const { tuner, sessions, states, pass } = rig();
  tuner.start();
  sessions[0].play();
  await pass(5000);
  sessions[0].flowing = false;
  sessions[0].known = false;
  await pass(2200);
  assert.deepEqual(states.slice(-2), ["live", "waiting: cut"]);
  await pass(500);
  assert.equal(states.at(-1), "retrying: cut");
  sessions[1].callbacks.onBroken(new SessionError("unreachable"));
  await pass(1000);
  sessions[2].play();
  await pass(300);
  assert.equal(states.at(-1), "live");
  assert.equal(sessions[0].stopped.leaving, false);
  assert.equal(sessions[1].stopped.leaving, false);
});

test("a stream that stands still though the host knows us is given up after five seconds", async () => {
  const { tuner, sessions, states, pass } = rig();
  tuner.start();
  sessions[0].play();
  await pass(2000);
  sessions[0].flowing = false;
  await pass(4000);
  assert.equal(states.at(-1), "live");
  assert.ok(sessions[0].asked > 0);
  await pass(3000);
  assert.ok(states.includes("waiting: stalled"));
});

test("a path under repair is left to the session", async () => {
  const { tuner, sessions, states, pass } = rig();
  tuner.start();
  sessions[0].play();
  await pass(2000);
  sessions[0].flowing = false;
  sessions[0].connected = false;
  sessions[0].callbacks.onRepairing();
  await pass(8000);
  assert.equal(states.at(-1), "repairing");
  sessions[0].play();
  await pass(300);
  assert.equal(states.at(-1), "live");
  assert.equal(sessions.length, 1);
});

test("a connection that brings no packet in ten seconds is tried anew", async () => {
  const { tuner, states, sessions, pass } = rig();
  tuner.start();
  await pass(10_500);
  assert.equal(states.at(-1), "waiting: no-path");
  await pass(1000);
  assert.equal(sessions.length, 2);
});

test("a refusal that no new try will mend ends it", async () => {
  for (const reason of ["missing", "refused", "unsupported"]) {
    const { tuner, states, sessions, pass } = rig();
    tuner.start();
    sessions[0].callbacks.onBroken(new SessionError(reason));
    await pass(60_000);
    assert.equal(states.at(-1), `failed: ${reason}`);
    assert.equal(tuner.wanted, false);
    assert.equal(sessions.length, 1);
  }
});

test("the same refusal from a host that is just coming back is waited out", async () => {
  const { tuner, states, sessions, pass } = rig();
  tuner.start();
  sessions[0].callbacks.onBroken(new SessionError("unreachable"));
  await pass(600);
  sessions[1].callbacks.onBroken(new SessionError("missing"));
  assert.equal(states.at(-1), "waiting: missing");
});

test("a full host is asked again when it said, not before", async () => {
  const { tuner, sessions, pass } = rig();
  tuner.start();
  sessions[0].callbacks.onBroken(new SessionError("full", "", 7000));
  await pass(6000);
  tuner.hurry();
  await pass(900);
  assert.equal(sessions.length, 1);
  await pass(200);
  assert.equal(sessions.length, 2);
});

test("a network that is back is used at once", async () => {
  const { tuner, sessions, pass } = rig();
  tuner.start();
  for (let at = 0; at < 6; at += 1) {
    sessions.at(-1).callbacks.onBroken(new SessionError("unreachable"));
    if (at < 5) await pass(15_000);
  }
  const before = sessions.length;
  tuner.hurry();
  await pass(0);
  assert.equal(sessions.length, before + 1);
});

test("whatever an ended session still says is ignored", async () => {
  const { tuner, sessions, states, pass } = rig();
  tuner.start();
  tuner.stop();
  sessions[0].callbacks.onBroken(new SessionError("no-path"));
  sessions[0].play();
  await pass(1000);
  assert.deepEqual(states, ["connecting", "idle"]);
});

test("it can be started again after it failed", () => {
  const { tuner, sessions, states } = rig();
  tuner.start();
  sessions[0].callbacks.onBroken(new SessionError("refused"));
  tuner.start();
  assert.deepEqual(states, ["connecting", "failed: refused", "connecting"]);
});
