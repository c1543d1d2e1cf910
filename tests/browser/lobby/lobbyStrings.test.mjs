import assert from "node:assert/strict";
import { test } from "node:test";
import { roomStrings, uptimeOf } from "../../../www/lobby/lobbyStrings.js";

test("uptime is told in minutes, hours and days", () => {
  assert.deepEqual([0, 600, 7200, 86_400 * 3].map(uptimeOf), ["just started", "up for 10 minutes", "up for 2 hours", "up for 3 days"]);
});

test("a private server says that rooms are for invited people", () => {
  for (const text of Object.values(roomStrings(true))) assert.match(text, /invited/);
  for (const text of Object.values(roomStrings(false))) assert.doesNotMatch(text, /invited/);
});
