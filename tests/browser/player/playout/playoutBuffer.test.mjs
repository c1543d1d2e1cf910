import assert from "node:assert/strict";
import { test } from "node:test";
import { PlayoutBuffer, SAMPLE_RATE_HZ } from "../../../../www/player/playout/playoutBuffer.js";

const PACKET = 480;
/** Samples that the output takes at once, as Chromium on Linux does. */
const STEP = 512;
const MS = SAMPLE_RATE_HZ / 1000;

/** A tone whose period is no whole number of samples, at 440 Hz on the left and 660 Hz on the right. */
const tone = (position) => [440, 660].map((hz) => 0.5 * Math.sin(2 * Math.PI * hz * position / SAMPLE_RATE_HZ));

/**
 * Plays packets that arrive as a test says.
 * @param {object} line
 * @param {number} line.seconds
 * @param {(nth: number) => number | null} [line.lateMs] how late a packet is; null if it is lost
 * @param {number} [line.speed] of the sender's clock
 * @param {(position: number) => number[]} [line.sound]
 * @returns what was heard on the left, and once a second the time that sound has spent in the buffer, in milliseconds
 */
function play({ seconds, lateMs = () => 0, speed = 1, sound = tone }) {
  const buffer = new PlayoutBuffer();
  const packets = [];
  for (let nth = 0; (nth + 1) * PACKET < seconds * SAMPLE_RATE_HZ * speed; nth += 1) {
    const late = lateMs(nth);
    if (late !== null) packets.push({ nth, due: (nth + 1) * PACKET / speed + late * MS });
  }
  // One line keeps the order.
  for (let n = 1; n < packets.length; n += 1) packets[n].due = Math.max(packets[n].due, packets[n - 1].due);
  const heard = [];
  const delaysMs = [];
  let last = { ...buffer.counters };
  for (let now = 0; now < seconds * SAMPLE_RATE_HZ; now += STEP) {
    while (packets.length > 0 && packets[0].due <= now) {
      const { nth } = packets.shift();
      const samples = Array.from({ length: PACKET }, (_, n) => sound(nth * PACKET + n));
      buffer.push(nth * PACKET, [0, 1].map((channel) => Float32Array.from(samples, (both) => both[channel])));
    }
    for (let quantum = 0; quantum < STEP; quantum += 128) {
      const channels = [new Float32Array(128), new Float32Array(128)];
      buffer.pull(channels);
      heard.push(...channels[0]);
    }
    if (buffer.counters.played - last.played >= SAMPLE_RATE_HZ) {
      delaysMs.push((buffer.counters.delay - last.delay) / (buffer.counters.played - last.played) / MS);
      last = { ...buffer.counters };
    }
  }
  return { heard, delaysMs, buffer, concealedMs: buffer.counters.concealed / MS };
}

/** Fails if there is a click, or a gap, in the tone after the first 100 ms. Made-up sound fades after 10 ms. */
function isSmooth(heard, leastPeak = 0.4) {
  const from = 100 * MS;
  for (let n = from; n < heard.length; n += 1) {
    // The tone itself has 0.0017.
    const bend = Math.abs(heard[n] - 2 * heard[n - 1] + heard[n - 2]);
    assert.ok(bend < 0.01, `a click of ${bend} at ${(n / MS).toFixed(1)} ms`);
  }
  for (let n = from; n + 5 * MS < heard.length; n += 5 * MS) {
    const peak = Math.max(...heard.slice(n, n + 5 * MS).map(Math.abs));
    assert.ok(peak > leastPeak && peak < 0.6, `a peak of ${peak} at ${(n / MS).toFixed(1)} ms`);
  }
}

test("on an even line the sound comes out as it went in, less than 16 ms later", () => {
  const { heard, delaysMs, concealedMs } = play({ seconds: 3 });
  const start = heard.findIndex((sample) => sample !== 0) - 1;
  const joined = heard.slice(start + 300 * MS, start + 350 * MS);
  const shift = [...Array(40 * MS).keys()].find((by) => joined.every((sample, n) => Math.abs(sample - tone(300 * MS + n + by - 20 * MS)[0]) < 1e-6));
  assert.notEqual(shift, undefined, "something else comes out");
  assert.equal(concealedMs, 0);
  assert.ok(delaysMs.at(-1) < 16, `${delaysMs}`);
  isSmooth(heard);
});

test("a packet that comes late is bridged without a click, and soon forgotten", () => {
  const { heard, delaysMs, concealedMs } = play({ seconds: 12, lateMs: (nth) => (nth === 300 ? 20 : 0) });
  isSmooth(heard);
  assert.ok(concealedMs > 5 && concealedMs < 35, `${concealedMs} ms were made up`);
  assert.ok(delaysMs[3] > delaysMs[1] + 5, `${delaysMs}`);
  assert.ok(delaysMs.at(-1) < delaysMs[1] + 8, `${delaysMs}`);
});

