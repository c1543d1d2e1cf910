/**
 * Requests that end although no answer comes.
 */

import { browserClock } from "./clock.js";

/** @typedef {Pick<import("./clock.js").Clock, "setTimeout" | "clearTimeout">} Timers */

/** Without an answer after this time, the same is asked on another connection. */
const NEXT_AFTER_MS = 1200;
/** Browsers keep six connections to one server. */
const MAX_REQUESTS = 6;

/**
 * A signal that aborts after a time. `AbortSignal.timeout` does the same, but came with Safari 16 and Chrome 103.
 * @param {number} durationMs
 * @param {Timers} timers
 * @returns {AbortSignal}
 */
export function abortAfter(durationMs, timers = browserClock) {
  const controller = new AbortController();
  timers.setTimeout(() => controller.abort(), durationMs);
  return controller.signal;
}

/**
 * The first answer to a request that may be sent several times. A connection that a browser keeps open may be dead, as after
 * sleep, and swallows a request without a word; the browser notices that late. So while no answer comes, the request is sent
 * once more, which takes another connection.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} send
 * @param {number} timeoutMs for all of them together
 * @param {Timers} timers
 * @returns {Promise<T>}
 */
export function firstAnswer(send, timeoutMs, timers = browserClock) {
  return new Promise((resolve, reject) => {
    const controller = new AbortController();
    let [sent, failed] = [0, 0];
    /** @type {number | undefined} */
    let nextTimer;
    const end = () => {
      timers.clearTimeout(nextTimer);
      timers.clearTimeout(lastTimer);
      controller.abort();
    };
    const sendNext = () => {
      sent += 1;
      if (sent < MAX_REQUESTS) nextTimer = timers.setTimeout(sendNext, NEXT_AFTER_MS);
      send(controller.signal).then((answer) => {
        end();
        resolve(answer);
      }, (error) => {
        failed += 1;
        if (failed < sent) return;
        end();
        reject(error);
      });
    };
    const lastTimer = timers.setTimeout(() => {
      end();
      reject(new DOMException("no answer", "TimeoutError"));
    }, timeoutMs);
    sendNext();
  });
}
