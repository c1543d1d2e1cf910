import assert from "node:assert/strict";
import { test } from "node:test";
import { sourceLabel, stationProblem, stationSummary, stationTitle } from "../../../www/shared/stationStrings.js";

const station = (state, more = {}) => ({ name: "main", source: { kind: "device", name: "Desk", state }, encoding: { packet_ms: 20 }, listeners: 0, ...more });

test("a station's title is the name of its source", () => {
  assert.equal(stationTitle(station("live")), "Desk");
  assert.equal(stationTitle(null), "Sound of this host");
  assert.equal(sourceLabel(station("live")), "Microphone or line input");
});

test("the summary has the state and the number of listeners", () => {
  assert.equal(stationSummary(station("live")), "On air");
  assert.equal(stationSummary(station("reopening", { listeners: 3 })), "Waiting for its device · 3 listening");
});

test("a silent station has a sentence that says why", () => {
  assert.match(stationProblem(station("reopening")), /lost its sound device/);
  for (const state of ["opening", "silent", "reopening"]) assert.match(stationProblem(station(state)), /^[A-Z].*\.$/);
  assert.equal(stationProblem(station("live")), "");
});
