import assert from "node:assert/strict";
import { test } from "node:test";
import { deviceProblems, openingSentence } from "../../../../www/rooms/ui/deviceStrings.js";

const ADDRESS = { host: "studio.local:8088", port: "8088" };
const PROBLEMS = ["denied", "not-found", "busy", "unplugged", "interrupted", "insecure", "unsupported", "failed"];

test("every problem of every device is a sentence", () => {
  for (const problem of PROBLEMS) {
    for (const device of ["microphone", "camera", "screen"]) assert.match(deviceProblems({ [device]: problem }, ADDRESS), /^[A-Z].*\.$/, problem);
  }
  assert.equal(deviceProblems({}, ADDRESS), "");
});

test("a problem of camera and microphone is one sentence that names both", () => {
  for (const problem of PROBLEMS) {
    const text = deviceProblems({ microphone: problem, camera: problem }, ADDRESS);
    assert.match(text, /^[A-Z].*\.$/, problem);
    assert.ok(/camera/i.test(text) && /microphone/i.test(text), text);
    assert.doesNotMatch(text, /The camera and/, text);
  }
});

test("different problems are different sentences", () => {
  const text = deviceProblems({ microphone: "busy", camera: "not-found" }, ADDRESS);
  assert.match(text, /No camera was found\..*The microphone does not start\./s);
});

test("on a page that is not secure, the text names addresses that are", () => {
  const text = deviceProblems({ microphone: "insecure", camera: "insecure" }, ADDRESS);
  assert.match(text, /https:\/\/studio\.local:8088/);
  assert.match(text, /http:\/\/localhost:8088/);
});

test("what is being opened is named, with what to do if the browser asks", () => {
  assert.equal(openingSentence({ microphone: false, camera: false }), "");
  assert.match(openingSentence({ microphone: false, camera: true }), /^Opening your camera … .*permission/);
  assert.match(openingSentence({ microphone: true, camera: true }), /^Opening your camera and microphone … /);
});
