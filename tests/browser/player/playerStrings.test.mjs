import assert from "node:assert/strict";
import { test } from "node:test";
import { countdownOf, decibelsOf, figureOf, offerOf, titleOf, wordsOf } from "../../../www/player/playerStrings.js";

const WELL = { tap_needed: false, online: true, station: null, muted: false };
const station = (state) => ({ name: "main", source: { kind: "device", name: "Desk", state }, encoding: { packet_ms: 20 }, listeners: 0 });

test("every reason has a sentence that is shown", () => {
  for (const reason of ["unreachable", "full", "missing", "refused", "no-path", "stalled", "cut", "unsupported"]) {
    for (const kind of ["waiting", "retrying", "failed"]) {
      const { status, advice } = wordsOf({ kind, reason, detail: "", due_ms: 0 }, WELL);
      assert.ok(status.length > 0 && /[.]$/.test(advice), `${kind} ${reason}: ${advice}`);
    }
  }
});

test("a listener is told when the host's device is gone", () => {
  assert.match(wordsOf({ kind: "live" }, { ...WELL, station: station("reopening") }).advice, /device is gone/);
  assert.equal(wordsOf({ kind: "live" }, { ...WELL, station: station("live") }).advice, "");
});

test("a refused play asks for a tap", () => {
  assert.match(wordsOf({ kind: "live" }, { ...WELL, tap_needed: true }).advice, /Tap anywhere/);
});

test("without a network, the network is what is named", () => {
  const state = { kind: "waiting", reason: "unreachable", detail: "", due_ms: 0 };
  assert.equal(wordsOf(state, { ...WELL, online: false }).advice, "This device is offline.");
});

test("what a host said when it refused is passed on", () => {
  assert.match(wordsOf({ kind: "failed", reason: "refused", detail: "no audio in the offer" }, WELL).advice, /“no audio in the offer”/);
});

test("the countdown counts whole seconds down to a try", () => {
  const state = { kind: "waiting", reason: "cut", detail: "", due_ms: 5000 };
  assert.equal(countdownOf(state, 1500), "Next try in 4 s");
  assert.equal(countdownOf(state, 5000), "Trying now");
  assert.equal(countdownOf({ kind: "live" }, 0), "");
});

test("levels and figures are short", () => {
  assert.deepEqual([-Infinity, -12.4, -0.2, 0.4].map(decibelsOf), ["−∞", "−12", "0", "0"]);
  assert.deepEqual([null, 0, 0.26, 9.94, 42.7].map((value) => figureOf(value, 1)), ["–", "0", "0.3", "9.9", "43"]);
});

test("the front page names the source and who listens", () => {
  assert.equal(titleOf(station("live")), "Desk");
  assert.equal(titleOf(null), "Sound of this host");
  assert.equal(offerOf(station("live")), "On air");
  assert.equal(offerOf({ ...station("reopening"), listeners: 3 }), "Waiting for its device · 3 listening");
});
