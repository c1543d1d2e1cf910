import assert from "node:assert/strict";
import { test } from "node:test";
import { Signaling } from "../../../www/rooms/signaling.js";

/** A server's end of sockets, a clock and timers, all moved by hand. */
class World {
  sockets = [];
  now_ms = 0;
  #timers = new Map();
  #next = 1;

  around() {
    return {
      socket: (url) => {
        const target = new EventTarget();
        const socket = Object.assign(target, {
          url,
          said: [],
          closed: null,
          send: (text) => socket.said.push(JSON.parse(text)),
          close: (code) => { socket.closed = code; },
          hear: (type, payload) => target.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify({ type, payload }) })),
          drop: (code) => target.dispatchEvent(Object.assign(new Event("close"), { code })),
        });
        this.sockets.push(socket);
        return socket;
      },
      now: () => this.now_ms,
      later: (run, wait_ms) => {
        this.#timers.set(this.#next, { run, due_ms: this.now_ms + wait_ms });
        this.#next += 1;
        return this.#next - 1;
      },
      never: (timer) => this.#timers.delete(timer),
      random: () => 1,
    };
  }

  pass(ms) {
    const end_ms = this.now_ms + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, { due_ms }]) => due_ms <= end_ms).sort(([, a], [, b]) => a.due_ms - b.due_ms)[0];
      if (due === undefined) break;
      this.#timers.delete(due[0]);
      this.now_ms = due[1].due_ms;
      due[1].run();
    }
    this.now_ms = end_ms;
  }

  get last() {
    return this.sockets.at(-1);
  }
}

const config = (more = {}) => ({ instance: "i", resume: "token", resumed: false, room: "band", iceServers: [], stations: [], limits: {}, ...more });

/** Lets every promise that can settle do so. */
async function settle() {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
}

/** @param {{ key?: string | null, knocks?: object[] }} door what it answers, one after another, and then that all is well */
async function line({ key = null, knocks = [] } = {}) {
  const world = new World();
  const seen = { states: [], welcomes: [], messages: [], knocks: [] };
  const signaling = new Signaling("ws://host/ws", "band", {
    onState: (state) => seen.states.push(state.kind),
    onWelcome: (id, peer_ids, told) => seen.welcomes.push([id, peer_ids, told.resumed]),
    onMessage: (type, payload) => seen.messages.push([type, payload]),
    hello: () => ({ name: "Ada" }),
  }, {
    key: () => key,
    knock: async (resume) => {
      seen.knocks.push(resume);
      return knocks.shift() ?? { kind: "allowed", private: false, host: false };
    },
  }, world.around());
  await signaling.start();
  const welcome = (more) => {
    world.last.hear("init-peers", { id: "me", peerIds: ["you"] });
    world.last.hear("config", config(more));
  };
  return { world, seen, signaling, welcome };
}

test("nothing is passed on before config; then hello is said first", async () => {
  const { world, seen, signaling, welcome } = await line();
  assert.equal(world.last.url, "ws://host/ws?room=band");
  world.last.hear("init-peers", { id: "me", peerIds: ["you"] });
  assert.deepEqual(seen.welcomes, []);
  assert.equal(signaling.tell("chat", { text: "lost" }), false);
  welcome();
  assert.deepEqual(seen.welcomes, [["me", ["you"], false]]);
  assert.deepEqual(world.last.said, [{ type: "hello", payload: { name: "Ada" } }]);
  world.last.hear("new-peer", { id: "third" });
  assert.deepEqual(seen.messages, [["new-peer", { id: "third" }]]);
});

test("a line that broke comes back with its token and says what it had to say to one other", async () => {
  const { world, seen, signaling, welcome } = await line();
  welcome();
  world.last.drop(1006);
  assert.equal(signaling.state.kind, "waiting");
  signaling.tellOne("you", "offer", { sdp: "kept" });
  world.pass(500);
  assert.equal(world.last.url, "ws://host/ws?room=band&resume=token");
  signaling.tellOne("you", "ice-candidate", { candidate: "kept too" });
  welcome({ resumed: true });
  assert.deepEqual(world.last.said.map(({ type }) => type), ["hello", "offer", "ice-candidate"]);
  assert.deepEqual(seen.welcomes.at(-1), ["me", ["you"], true]);
});

test("waits grow while the server is away, and a network that is back makes the next try now", async () => {
  const { world, signaling } = await line();
  const opened = [];
  for (let times = 0; times < 4; times += 1) {
    world.last.drop(1006);
    const before_ms = world.now_ms;
    const { length } = world.sockets;
    while (world.sockets.length === length) world.pass(100);
    opened.push(world.now_ms - before_ms);
  }
  assert.deepEqual(opened, [500, 1000, 2000, 4000]);
  world.last.drop(1006);
  const { length } = world.sockets;
  signaling.hurry();
  world.pass(0);
  assert.equal(world.sockets.length, length + 1);
});

test("a line that may hang is dropped so that the seat is kept, and opened anew", async () => {
  const { world, signaling, welcome } = await line();
  welcome();
  const old = world.last;
  signaling.hurry();
  assert.equal(old.closed, 4000);
  assert.match(world.last.url, /resume=token/);
  old.drop(4001);
  assert.equal(signaling.state.kind, "connecting", "what the old one says is no news");
});

test("a server that takes the socket and says nothing is given up", async () => {
  const { world, signaling } = await line();
  world.pass(10_000);
  assert.equal(signaling.state.kind, "waiting");
  assert.equal(world.sockets[0].closed, 4000);
});

