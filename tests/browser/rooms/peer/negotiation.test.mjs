import assert from "node:assert/strict";
import { test } from "node:test";
import { Negotiation } from "../../../../www/rooms/peer/negotiation.js";

/** As much of an RTCPeerConnection as a negotiation needs, with the browser's rules about signaling states. */
class FakeConnection {
  signalingState = "stable";
  localDescription = null;
  remoteDescription = null;
  candidates = [];
  offers = 0;
  rollbacks = 0;
  #previous = null;

  constructor(name) {
    this.name = name;
  }

  async createOffer({ iceRestart = false } = {}) {
    this.offers += 1;
    return { type: "offer", sdp: `${this.name} offer ${this.offers}${iceRestart ? " restart" : ""}` };
  }

  async createAnswer() {
    assert.equal(this.signalingState, "have-remote-offer");
    return { type: "answer", sdp: `${this.name} answers ${this.remoteDescription.sdp}` };
  }

  async setLocalDescription(description) {
    await null;
    if (description.type === "rollback") {
      assert.equal(this.signalingState, "have-local-offer");
      this.rollbacks += 1;
      this.signalingState = "stable";
      this.localDescription = this.#previous;
      return;
    }
    assert.equal(this.signalingState, description.type === "offer" ? "stable" : "have-remote-offer");
    this.#previous = this.localDescription;
    this.localDescription = description;
    this.signalingState = description.type === "offer" ? "have-local-offer" : "stable";
  }

  async setRemoteDescription(description) {
    await null;
    assert.equal(this.signalingState, description.type === "offer" ? "stable" : "have-local-offer");
    this.remoteDescription = description;
    this.signalingState = description.type === "offer" ? "have-remote-offer" : "stable";
  }

  async addIceCandidate(candidate) {
    if (this.remoteDescription === null) throw new Error("no remote description yet");
    this.candidates.push(candidate.candidate);
  }
}

/**
 * Two sides, and the messages between them, which the test delivers.
 * @param {{ supportsRequests?: boolean }} options whether each side makes an offer on request
 */
function connectSides({ supportsRequests = false } = {}) {
  const sides = ["polite", "impolite"].map((name) => {
    const side = { pc: new FakeConnection(name), sent: [], requestedRestarts: [], errors: [] };
    side.negotiation = new Negotiation(side.pc, name === "polite", {
      sendDescription: (description) => side.sent.push(description),
      sendCandidate: (candidate) => side.sent.push(candidate),
      requestOffer: (restart) => {
        if (supportsRequests) side.requestedRestarts.push(restart);
        return supportsRequests;
      },
      onRemoteOffer: () => {},
      onStable: () => {},
      onError: (error) => side.errors.push(error),
      editLocal: (sdp) => sdp,
      editRemote: (sdp) => sdp,
    });
    return side;
  });
  const settle = async () => {
    for (let turn = 0; turn < 10; turn += 1) await Promise.all(sides.map(({ negotiation }) => negotiation.settled));
  };
  /** Delivers all messages, and those that follow. */
  const deliver = async () => {
    await settle();
    while (sides.some(({ sent }) => sent.length > 0)) {
      const batches = sides.map(({ sent }) => sent.splice(0));
      batches.forEach((batch, from) => {
        const { negotiation } = sides[1 - from];
        for (const message of batch) {
          if ("sdp" in message) negotiation.receiveDescription(message);
          else negotiation.receiveCandidate(message);
        }
      });
      await settle();
    }
  };
  return { polite: sides[0], impolite: sides[1], deliver, settle };
}

function assertStable({ polite, impolite }) {
  assert.deepEqual([...polite.errors, ...impolite.errors], []);
  for (const { pc } of [polite, impolite]) assert.equal(pc.signalingState, "stable");
  assert.equal(polite.pc.localDescription.sdp, impolite.pc.remoteDescription.sdp);
  assert.equal(impolite.pc.localDescription.sdp, polite.pc.remoteDescription.sdp);
}

test("either side may offer, and the other one answers", async () => {
  for (const side of ["polite", "impolite"]) {
    const sides = connectSides();
    sides[side].negotiation.offer();
    await sides.deliver();
    assertStable(sides);
  }
});

test("when offers collide, the polite side rolls back and offers again", async () => {
  const sides = connectSides();
  sides.polite.negotiation.offer();
  sides.impolite.negotiation.offer();
  await sides.deliver();
  assertStable(sides);
  assert.equal(sides.polite.pc.rollbacks, 1);
  assert.equal(sides.polite.pc.localDescription.sdp, "polite offer 2");
});

test("a restart that was rolled back is offered again as a restart", async () => {
  const sides = connectSides();
  sides.polite.negotiation.offer({ restart: true });
  sides.impolite.negotiation.offer();
  await sides.deliver();
  assert.equal(sides.polite.pc.localDescription.sdp, "polite offer 2 restart");
});

test("if the other side supports it, the polite side requests an offer, and nobody rolls back", async () => {
  const sides = connectSides({ supportsRequests: true });
  sides.impolite.negotiation.offer();
  await sides.deliver();
  sides.polite.negotiation.offer({ restart: true });
  sides.impolite.negotiation.offer();
  await sides.settle();
  assert.deepEqual(sides.polite.requestedRestarts, [true]);
  sides.impolite.negotiation.offer({ restart: true });
  await sides.deliver();
  assertStable(sides);
  assert.equal(sides.polite.pc.rollbacks, 0);
  assert.match(sides.impolite.pc.localDescription.sdp, /restart/);
});

test("several calls of offer() during a negotiation result in one more offer", async () => {
  const sides = connectSides();
  for (let times = 0; times < 5; times += 1) sides.impolite.negotiation.offer();
  await sides.deliver();
  assertStable(sides);
  assert.equal(sides.impolite.pc.offers, 2);
});

test("candidates wait for descriptions on both sides", async () => {
  const sides = connectSides();
  sides.impolite.negotiation.addLocalCandidate({ candidate: "early" });
  sides.impolite.negotiation.offer();
  await sides.settle();
  assert.deepEqual(sides.impolite.sent.map(({ type, candidate }) => type ?? candidate), ["offer", "early"]);
  sides.polite.negotiation.receiveCandidate({ candidate: "before the offer" });
  await sides.deliver();
  assert.deepEqual(sides.polite.pc.candidates, ["before the offer", "early"]);
});

test("a repeated offer does no harm", async () => {
  const sides = connectSides();
  sides.impolite.negotiation.offer();
  await sides.settle();
  sides.impolite.negotiation.repeatOffer();
  await sides.deliver();
  assertStable(sides);
});

test("if the browser rejects the edit, its own description is used", async () => {
  const pc = new FakeConnection("one");
  const setLocalDescription = pc.setLocalDescription.bind(pc);
  pc.setLocalDescription = (description) => (
    description.sdp.includes("edited") ? Promise.reject(new Error("no")) : setLocalDescription(description)
  );
  const sent = [];
  const negotiation = new Negotiation(pc, false, {
    sendDescription: (description) => sent.push(description.sdp),
    sendCandidate: () => {},
    requestOffer: () => false,
    onRemoteOffer: () => {},
    onStable: () => {},
    onError: assert.fail,
    editLocal: (sdp) => `${sdp} edited`,
    editRemote: (sdp) => sdp,
  });
  negotiation.offer();
  await negotiation.settled;
  assert.deepEqual(sent, ["one offer 1"]);
});
