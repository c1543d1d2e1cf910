/**
 * The end of direct playout, on the output's thread: plays what the decoder's worker sends, and reports once a second of sound.
 *
 * Messages from the page: `{ sound: MessagePort }` once. To the page: the buffer's counters.
 */

import { PlayoutBuffer, SAMPLE_RATE_HZ } from "./playoutBuffer.js";

/** The global scope of audio worklets. @type {any} */
const scope = globalThis;

class Output extends scope.AudioWorkletProcessor {
  #buffer = new PlayoutBuffer();
  #reported = 0;

  constructor() {
    super();
    this.port.onmessage = (/** @type {MessageEvent} */ { data }) => {
      data.sound.onmessage = (/** @type {MessageEvent} */ message) => this.#buffer.push(message.data.position, message.data.channels);
    };
  }

  /**
   * @param {Float32Array[][]} _inputs
   * @param {Float32Array[][]} outputs
   */
  process(_inputs, [channels]) {
    this.#buffer.pull(channels);
    const { counters } = this.#buffer;
    if (counters.played - this.#reported >= SAMPLE_RATE_HZ) {
      this.#reported = counters.played;
      this.port.postMessage(counters);
    }
    return true;
  }
}

scope.registerProcessor("direct-playout", Output);
