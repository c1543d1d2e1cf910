import assert from "node:assert/strict";
import { test } from "node:test";
import { ConnectionRepair } from "../../../../www/rooms/peer/connectionRepair.js";
import { VirtualClock } from "../../harness/virtualClock.mjs";

/** A connection whose state and packets the test sets. @param {{ polite?: boolean }} options */
function setUp({ polite = false } = {}) {
  const clock = new VirtualClock();
  const connection = { connected: false, signalingOpen: true, actions: [], statuses: [], packets: 0 };
  const repair = new ConnectionRepair(polite, {
    restartIce: () => connection.actions.push("restart"),
    connect: () => {
      connection.actions.push("connect");
      repair.connectionCreated();
    },
    isConnected: () => connection.connected,
    isSignalingOpen: () => connection.signalingOpen,
    onStatus: () => connection.statuses.push(repair.status),
  }, clock.platform);
  /** Lets seconds pass, with so many packets in each. */
  const run = async (seconds, packetsPerSecond) => {
    for (let second = 0; second < seconds; second += 1) {
      await clock.advance(1000);
      connection.packets += packetsPerSecond;
      repair.tick(connection.packets, true);
    }
  };
  /** The connection is up and receives packets. */
  const connect = async () => {
    repair.connectionCreated();
    connection.connected = true;
    repair.connectionStateChanged("connected");
    await run(1, 50);
  };
  return { clock, connection, repair, run, connect };
}

test("a connection that works is left alone", async () => {
  const { connection, run, connect } = setUp();
  await connect();
  await run(60, 50);
  assert.deepEqual(connection.actions, []);
  assert.deepEqual(connection.statuses, ["connected"]);
});

test("a connection that recovers within four seconds is left alone", async () => {
  const { clock, connection, repair, run, connect } = setUp();
  await connect();
  repair.connectionStateChanged("disconnected");
  await clock.advance(3900);
  repair.connectionStateChanged("connected");
  await run(10, 50);
  assert.deepEqual(connection.actions, []);
  assert.deepEqual(connection.statuses, ["connected", "repairing", "connected"]);
});

test("a failed connection restarts ICE, the polite side a second later", async () => {
  for (const polite of [false, true]) {
    const { clock, connection, repair, connect } = setUp({ polite });
    await connect();
    connection.connected = false;
    repair.connectionStateChanged("failed");
    await clock.advance(500);
    assert.deepEqual(connection.actions, polite ? [] : ["restart"]);
    await clock.advance(600);
    assert.deepEqual(connection.actions, ["restart"]);
  }
});

test("an ICE restart without packets is followed by a new connection", async () => {
  const { connection, repair, run, connect } = setUp();
  await connect();
  connection.connected = false;
  repair.connectionStateChanged("failed");
  await run(8, 0);
  assert.deepEqual(connection.actions, ["restart"]);
  await run(1, 0);
  assert.deepEqual(connection.actions, ["restart", "connect"]);
});

test("a connection that is up but receives nothing although something is expected restarts ICE", async () => {
  const { connection, run, connect } = setUp();
  await connect();
  await run(6, 0);
  assert.deepEqual(connection.actions, []);
  await run(1, 0);
  assert.deepEqual(connection.actions, ["restart"]);
  await run(1, 50);
  assert.equal(connection.statuses.at(-1), "connected", "packets arrive again");
});

test("a new connection that does not connect is replaced, with growing delays", async () => {
  const { clock, connection, repair } = setUp();
  repair.connectionCreated();
  await clock.advance(15_400);
  assert.deepEqual(connection.actions, []);
  await clock.advance(200);
  assert.deepEqual(connection.actions, ["connect"]);
  await clock.advance(15_800);
  assert.deepEqual(connection.actions, ["connect"]);
  await clock.advance(200);
  assert.deepEqual(connection.actions, ["connect", "connect"]);
});

test("while messages do not reach the other peer, nothing is sent", async () => {
  const { clock, connection, repair, connect } = setUp();
  await connect();
  connection.connected = false;
  connection.signalingOpen = false;
  repair.connectionStateChanged("failed");
  await clock.advance(30_000);
  assert.deepEqual(connection.actions, []);
  connection.signalingOpen = true;
  await clock.advance(1000);
  assert.deepEqual(connection.actions, ["restart"]);
});

test("a newcomer that makes no offer within ten seconds gets one", async () => {
  const { clock, connection, repair } = setUp();
  repair.awaitOffer();
  await clock.advance(9900);
  assert.deepEqual(connection.actions, []);
  await clock.advance(200);
  assert.deepEqual(connection.actions, ["connect"]);
});

test("after stop, nothing happens", async () => {
  const { clock, connection, repair } = setUp();
  repair.connectionCreated();
  repair.stop();
  await clock.advance(60_000);
  assert.deepEqual(connection.actions, []);
});
