import assert from "node:assert/strict";
import { test } from "node:test";
import { Devices, soundConstraints, troubleOf } from "../../../../www/rooms/media/devices.js";

const named = (name) => Object.assign(new Error(name), { name });

test("each error of a browser has its word", () => {
  const words = Object.fromEntries(["NotAllowedError", "NotFoundError", "NotReadableError", "OverconstrainedError", "NotSupportedError", "Odd"]
    .map((name) => [name, troubleOf(named(name))]));
  assert.deepEqual(words, {
    NotAllowedError: "refused", NotFoundError: "missing", NotReadableError: "busy",
    OverconstrainedError: "missing", NotSupportedError: "unsupported", Odd: "failed",
  });
});

test("where a browser hides its devices it is known why", () => {
  assert.equal(new Devices(() => ({ media: undefined, secure: false })).barrier, "insecure");
  assert.equal(new Devices(() => ({ media: undefined, secure: true })).barrier, "unsupported");
  assert.equal(new Devices(() => ({ media: { getUserMedia() {} }, secure: true })).barrier, null);
});

test("a device that was chosen once and is gone gives way to any other", async () => {
  const asked = [];
  const media = {
    getUserMedia: async ({ audio }) => {
      asked.push(audio.deviceId?.exact ?? "any");
      if (audio.deviceId !== undefined) throw named("OverconstrainedError");
      return { getTracks: () => ["track"] };
    },
  };
  assert.equal(await new Devices(() => ({ media, secure: true })).open("microphone", "old", false), "track");
  assert.deepEqual(asked, ["old", "any"]);
});

test("music is left as it is", () => {
  const { echoCancellation, noiseSuppression, autoGainControl, channelCount } = soundConstraints(null, true);
  assert.deepEqual([echoCancellation, noiseSuppression, autoGainControl], [false, false, false]);
  assert.deepEqual(channelCount, { ideal: 2 });
  assert.equal(soundConstraints("x", false).echoCancellation, true);
});
