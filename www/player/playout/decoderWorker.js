/**
 * A worker that takes the encoded frames of a session before the browser's jitter buffer does (W3C WebRTC Encoded Transform),
 * decodes them (W3C WebCodecs), and sends the sound to the output's thread. While direct playout is off, and wherever decoding
 * fails, it hands the frames on to the browser.
 *
 * Messages from the page: `{ output: MessagePort }` once, and `{ direct: boolean }`. To the page: `"ready"`, `"failed"`.
 */

import { FrameOrder } from "./frameOrder.js";
import { SAMPLE_RATE_HZ } from "./playoutBuffer.js";

/** @type {AudioDecoderConfig & { optimizeForLatency: boolean }} */
const OPUS = { codec: "opus", sampleRate: SAMPLE_RATE_HZ, numberOfChannels: 2, optimizeForLatency: true };
/** More frames than this that wait for the decoder: it is too slow. */
const MAX_WAITING = 16;
/** After so many failures decoding is given up. */
const MAX_FAILURES = 3;

/** The global scope of a dedicated worker. @type {any} */
const scope = globalThis;
/** @type {MessagePort | null} */
let output = null;
let isDirect = false;
let failures = 0;

/** Decodes the frames of one session. */
class SessionDecoder {
  #order = new FrameOrder();
  /** @type {AudioDecoder | null} */
  #decoder = null;
  /** Positions of the frames that the decoder has not given back. @type {number[]} */
  #positions = [];

  /**
   * @param {{ timestamp: number, data: ArrayBuffer }} frame
   * @returns {boolean} whether the frame was taken
   */
  decode({ timestamp, data }) {
    const position = this.#order.positionOf(timestamp);
    // What is late was made up already.
    if (position === null || data.byteLength === 0) return true;
    try {
      this.#decoder ??= this.#createDecoder();
      this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: Math.round(position / SAMPLE_RATE_HZ * 1e6), data }));
      this.#positions.push(position);
      if (this.#positions.length > MAX_WAITING) this.#fail();
    } catch {
      this.#fail();
      return false;
    }
    return true;
  }

  #createDecoder() {
    const decoder = new AudioDecoder({
      output: (sound) => this.#send(sound),
      error: () => this.#fail(),
    });
    decoder.configure(OPUS);
    return decoder;
  }

  /** @param {AudioData} sound one frame's */
  #send(sound) {
    const position = this.#positions.shift();
    const channels = [0, 1].map((channel) => {
      const samples = new Float32Array(sound.numberOfFrames);
      sound.copyTo(samples, { planeIndex: Math.min(channel, sound.numberOfChannels - 1), format: "f32-planar" });
      return samples;
    });
    sound.close();
    // A decoder that gives back more than it took.
    if (position === undefined) return;
    output?.postMessage({ position, channels }, channels.map(({ buffer }) => buffer));
  }

  #fail() {
    this.close();
    failures += 1;
    if (failures === MAX_FAILURES) scope.postMessage("failed");
  }

  close() {
    if (this.#decoder !== null && this.#decoder.state !== "closed") this.#decoder.close();
    this.#decoder = null;
    this.#positions = [];
  }
}

/** Takes the frames of one session until it ends. @param {{ readable: ReadableStream, writable: WritableStream }} transformer */
async function takeFrames({ readable, writable }) {
  const [reader, writer] = [readable.getReader(), writable.getWriter()];
  /** @type {SessionDecoder | null} */
  let decoder = null;
  for (;;) {
    const { done, value: frame } = await reader.read();
    if (done) break;
    if (isDirect && failures < MAX_FAILURES) {
      decoder ??= new SessionDecoder();
      if (decoder.decode(frame)) continue;
    } else if (decoder !== null) {
      decoder.close();
      decoder = null;
    }
    await writer.write(frame);
  }
  decoder?.close();
}

scope.onmessage = (/** @type {MessageEvent} */ { data }) => {
  if (data.output !== undefined) output = data.output;
  if (data.direct !== undefined) isDirect = data.direct;
};
scope.onrtctransform = (/** @type {{ transformer: any }} */ { transformer }) => {
  // The session has ended.
  takeFrames(transformer).catch(() => {});
};
scope.postMessage("ready");
