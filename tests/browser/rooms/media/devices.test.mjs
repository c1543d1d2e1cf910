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
