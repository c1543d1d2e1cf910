import assert from "node:assert/strict";
import { before, test } from "node:test";
import { awayWords, farewellWords, figureRows, leftWords, removeQuestion, troubleWords } from "../../../../www/rooms/ui/roomStrings.js";

before(() => {
  globalThis.location = { host: "studio.local:8088", port: "8088" };
});

test("every trouble of every device is a sentence that says what to do", () => {
  for (const trouble of ["refused", "missing", "busy", "gone", "insecure", "unsupported", "failed"]) {
    for (const device of ["microphone", "camera"]) assert.match(troubleWords({ [device]: trouble }), /^[A-Z].*\.$/, trouble);
    const both = troubleWords({ microphone: trouble, camera: trouble });
    assert.match(both, /^[A-Z].*\.$/, trouble);
    assert.ok(/camera/i.test(both) && /microphone/i.test(both), both);
  }
  assert.equal(troubleWords({}), "");
});

test("plain HTTP is told from the rest, with addresses that work", () => {
  const words = troubleWords({ microphone: "insecure", camera: "insecure" });
  assert.match(words, /https:\/\/studio\.local:8088/);
  assert.match(words, /http:\/\/localhost:8088/);
});

test("an absent server is said only while it is away", () => {
  assert.equal(awayWords({ kind: "open" }, true), "");
  assert.match(awayWords({ kind: "waiting", due_ms: 0 }, true), /go on/);
  assert.match(awayWords({ kind: "waiting", due_ms: 0 }, false), /offline/);
});

test("a refusal has a title, what to do, and a way on; the host's own words when it is a new one", () => {
  const farewell = (code, ...more) => farewellWords({ code, message: "Because.", retry_after_ms: 0 }, ...more);
  assert.match(farewell("room-full").title, /full/);
  assert.equal(farewell("other").words, "Because.");
  for (const code of ["replaced", "room-full", "room-locked", "removed", "room-ended", "token-required", "token-invalid", "not-allowed", "too-many-failures", "other"]) {
    const { title, words, way, label } = farewell(code);
    assert.match(title, /^[A-Z].*\.$/, code);
    assert.match(words, /^[A-Z].*\.$/, code);
    assert.equal(way === null, label === "", code);
  }
  assert.equal(farewell("removed").title, "A host removed you from this room.");
  assert.equal(farewell("room-ended").title, "A host ended this room.");
  assert.match(farewell("room-ended", true).title, /^You/);
  assert.equal(farewell("removed").way, null);
  assert.equal(farewell("room-locked").way, "inside");
  assert.match(leftWords("band").words, /band/);
});

test("whoever removes somebody is told whether that holds", () => {
  assert.match(removeQuestion("Ada", false).words, /can come in again/);
  assert.doesNotMatch(removeQuestion("Ada", true).words, /can come in again/);
});

test("figures without a measure are a dash", () => {
  const rows = figureRows({ resolution: "", rate_fps: null, in_bps: null, out_bps: 1_250_000, loss_percent: null, round_trip_ms: null, path: null });
  assert.deepEqual(rows, [["In", "–"], ["Out", "1.3 Mbit/s"], ["Loss", "–"], ["Round trip", "–"], ["Path", "–"]]);
});
