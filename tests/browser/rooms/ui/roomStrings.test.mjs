import assert from "node:assert/strict";
import { test } from "node:test";
import { connectionProblem, endingFor, leftRoom, missingForRooms, removeQuestion, statisticsRows } from "../../../../www/rooms/ui/roomStrings.js";

test("a lost connection to the server is shown only while it is lost", () => {
  assert.equal(connectionProblem({ kind: "open" }, true), "");
  assert.match(connectionProblem({ kind: "waiting", dueMs: 0 }, true), /Video and audio continue/);
  assert.match(connectionProblem({ kind: "waiting", dueMs: 0 }, false), /offline/);
  assert.match(connectionProblem({ kind: "connecting", socketRefused: true }, true), /WebSocket.*another network/);
});

test("every ending has a title, a text and perhaps an action; an unknown code shows the server's message", () => {
  const ending = (code, ...more) => endingFor({ code, message: "Because.", retryAfterMs: 0 }, ...more);
  assert.match(ending("room-full").title, /full/);
  assert.equal(ending("a later code").text, "Because.");
  for (const code of ["replaced", "room-full", "room-locked", "removed", "room-ended", "token-required", "token-invalid", "not-allowed", "too-many-failures", "a later code"]) {
    const { title, text, action, actionLabel } = ending(code);
    assert.match(title, /^[A-Z].*\.$/, code);
    assert.match(text, /^[A-Z].*\.$/, code);
    assert.equal(action === null, actionLabel === "", code);
  }
  assert.equal(ending("removed").title, "A moderator removed you from this room.");
  assert.equal(ending("room-ended").title, "A moderator ended this room.");
  assert.match(ending("room-ended", true).title, /^You/);
  assert.equal(ending("removed").action, null);
  assert.equal(ending("room-locked").action, "rejoin");
  assert.match(leftRoom("band").text, /band/);
});

test("the question before removing a person says whether that person can rejoin", () => {
  assert.match(removeQuestion("Ada", false).text, /Ada can rejoin/);
  assert.match(removeQuestion("Ada", true).text, /nobody can rejoin/);
});

test("statistics without a value show a dash", () => {
  const rows = statisticsRows({ resolution: "", frameRateFps: null, receivedBps: null, sentBps: 1_250_000, lossPercent: null, roundTripMs: null, path: null });
  assert.deepEqual(rows, [["In", "–"], ["Out", "1.3 Mbit/s"], ["Loss", "–"], ["Round trip", "–"], ["Path", "–"]]);
});

test("the first thing that rooms need and a browser does not have is named", () => {
  const browser = { RTCPeerConnection: 1, WebSocket: 1, HTMLDialogElement: 1 };
  assert.equal(missingForRooms(browser), null);
  for (const [name, pattern] of [["RTCPeerConnection", /WebRTC/], ["WebSocket", /WebSocket/], ["HTMLDialogElement", /dialog/]]) {
    const { [name]: _, ...others } = browser;
    assert.match(missingForRooms(others), pattern);
  }
});
