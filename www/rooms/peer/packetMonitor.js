/**
 * Detects a connection that receives nothing, whatever its connection state is. Pure: it is told the time.
 */

/** The other peer sends, but nothing has arrived for this time: the connection has stalled. */
const STALL_TIMEOUT_MS = 6000;
/** A longer time between two ticks means that the page or the computer was suspended, so the gap does not count. */
const SUSPENDED_MS = 3000;

export class PacketMonitor {
  #packets = 0;
  #lastPacketMs;
  #lastTickMs;
  /** Packets have arrived since the connection was created, or since its last ICE restart. */
  receivedAny = false;

  /** @param {number} nowMs */
  constructor(nowMs) {
    this.#lastPacketMs = nowMs;
    this.#lastTickMs = nowMs;
  }

  /** The connection was established: a gap starts now. @param {number} nowMs */
  connected(nowMs) {
    this.#lastPacketMs = nowMs;
  }

  /** Call it every second. @param {number} nowMs */
  tick(nowMs) {
    if (nowMs - this.#lastTickMs > SUSPENDED_MS) this.#lastPacketMs = nowMs;
    this.#lastTickMs = nowMs;
  }

  /**
   * @param {number} packets received so far
   * @param {boolean} noneExpected the other peer sends nothing, so a gap is no fault
   * @param {number} nowMs
   * @returns {boolean} whether the connection works
   */
  update(packets, noneExpected, nowMs) {
    if (packets <= this.#packets && !noneExpected) return false;
    this.#packets = Math.max(packets, this.#packets);
    this.#lastPacketMs = nowMs;
    return true;
  }

  /** @param {number} nowMs */
  stalled(nowMs) {
    return nowMs - this.#lastPacketMs > STALL_TIMEOUT_MS;
  }
}