test("a lost packet is bridged without a click, and the delay stays", () => {
  const { heard, delaysMs, concealedMs } = play({ seconds: 8, lateMs: (nth) => (nth === 300 ? null : 0) });
  isSmooth(heard);
  assert.ok(concealedMs >= 9 && concealedMs < 30, `${concealedMs} ms were made up`);
  assert.ok(Math.abs(delaysMs.at(-1) - delaysMs[1]) < 5, `${delaysMs}`);
});

for (const [name, speed] of [["slower", 1 - 0.0005], ["faster", 1 + 0.0005]]) {
  test(`a sender whose clock is ${name} is followed without a click or a gap`, () => {
    const { heard, delaysMs, concealedMs } = play({ seconds: 60, speed });
    isSmooth(heard);
    assert.equal(concealedMs, 0);
    assert.ok(Math.max(...delaysMs.slice(5)) < 30, `${delaysMs.map(Math.round)}`);
  });
}

test("where packets are late again and again, the buffer learns to wait for them", () => {
  const { delaysMs, buffer, heard } = play({ seconds: 60, lateMs: (nth) => (nth % 700 === 699 ? 30 : 0) });
  assert.ok(buffer.counters.concealed / MS < 150, `${buffer.counters.concealed / MS} ms were made up`);
  assert.ok(delaysMs.at(-1) < 60, `${delaysMs.map(Math.round)}`);
  isSmooth(heard, 0.2);
});

test("a line that stops gives silence after a fraction of a second, and then sound again", () => {
  const stop = { from: 200, to: 300 };
  const { heard, concealedMs } = play({ seconds: 6, lateMs: (nth) => (nth >= stop.from && nth < stop.to ? null : 0) });
  const at = (ms) => Math.max(...heard.slice(ms * MS, (ms + 50) * MS).map(Math.abs));
  assert.ok(at(1500) > 0.4);
  assert.equal(at(2200), 0);
  assert.equal(at(2800), 0);
  assert.ok(at(3200) > 0.4);
  assert.ok(concealedMs < 80, `${concealedMs} ms were made up`);
});

for (const [hangs, most] of [[4, 80], [30, 30]]) {
  test(`a line that hangs for ${hangs * 10} ms and then sends all at once is soon as early as before`, () => {
    const { delaysMs, heard } = play({ seconds: 12, lateMs: (nth) => (nth >= 300 && nth < 300 + hangs ? (300 + hangs - nth) * 10 : 0) });
    assert.ok(Math.max(...delaysMs) < most, `${delaysMs}`);
    assert.ok(delaysMs.at(-1) < delaysMs[1] + 8, `${delaysMs}`);
    isSmooth(heard.slice(8 * SAMPLE_RATE_HZ));
  });
}

test("silence that is bridged is not counted", () => {
  const { concealedMs } = play({ seconds: 4, sound: () => [0, 0], lateMs: (nth) => (nth % 50 === 49 ? null : 0) });
  assert.equal(concealedMs, 0);
});

test("noise without a period keeps its level where a packet is missing", () => {
  let random = 1;
  const noise = () => {
    random = (random * 1103515245 + 12345) % 2 ** 31;
    const sample = random / 2 ** 30 - 1;
    return [sample, sample];
  };
  const { heard } = play({ seconds: 4, sound: noise, lateMs: (nth) => (nth % 50 === 49 ? null : 0) });
  const quietest = Math.min(...Array.from({ length: 700 }, (_, n) => Math.max(...heard.slice((200 + n * 5) * MS, (205 + n * 5) * MS).map(Math.abs))));
  assert.ok(quietest > 0.4, `${quietest}`);
});

test("another stream begins where its positions do not follow", () => {
  const buffer = new PlayoutBuffer();
  const piece = (value) => [0, 1].map(() => new Float32Array(PACKET).fill(value));
  const out = [new Float32Array(128), new Float32Array(128)];
  const play = (count) => Array.from({ length: count }, () => { buffer.pull(out); return out[0][127]; });
  for (const position of [0, 480, 960]) buffer.push(position, piece(0.5));
  play(40);
  for (const position of [9e9, 9e9 + 480, 9e9 + 960]) buffer.push(position, piece(0.25));
  assert.ok(play(5).includes(0.25));
  for (const position of [7, 487, 967]) buffer.push(position, piece(0.125));
  assert.ok(play(20).includes(0.125));
  assert.ok(buffer.fill < 3 * PACKET);
});

test("a backlog at the start is not played: the newest sound is", () => {
  const buffer = new PlayoutBuffer();
  for (let nth = 0; nth < 30; nth += 1) buffer.push(nth * PACKET, [0, 1].map(() => new Float32Array(PACKET).fill(nth / 100)));
  const out = [new Float32Array(128), new Float32Array(128)];
  buffer.pull(out);
  assert.ok(out[0][0] > 0.27, `${out[0][0]}`);
});

test("what nobody plays does not pile up", () => {
  const buffer = new PlayoutBuffer();
  for (let nth = 0; nth < 10_000; nth += 1) {
    buffer.push(nth * PACKET, [0, 1].map(() => new Float32Array(PACKET).fill(0.1)));
    assert.ok(buffer.fill <= SAMPLE_RATE_HZ);
  }
});
