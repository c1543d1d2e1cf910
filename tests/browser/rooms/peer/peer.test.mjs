import assert from "node:assert/strict";
import { test } from "node:test";
import { Peer } from "../../../../www/rooms/peer/peer.js";
import { VirtualClock, settle } from "../../harness/virtualClock.mjs";

/** As much of an RTCPeerConnection as a peer needs. */
class FakePeerConnection extends EventTarget {
  connectionState = "new";
  signalingState = "stable";
  localDescription = null;
  remoteDescription = null;
  currentRemoteDescription = null;
  candidates = [];
  closed = false;
  #transceivers = [];

  constructor(number) {
    super();
    this.number = number;
  }
  #description(type) {
    return { type, sdp: `v=0\r\no=- ${this.number} 1 IN IP4 127.0.0.1\r\n` };
  }
  addTransceiver(kind) {
    const sender = { track: null, replaceTrack: async () => {}, getParameters: () => ({}) };
    this.#transceivers.push({ mid: null, sender, receiver: { track: { kind } } });
    return this.#transceivers.at(-1);
  }
  getTransceivers() {
    return this.#transceivers;
  }
  async createOffer() {
    return this.#description("offer");
  }
  async createAnswer() {
    return this.#description("answer");
  }
  async setLocalDescription(description) {
    this.localDescription = description;
    this.signalingState = description.type === "offer" ? "have-local-offer" : "stable";
  }
  async setRemoteDescription(description) {
    this.remoteDescription = description;
    this.currentRemoteDescription = description;
    this.signalingState = description.type === "offer" ? "have-remote-offer" : "stable";
  }
  async addIceCandidate(candidate) {
    this.candidates.push(candidate.candidate);
  }
  async getStats() {
    return new Map();
  }
  close() {
    this.closed = true;
  }
}

/** A peer of a room, and what is sent to it. @param {{ polite?: boolean }} options */
function setUp({ polite = false } = {}) {
  const clock = new VirtualClock();
  const connections = [];
  const sent = [];
  const outgoing = {
    stream: {},
    screenStream: {},
    tracks: { microphone: null, camera: null, screen: null, screenAudio: null },
    music: false,
  };
  const peer = new Peer("other", { polite, outgoing, configuration: {} }, {
    send: (message) => sent.push(message),
    onStatus: () => {},
    onTracks: () => {},
    onStats: () => {},
  }, {
    ...clock.platform,
    createPeerConnection: () => {
      connections.push(new FakePeerConnection(connections.length + 1));
      return connections.at(-1);
    },
    createConnectionId: () => `local${connections.length + 1}`,
  });
  return { clock, peer, connections, sent };
}

const offer = (pair, sessionId = 70) => ({
  type: "offer",
  payload: { senderId: "other", sdp: { type: "offer", sdp: `v=0\r\no=- ${sessionId} 1 IN IP4 127.0.0.1\r\n` }, ...(pair && { pair }) },
});
const candidate = (text, pair) => ({ type: "ice-candidate", payload: { senderId: "other", candidate: { candidate: text }, pair } });

test("a newcomer sends an offer with the id of its connection", async () => {
  const { peer, sent } = setUp();
  peer.connect();
  peer.receive({ type: "ice-candidate", payload: { senderId: "other", candidate: null, wish: "offer" } });
  await settle();
  assert.equal(sent[0].type, "offer");
  assert.deepEqual(sent[0].payload.pair, { mine: "local1", yours: null });
});

test("an offer is answered, and the answer names both connections", async () => {
  const { peer, connections, sent } = setUp();
  peer.waitForOffer();
  peer.receive(offer({ mine: "remote1", yours: null }));
  await settle();
  assert.equal(connections.length, 1);
  assert.deepEqual(sent.map(({ type, payload }) => [type, payload.pair]), [["answer", { mine: "local1", yours: "remote1" }]]);
});

test("messages about another connection are ignored", async () => {
  const { peer, connections, sent } = setUp();
  peer.receive(offer({ mine: "remote1", yours: null }));
  await settle();
  peer.receive(offer({ mine: "remote1", yours: "an older one of ours" }));
  peer.receive(candidate("to an older one of ours", { mine: "remote1", yours: "older" }));
  peer.receive(candidate("from an older one of theirs", { mine: "remote0", yours: "local1" }));
  peer.receive(candidate("right", { mine: "remote1", yours: "local1" }));
  await settle();
  assert.deepEqual(connections[0].candidates, ["right"]);
  assert.equal(sent.length, 1);
});

test("an offer from a new connection of the other peer replaces ours", async () => {
  const { peer, connections } = setUp();
  peer.receive(offer({ mine: "remote1", yours: null }));
  await settle();
  peer.receive(offer({ mine: "remote2", yours: null }));
  await settle();
  assert.deepEqual(connections.map(({ closed }) => closed), [true, false]);
});

test("without connection ids, a new connection is recognised by its session id", async () => {
  const { peer, connections } = setUp();
  for (const [sessionId, count] of [[70, 1], [70, 1], [71, 2]]) {
    peer.receive(offer(undefined, sessionId));
    await settle();
    assert.equal(connections.length, count);
  }
});

test("when both peers make a first offer, the polite one takes the other's offer with a new connection", async () => {
  for (const polite of [false, true]) {
    const { peer, connections } = setUp({ polite });
    peer.connect();
    await settle();
    peer.receive(offer({ mine: "remote1", yours: null }));
    await settle();
    assert.equal(connections.length, polite ? 2 : 1);
  }
});

test("a payload that is no description is ignored", async () => {
  const { peer, connections } = setUp();
  for (const sdp of [undefined, null, 1, {}, { sdp: 7 }]) peer.receive({ type: "offer", payload: { senderId: "other", sdp } });
  for (const text of [null, "text", 1]) peer.receive({ type: "ice-candidate", payload: { senderId: "other", candidate: text } });
  await settle();
  assert.equal(connections.length, 0);
});

test("a peer that a moderator muted is silent until it reports itself as muted", () => {
  const { peer } = setUp();
  const state = { name: "Ada", muted: false, camera: true, screen: null };
  peer.setState(state);
  peer.muteByModerator();
  assert.equal(peer.mutedByModerator, true);
  peer.setState(state);
  assert.equal(peer.mutedByModerator, true, "it has not obeyed");
  peer.setState({ ...state, muted: true });
  assert.equal(peer.mutedByModerator, false);
  peer.muteByModerator();
  assert.equal(peer.mutedByModerator, false, "it is muted already");
});
