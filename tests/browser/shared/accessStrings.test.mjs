import assert from "node:assert/strict";
import { test } from "node:test";
import { accessStrings } from "../../../www/shared/accessStrings.js";

test("every refusal says what happened and what to do", () => {
  for (const code of ["token-required", "token-invalid", "not-allowed", "too-many-failures", "foreign-origin", "a later code"]) {
    for (const subject of ["room", "station", "moderator"]) {
      const { title, text } = accessStrings(code, subject, 0);
      assert.match(title, /^[A-Z].*\.$/, code);
      assert.match(text, /^[A-Z].*\.$/, code);
    }
  }
});

test("a refusal names what was refused, and how long to wait", () => {
  const strings = (...args) => Object.values(accessStrings(...args)).join(" ");
  assert.equal(strings("token-required", "room"), "This room is private. Open the link in your invitation.");
  assert.equal(strings("token-invalid", "room"), "This link has expired or was withdrawn. Ask for a new one.");
  assert.match(strings("not-allowed", "room"), /^This link is for another room\./);
  assert.match(strings("too-many-failures", "room", 61_200), /Wait 62 seconds/);
  assert.match(strings("too-many-failures", "room", 601_000), /Wait 11 minutes/);
});
