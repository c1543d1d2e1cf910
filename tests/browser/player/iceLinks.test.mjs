import assert from "node:assert/strict";
import { test } from "node:test";
import { iceServersFromLinks } from "../../../www/player/iceLinks.js";

test("STUN and TURN servers are read, with quoted credentials", () => {
  const field = '<stun:stun.example.net>; rel="ice-server", '
    + '<turn:turn.example.net?transport=udp>; rel="ice-server"; username="u,s;er"; credential="a\\"b"; credential-type="password"';
  assert.deepEqual(iceServersFromLinks(field), [
    { urls: "stun:stun.example.net" },
    { urls: "turn:turn.example.net?transport=udp", username: "u,s;er", credential: 'a"b' },
  ]);
});

test("other links, and servers that a browser would reject, are ignored", () => {
  for (const field of [null, "", "</base.css>; rel=preload", '<https://stun.example.net>; rel="ice-server"', '<turn:t.example.net>; rel="ice-server"', "<stun:s.example.net>", "stun:s.example.net; rel=ice-server", "<<>>;;=\"\\"]) {
    assert.deepEqual(iceServersFromLinks(field), [], field);
  }
  assert.deepEqual(iceServersFromLinks('<a>; rel=x, <stun:s.example.net>;rel=ice-server , <b>'), [{ urls: "stun:s.example.net" }]);
});

test("the number of servers is limited", () => {
  assert.equal(iceServersFromLinks(Array(50).fill("<stun:s.example.net>; rel=ice-server").join(", ")).length, 8);
});
