import assert from "node:assert/strict";
import { test } from "node:test";
import { roomFromUrl, roomNameProblem, roomPath } from "../../../www/shared/roomName.js";

test("valid room names have no problem, and a problem names its cause", () => {
  for (const name of ["main", "A", "a.b-c_9", "x".repeat(64)]) assert.equal(roomNameProblem(name), "", name);
  assert.match(roomNameProblem(""), /Enter/);
  assert.match(roomNameProblem("two words"), /no spaces/);
  assert.match(roomNameProblem("a/b?"), /not “\/\?”/);
  assert.match(roomNameProblem("Küche"), /not “ü”/);
  assert.match(roomNameProblem(".."), /letter or digit/);
  assert.match(roomNameProblem("x".repeat(65)), /65/);
});

test("a URL names its room, and a room has a URL", () => {
  assert.equal(roomFromUrl({ pathname: "/room/band", search: "" }), "band");
  assert.equal(roomFromUrl({ pathname: "/room/band/", search: "" }), "band");
  assert.equal(roomFromUrl({ pathname: "/room", search: "?name=band" }), "band");
  assert.equal(roomFromUrl({ pathname: "/room", search: "" }), "main");
  assert.equal(roomFromUrl({ pathname: "/room/%E0%A4%A", search: "" }), "%E0%A4%A");
  assert.equal(roomFromUrl({ pathname: roomPath("a.b"), search: "" }), "a.b");
});
