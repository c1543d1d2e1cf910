import assert from "node:assert/strict";
import { test } from "node:test";
import { PeakMeter, StereoMeter, dbfsOf, marksOf, peakOf } from "../../../www/shared/meter.js";

test("the peak is the farthest from zero, on either side", () => {
  assert.equal(peakOf(new Float32Array([0, 0.25, -0.5, 0.125])), 0.5);
  assert.equal(peakOf(new Float32Array(8)), 0);
});

test("full scale is 0 dBFS, half is -6, nothing is minus infinity", () => {
  assert.equal(dbfsOf(1), 0);
  assert.ok(Math.abs(dbfsOf(0.5) + 6.02) < 0.01);
  assert.equal(dbfsOf(0), -Infinity);
});

test("marks run from the floor to full scale and no further", () => {
  assert.deepEqual([-Infinity, -70, -60, -20, 0, 3].map(marksOf), [0, 0, 0, 40, 60, 60]);
});

test("the level rises at once and falls 24 dB in a second", () => {
  const meter = new PeakMeter();
  assert.equal(meter.update(-6, 0).level_dbfs, -6);
  assert.equal(meter.update(-Infinity, 500).level_dbfs, -18);
  assert.equal(meter.update(-Infinity, 1000).level_dbfs, -30);
  assert.equal(meter.update(-10, 1001).level_dbfs, -10);
});

test("a level below the floor is silence", () => {
  const meter = new PeakMeter();
  meter.update(-59, 0);
  assert.equal(meter.update(-Infinity, 100).level_dbfs, -Infinity);
});

test("the highest level stays marked for a second and a half", () => {
  const meter = new PeakMeter();
  meter.update(-6, 0);
  assert.equal(meter.update(-40, 1400).hold_dbfs, -6);
  assert.equal(meter.update(-40, 1600).hold_dbfs, -40);
});

test("a higher level moves the mark and starts its time anew", () => {
  const meter = new PeakMeter();
  meter.update(-20, 0);
  meter.update(-6, 1000);
  assert.equal(meter.update(-40, 2400).hold_dbfs, -6);
});

/** An AudioContext that records what is joined to what. */
function fakeContext() {
  const joined = [];
  const node = (name, more = {}) => ({
    name,
    connect: (to, output = 0) => joined.push(`${name}:${output} > ${to.name}`),
    disconnect: () => joined.push(`${name} off`),
    ...more,
  });
  let analysers = 0;
  return {
    joined,
    state: "suspended",
    destination: node("loudspeaker"),
    createChannelSplitter: () => node("splitter"),
    createAnalyser: () => {
      const channel = analysers++;
      return node(`analyser${channel}`, {
        getFloatTimeDomainData: (samples) => samples.fill(0).fill(channel === 0 ? 1 : 0.1, 3, 4),
      });
    },
    createMediaStreamSource: (stream) => node(stream),
    async resume() {
      this.state = "running";
    },
  };
}

test("left and right are told apart, and nothing is joined to the loudspeaker", () => {
  const context = fakeContext();
  const meter = new StereoMeter(context);
  meter.attach("stream");
  assert.deepEqual(context.joined, ["splitter:0 > analyser0", "splitter:1 > analyser1", "stream:0 > splitter"]);
  const [left, right] = meter.read(0);
  assert.equal(left.level_dbfs, 0);
  assert.equal(Math.round(right.level_dbfs), -20);
});

test("a new stream takes the old one's place", () => {
  const context = fakeContext();
  const meter = new StereoMeter(context);
  meter.attach("old");
  meter.attach("new");
  assert.deepEqual(context.joined.slice(-3), ["old:0 > splitter", "old off", "new:0 > splitter"]);
});

test("a sleeping context is woken", () => {
  const context = fakeContext();
  new StereoMeter(context).wake();
  assert.equal(context.state, "running");
});
