import assert from "node:assert/strict";
import { test } from "node:test";
import { Negotiation } from "../../../../www/rooms/peer/negotiation.js";

/** As much of an RTCPeerConnection as a negotiation needs, with the browser's rules of who may say what when. */
class FakeConnection {
  signalingState = "stable";
  localDescription = null;
  remoteDescription = null;
  candidates = [];
  made = 0;
  rollbacks = 0;
  #before = null;

  constructor(name) {
    this.name = name;
  }

  async createOffer({ iceRestart = false } = {}) {
    this.made += 1;
    return { type: "offer", sdp: `${this.name} offer ${this.made}${iceRestart ? " restart" : ""}` };
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
      this.localDescription = this.#before;
      return;
    }
    assert.equal(this.signalingState, description.type === "offer" ? "stable" : "have-remote-offer");
    this.#before = this.localDescription;
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
    if (this.remoteDescription === null) throw new Error("no description yet");
    this.candidates.push(candidate.candidate);
  }
}

/** Two ends, and the words between them, which arrive when the test says so. */
function pair({ kin = false } = {}) {
  const ends = ["polite", "impolite"].map((name) => {
    const pc = new FakeConnection(name);
    const end = { pc, sent: [], asked: [], errors: [], offered: 0, stable: 0 };
    end.negotiation = new Negotiation(pc, name === "polite", {
      onDescription: (description) => end.sent.push(description),
      onCandidate: (candidate) => end.sent.push(candidate),
      ask: (restart) => {
        if (kin) end.asked.push(restart);
        return kin;
      },
      onOffered: () => { end.offered += 1; },
      onStable: () => { end.stable += 1; },
      onError: (error) => end.errors.push(error),
      ours: (sdp) => sdp,
      theirs: (sdp) => sdp,
    });
    return end;
  });
  const settle = async () => {
    for (let turn = 0; turn < 10; turn += 1) await Promise.all(ends.map(({ negotiation }) => negotiation.settled));
  };
  /** Carries all words over, and what they cause, until nobody says any more. */
  const carry = async () => {
    await settle();
    while (ends.some(({ sent }) => sent.length > 0)) {
      const words = ends.map(({ sent }) => sent.splice(0));
      words.forEach((each, from) => {
        for (const word of each) {
          const { negotiation } = ends[1 - from];
          if ("sdp" in word) negotiation.described(word);
          else negotiation.candidate(word);
        }
      });
      await settle();
    }
  };
  return { polite: ends[0], impolite: ends[1], carry, settle };
}

function assertAgreed({ polite, impolite }) {
  assert.deepEqual([...polite.errors, ...impolite.errors], []);
  for (const { pc } of [polite, impolite]) assert.equal(pc.signalingState, "stable");
  assert.equal(polite.pc.localDescription.sdp, impolite.pc.remoteDescription.sdp);
  assert.equal(impolite.pc.localDescription.sdp, polite.pc.remoteDescription.sdp);
}

test("one offers, the other answers", async () => {
  for (const who of ["polite", "impolite"]) {
    const ends = pair();
    ends[who].negotiation.offer();
    await ends.carry();
    assertAgreed(ends);
  }
});

test("offers that cross end in agreement, and the wish that gave way is made again", async () => {
  const ends = pair();
  ends.polite.negotiation.offer();
  ends.impolite.negotiation.offer();
  await ends.carry();
  assertAgreed(ends);
  assert.equal(ends.polite.pc.rollbacks, 1);
  assert.equal(ends.polite.pc.localDescription.sdp, "polite offer 2");
});

test("a restart that gave way is still a restart", async () => {
  const ends = pair();
  ends.polite.negotiation.offer({ restart: true });
  ends.impolite.negotiation.offer();
  await ends.carry();
  assert.equal(ends.polite.pc.localDescription.sdp, "polite offer 2 restart");
});

test("between two of a kind nobody takes anything back: who would give way asks the other to offer", async () => {
  const ends = pair({ kin: true });
  ends.impolite.negotiation.offer();
  await ends.carry();
  ends.polite.negotiation.offer({ restart: true });
  ends.impolite.negotiation.offer();
  await ends.settle();
  assert.deepEqual(ends.polite.asked, [true]);
  ends.impolite.negotiation.offer({ restart: true });
  await ends.carry();
  assertAgreed(ends);
  assert.equal(ends.polite.pc.rollbacks, 0);
  assert.match(ends.impolite.pc.localDescription.sdp, /restart/);
});

test("wishes while an offer is out are one more offer, not many", async () => {
  const ends = pair();
  for (let times = 0; times < 5; times += 1) ends.impolite.negotiation.offer();
  await ends.carry();
  assertAgreed(ends);
  assert.equal(ends.impolite.pc.made, 2);
});

test("candidates wait for descriptions on both sides", async () => {
  const ends = pair();
  ends.impolite.negotiation.found({ candidate: "early" });
  ends.impolite.negotiation.offer();
  await ends.settle();
  assert.deepEqual(ends.impolite.sent.map(({ type, candidate }) => type ?? candidate), ["offer", "early"]);
  ends.polite.negotiation.candidate({ candidate: "before its offer" });
  await ends.carry();
  assert.deepEqual(ends.polite.pc.candidates, ["before its offer", "early"]);
});

test("an offer that is repeated is answered again without harm", async () => {
  const ends = pair();
  ends.impolite.negotiation.offer();
  await ends.settle();
  ends.impolite.negotiation.repeat();
  await ends.carry();
  assertAgreed(ends);
});

test("an edit that the browser refuses is done without", async () => {
  const pc = new FakeConnection("one");
  const put = pc.setLocalDescription.bind(pc);
  pc.setLocalDescription = (description) => (description.sdp.includes("edited") ? Promise.reject(new Error("no")) : put(description));
  const sent = [];
  const negotiation = new Negotiation(pc, false, {
    onDescription: (description) => sent.push(description.sdp),
    onCandidate: () => {}, ask: () => false, onOffered: () => {}, onStable: () => {}, onError: assert.fail,
    ours: (sdp) => `${sdp} edited`,
    theirs: (sdp) => sdp,
  });
  negotiation.offer();
  await negotiation.settled;
  assert.deepEqual(sent, ["one offer 1"]);
});
