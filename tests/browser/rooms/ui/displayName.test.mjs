import assert from "node:assert/strict";
import { test } from "node:test";
import { displayName, initialsOf, normalizeName } from "../../../../www/rooms/ui/displayName.js";

test("a display name is one line within the limit", () => {
  assert.equal(normalizeName("  Ada\n\tLovelace "), "Ada Lovelace");
  assert.equal([...normalizeName("😀".repeat(70))].length, 64);
});

test("a person without a name is a guest with part of the id", () => {
  assert.equal(displayName("", "abcdef"), "Guest abc");
  assert.equal(displayName("Ada", "abcdef"), "Ada");
});

test("a tile without video shows the first and the last initial", () => {
  assert.equal(initialsOf("ada king lovelace"), "AL");
  assert.equal(initialsOf("😀 x"), "😀X");
  assert.equal(initialsOf(""), "");
});
