import assert from "node:assert/strict";
import { test } from "node:test";
import { abortAfter, firstAnswer } from "../../../www/shared/requests.js";
import { VirtualClock, settle } from "../harness/virtualClock.mjs";

/** Requests whose answers the test gives. */
function setUp(timeoutMs = 8000) {
  const clock = new VirtualClock();
  const requests = [];
  const state = { answer: "none", error: "none" };
  firstAnswer((signal) => new Promise((resolve, reject) => requests.push({ signal, resolve, reject })), timeoutMs, clock.platform)
    .then((answer) => { state.answer = answer; }, (error) => { state.error = error.name; });
  return { clock, requests, state };
}

test("a signal aborts after its time", async () => {
  const clock = new VirtualClock();
  const signal = abortAfter(1000, clock.platform);
  await clock.advance(999);
  assert.equal(signal.aborted, false);
  await clock.advance(1);
  assert.equal(signal.aborted, true);
});

test("an answer in time is the only request's", async () => {
  const { clock, requests, state } = setUp();
  await clock.advance(1000);
  requests[0].resolve("yes");
  await clock.advance(60_000);
  assert.deepEqual([requests.length, state.answer, clock.pendingTimers], [1, "yes", 0]);
});

test("while no answer comes the request is sent again, and the first answer counts", async () => {
  const { clock, requests, state } = setUp();
  await clock.advance(2400);
  assert.equal(requests.length, 3);
  requests[1].reject(new Error("reset"));
  await settle();
  assert.equal(state.error, "none", "others may still be answered");
  requests[2].resolve("yes");
  await settle();
  assert.equal(state.answer, "yes");
  assert.ok(requests.every(({ signal }) => signal.aborted));
  await clock.advance(60_000);
  assert.deepEqual([requests.length, clock.pendingTimers], [3, 0]);
});

test("if all fail, or none is answered in time, it fails", async () => {
  const refused = setUp();
  refused.requests[0].reject(new TypeError("refused"));
  await settle();
  assert.deepEqual([refused.state.error, refused.clock.pendingTimers], ["TypeError", 0]);
  const silent = setUp();
  await silent.clock.advance(8000);
  assert.deepEqual([silent.state.error, silent.requests.length, silent.clock.pendingTimers], ["TimeoutError", 6, 0]);
});
