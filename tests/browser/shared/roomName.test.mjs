import assert from "node:assert/strict";
import { test } from "node:test";
import { roomFromPath, roomNameProblem, roomPath } from "../../../www/shared/roomName.js";

test("valid room names have no problem, and a problem names its cause", () => {
  for (const name of ["main", "A", "a.b-c_9", "x".repeat(64)]) assert.equal(roomNameProblem(name), "", name);
  assert.match(roomNameProblem(""), /Enter/);
  assert.match(roomNameProblem("two words"), /no spaces/);
  assert.match(roomNameProblem("a/b?"), /not “\/\?”/);
  assert.match(roomNameProblem("Küche"), /not “ü”/);
  assert.match(roomNameProblem(".."), /letter or digit/);
  assert.match(roomNameProblem("x".repeat(65)), /65/);
});

test("a path names its room, and a room has a path", () => {
  assert.equal(roomFromPath("/room/band"), "band");
  assert.equal(roomFromPath("/room/b%2Ed"), "b.d");
  assert.equal(roomFromPath("/room"), "main");
  assert.equal(roomFromPath("/room/%E0%A4%A"), "%E0%A4%A");
  assert.equal(roomFromPath(`/${roomPath("a.b")}`), "a.b");
});
