import assert from "node:assert/strict";
import { test } from "node:test";
import { calledOf, initialsOf, pathOf, personOf, roomNameProblem, roomOf } from "../../../www/shared/roomName.js";

test("good names of rooms are good, and what is wrong with others is said", () => {
  for (const name of ["main", "A", "a.b-c_9", "x".repeat(64)]) assert.equal(roomNameProblem(name), "", name);
  assert.match(roomNameProblem(""), /Give/);
  assert.match(roomNameProblem("two words"), /no spaces/);
  assert.match(roomNameProblem("a/b?"), /not “\/\?”/);
  assert.match(roomNameProblem("Küche"), /not “ü”/);
  assert.match(roomNameProblem(".."), /dots/);
  assert.match(roomNameProblem("x".repeat(65)), /65/);
});

test("an address names its room, and a room its address", () => {
  assert.equal(roomOf({ pathname: "/room/band", search: "" }), "band");
  assert.equal(roomOf({ pathname: "/room/band/", search: "" }), "band");
  assert.equal(roomOf({ pathname: "/room", search: "?name=band" }), "band");
  assert.equal(roomOf({ pathname: "/room", search: "" }), "main");
  assert.equal(roomOf({ pathname: "/room/%E0%A4%A", search: "" }), "%E0%A4%A");
  assert.equal(roomOf({ pathname: pathOf("a.b"), search: "" }), "a.b");
});

test("a person's name is one line within the limit", () => {
  assert.equal(personOf("  Ada\n\tLovelace "), "Ada Lovelace");
  assert.equal([...personOf("😀".repeat(70))].length, 64);
  assert.equal(calledOf("", "abcdef"), "Guest abc");
});

test("a face without a picture has the first and last initial", () => {
  assert.equal(initialsOf("ada king lovelace"), "AL");
  assert.equal(initialsOf("😀 x"), "😀X");
  assert.equal(initialsOf(""), "");
});
