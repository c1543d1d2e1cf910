import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDecibels, formatNumber, retryCountdown, statusStrings } from "../../../www/player/playerStrings.js";

const CONTEXT = { needsTap: false, online: true, station: null, muted: false };
const station = (state) => ({ name: "main", source: { kind: "device", name: "Desk", state }, encoding: { packet_ms: 20 }, listeners: 0 });

test("every reason has a sentence", () => {
  for (const reason of ["unreachable", "full", "not-found", "refused", "unauthorized", "ice-failed", "stalled", "closed", "unsupported"]) {
    for (const kind of ["waiting", "retrying", "failed"]) {
      const { status, advice } = statusStrings({ kind, reason, detail: "", dueMs: 0 }, CONTEXT);
      assert.ok(status.length > 0 && /[.]$/.test(advice), `${kind} ${reason}: ${advice}`);
    }
  }
});

test("a listener is told when the host's device is gone", () => {
  assert.match(statusStrings({ kind: "live" }, { ...CONTEXT, station: station("reopening") }).advice, /lost its sound device/);
  assert.equal(statusStrings({ kind: "live" }, { ...CONTEXT, station: station("live") }).advice, "");
});

test("if the browser needs a tap, the advice asks for one", () => {
  assert.match(statusStrings({ kind: "live" }, { ...CONTEXT, needsTap: true }).advice, /Tap anywhere/);
});

test("without a network, the advice names the network", () => {
  const state = { kind: "waiting", reason: "unreachable", detail: "", dueMs: 0 };
  assert.equal(statusStrings(state, { ...CONTEXT, online: false }).advice, "This device is offline.");
});

test("the server's message is shown when it refuses", () => {
  assert.match(statusStrings({ kind: "failed", reason: "refused", detail: "no audio in the offer" }, CONTEXT).advice, /“no audio in the offer”/);
});

test("the countdown shows whole seconds until the next attempt", () => {
  const state = { kind: "waiting", reason: "closed", detail: "", dueMs: 5000 };
  assert.equal(retryCountdown(state, 1500), "Retrying in 4 s");
  assert.equal(retryCountdown(state, 5000), "Retrying now");
  assert.equal(retryCountdown({ kind: "live" }, 0), "");
});

test("levels and numbers are short", () => {
  assert.deepEqual([-Infinity, -12.4, -0.2, 0.4].map(formatDecibels), ["−∞", "−12", "0", "0"]);
  assert.deepEqual([null, 0, 0.26, 9.94, 42.7].map((value) => formatNumber(value, 1)), ["–", "0", "0.3", "9.9", "43"]);
});
