import assert from "node:assert/strict";
import { test } from "node:test";
import { Devices, microphoneConstraints, problemOf } from "../../../../www/rooms/media/devices.js";

const named = (name) => Object.assign(new Error(name), { name });

test("each error of a browser is a device problem", () => {
  const problems = Object.fromEntries(["NotAllowedError", "NotFoundError", "NotReadableError", "OverconstrainedError", "NotSupportedError", "Odd"]
    .map((name) => [name, problemOf(named(name))]));
  assert.deepEqual(problems, {
    NotAllowedError: "denied", NotFoundError: "not-found", NotReadableError: "busy",
    OverconstrainedError: "not-found", NotSupportedError: "unsupported", Odd: "failed",
  });
});

test("without devices, the reason is known", () => {
  assert.equal(new Devices(() => ({ mediaDevices: undefined, secure: false })).unavailable, "insecure");
  assert.equal(new Devices(() => ({ mediaDevices: undefined, secure: true })).unavailable, "unsupported");
  assert.equal(new Devices(() => ({ mediaDevices: { getUserMedia() {} }, secure: true })).unavailable, null);
});

test("a device chosen earlier that is gone is replaced by the default one", async () => {
  const requested = [];
  const mediaDevices = {
    getUserMedia: async ({ audio }) => {
      requested.push(audio.deviceId?.exact ?? "default");
      if (audio.deviceId !== undefined) throw named("OverconstrainedError");
      return { getTracks: () => ["track"] };
    },
  };
  assert.equal(await new Devices(() => ({ mediaDevices, secure: true })).open("microphone", "old", false), "track");
  assert.deepEqual(requested, ["old", "default"]);
});

test("music is not processed", () => {
  const { echoCancellation, noiseSuppression, autoGainControl, channelCount } = microphoneConstraints(null, true);
  assert.deepEqual([echoCancellation, noiseSuppression, autoGainControl], [false, false, false]);
  assert.deepEqual(channelCount, { ideal: 2 });
  assert.equal(microphoneConstraints("x", false).echoCancellation, true);
});

test("the default microphone is the entry of that name, or else the first, if no question would come of opening it", async (t) => {
  const microphone = (deviceId, label, groupId = "g") => ({ kind: "audioinput", deviceId, label, groupId });
  const list = { entries: [] };
  const devices = new Devices(() => ({ mediaDevices: { enumerateDevices: async () => list.entries }, secure: true }));
  assert.equal(await devices.defaultMicrophone(), null);
  list.entries = [microphone("a", "A"), microphone("default", "Default: A", "g1")];
  assert.equal(await devices.defaultMicrophone(), "g1 Default: A");
  list.entries = [{ kind: "audiooutput", deviceId: "s" }, microphone("a", "A"), microphone("b", "B")];
  assert.equal(await devices.defaultMicrophone(), null);
  const before = Object.getOwnPropertyDescriptor(globalThis, "navigator");
  t.after(() => (before === undefined ? delete globalThis.navigator : Object.defineProperty(globalThis, "navigator", before)));
  const permissions = { query: async () => ({ state: "granted" }) };
  Object.defineProperty(globalThis, "navigator", { value: { permissions }, configurable: true });
  assert.equal(await devices.defaultMicrophone(), "a");
});