test("a full room refuses newcomers, but those who were in it try again", async () => {
  const first = await line();
  first.world.last.hear("error", { code: "room-full", message: "Full." });
  first.world.last.drop(1013);
  assert.deepEqual(first.signaling.state, { kind: "refused", code: "room-full", message: "Full.", retry_after_ms: 0 });
  const second = await line();
  second.welcome();
  second.world.last.drop(1006);
  second.world.pass(500);
  second.world.last.hear("error", { code: "room-full", message: "Full." });
  second.world.last.drop(1013);
  assert.equal(second.signaling.state.kind, "waiting");
});

test("who was replaced by another page does not fight for the place", async () => {
  const { world, signaling, welcome } = await line();
  welcome();
  world.last.hear("error", { code: "replaced", message: "Elsewhere." });
  world.last.drop(4001);
  assert.equal(signaling.state.kind, "refused");
  world.pass(60_000);
  assert.equal(world.sockets.length, 1);
  await signaling.start();
  assert.equal(world.last.url, "ws://host/ws?room=band", "as somebody new");
});

test("leaving is said, and final", async () => {
  const { world, signaling, welcome } = await line();
  welcome();
  signaling.stop();
  assert.equal(world.last.said.at(-1).type, "leave");
  assert.equal(world.last.closed, 1000);
  world.pass(60_000);
  assert.equal(world.sockets.length, 1);
});

test("what is no message of the protocol is passed over", async () => {
  const { world, seen, welcome } = await line();
  welcome();
  for (const data of ["", "null", "[]", "{\"type\":1}", "{\"type\":\"chat\"}", "{\"type\":\"chat\",\"payload\":null}"]) {
    world.last.dispatchEvent(Object.assign(new Event("message"), { data }));
  }
  assert.deepEqual(seen.messages, []);
});

const SHUT = { kind: "refused", code: "token-invalid", retry_after_ms: 0 };

test("a door is knocked at before it is opened, and a shut one stays shut", async () => {
  const { world, seen, signaling } = await line({ knocks: [SHUT] });
  assert.deepEqual(signaling.state, { kind: "refused", code: "token-invalid", message: "", retry_after_ms: 0 });
  assert.equal(world.sockets.length, 0);
  world.pass(60_000);
  assert.equal(world.sockets.length, 0);
  assert.equal(seen.knocks.length, 1);
});

test("the key goes with every try", async () => {
  const { world, welcome } = await line({ key: "payload.mac" });
  assert.equal(world.last.url, "ws://host/ws?room=band&token=payload.mac");
  welcome();
  world.last.drop(1006);
  world.pass(500);
  assert.equal(world.last.url, "ws://host/ws?room=band&resume=token&token=payload.mac");
});

test("a socket that never spoke may have been refused: a newcomer asks why, and goes", async () => {
  const { world, seen, signaling } = await line({ knocks: [{ kind: "allowed" }, SHUT] });
  world.last.drop(1006);
  assert.equal(signaling.state.kind, "waiting");
  await settle();
  assert.equal(signaling.state.kind, "refused");
  assert.equal(seen.knocks.length, 2);
});

test("who has a seat shows it, waits when asked to wait, and goes when the door is shut", async () => {
  const later = { ...SHUT, code: "too-many-failures", retry_after_ms: 5000 };
  const { world, seen, signaling, welcome } = await line({ knocks: [{ kind: "allowed" }, { kind: "unknown" }, later, SHUT] });
  welcome();
  // A line that spoke was let in: nothing is to be asked.
  world.last.drop(1006);
  await settle();
  assert.equal(seen.knocks.length, 1);
  const kinds = [];
  for (let times = 0; times < 3; times += 1) {
    const { length } = world.sockets;
    while (world.sockets.length === length) world.pass(100);
    world.last.drop(1006);
    await settle();
    kinds.push(signaling.state.kind);
  }
  assert.deepEqual(kinds, ["waiting", "waiting", "refused"]);
  assert.deepEqual(seen.knocks, [null, "token", "token", "token"]);
});

for (const [code, close] of [["removed", 4003], ["room-locked", 4004], ["room-ended", 4005]]) {
  test(`${code} is the end of it, whether or not the close code came through`, async () => {
    for (const dropped of [close, 1006]) {
      const { world, signaling, welcome } = await line();
      welcome();
      world.last.hear("error", { code, message: "Told." });
      world.last.drop(dropped);
      assert.deepEqual(signaling.state, { kind: "refused", code, message: "Told.", retry_after_ms: 0 });
      world.pass(60_000);
      assert.equal(world.sockets.length, 1);
    }
    const silent = await line();
    silent.welcome();
    silent.world.last.drop(close);
    assert.equal(silent.signaling.state.code, code);
  });
}

test("who leaves while the door is being knocked at does not come in after all", async () => {
  const { world, signaling } = await line();
  signaling.stop();
  const starting = signaling.start();
  signaling.stop();
  await starting;
  assert.equal(world.sockets.length, 1);
  assert.equal(signaling.state.kind, "idle");
});

test("a wish of a host names whom it concerns, and is not kept for later", async () => {
  const { world, signaling, welcome } = await line();
  welcome();
  assert.equal(signaling.tell("mute", {}, "you"), true);
  assert.deepEqual(world.last.said.at(-1), { type: "mute", targetId: "you", payload: {} });
  world.last.drop(1006);
  assert.equal(signaling.tell("remove", {}, "you"), false);
  world.pass(500);
  welcome({ resumed: true });
  assert.deepEqual(world.last.said.map(({ type }) => type), ["hello"]);
});
