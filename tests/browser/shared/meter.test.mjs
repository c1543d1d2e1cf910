import assert from "node:assert/strict";
import { test } from "node:test";
import { PeakMeter, StereoMeter, dbfsOf, ticksOf, peakOf } from "../../../www/shared/meter.js";

test("the peak is the largest absolute value", () => {
  assert.equal(peakOf(new Float32Array([0, 0.25, -0.5, 0.125])), 0.5);
  assert.equal(peakOf(new Float32Array(8)), 0);
});

test("full scale is 0 dBFS, half is -6 dBFS, silence is minus infinity", () => {
  assert.equal(dbfsOf(1), 0);
  assert.ok(Math.abs(dbfsOf(0.5) + 6.02) < 0.01);
  assert.equal(dbfsOf(0), -Infinity);
});

test("ticks range from the floor to full scale", () => {
  assert.deepEqual([-Infinity, -70, -60, -20, 0, 3].map(ticksOf), [0, 0, 0, 40, 60, 60]);
});

test("the level rises at once and falls 24 dB in a second", () => {
  const meter = new PeakMeter();
  assert.equal(meter.update(-6, 0).levelDbfs, -6);
  assert.equal(meter.update(-Infinity, 500).levelDbfs, -18);
  assert.equal(meter.update(-Infinity, 1000).levelDbfs, -30);
  assert.equal(meter.update(-10, 1001).levelDbfs, -10);
});

test("a level below the floor is silence", () => {
  const meter = new PeakMeter();
  meter.update(-59, 0);
  assert.equal(meter.update(-Infinity, 100).levelDbfs, -Infinity);
});

test("the peak is held for 1.5 s", () => {
  const meter = new PeakMeter();
  meter.update(-6, 0);
  assert.equal(meter.update(-40, 1400).peakDbfs, -6);
  assert.equal(meter.update(-40, 1600).peakDbfs, -40);
});

test("a higher level replaces the peak and is held again", () => {
  const meter = new PeakMeter();
  meter.update(-20, 0);
  meter.update(-6, 1000);
  assert.equal(meter.update(-40, 2400).peakDbfs, -6);
});

/** An AudioContext that records connections. */
function fakeContext() {
  const connections = [];
  const node = (name, more = {}) => ({
    name,
    connect: (to, output = 0) => connections.push(`${name}:${output} > ${to.name}`),
    disconnect: () => connections.push(`${name} off`),
    ...more,
  });
  let analysers = 0;
  return {
    connections,
    state: "suspended",
    destination: node("destination"),
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

test("left and right are measured separately, and nothing is connected to the destination", () => {
  const context = fakeContext();
  const meter = new StereoMeter(context);
  meter.attach("stream");
  assert.deepEqual(context.connections, ["splitter:0 > analyser0", "splitter:1 > analyser1", "stream:0 > splitter"]);
  const [left, right] = meter.read(0);
  assert.equal(left.levelDbfs, 0);
  assert.equal(Math.round(right.levelDbfs), -20);
});

test("a new stream replaces the previous one", () => {
  const context = fakeContext();
  const meter = new StereoMeter(context);
  meter.attach("old");
  meter.attach("new");
  assert.deepEqual(context.connections.slice(-3), ["old:0 > splitter", "old off", "new:0 > splitter"]);
});

test("a suspended context is resumed", () => {
  const context = fakeContext();
  new StereoMeter(context).resume();
  assert.equal(context.state, "running");
});
