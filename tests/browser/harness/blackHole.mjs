/**
 * A TCP proxy whose connections can fall silent without being closed, as after a laptop slept or a router forgot them.
 */

import { once } from "node:events";
import { connect, createServer } from "node:net";

export class BlackHole {
  /** @type {Set<import("node:net").Socket>} */
  #sockets = new Set();
  #listener;

  /** @param {number} port of the server behind it */
  static async start(port) {
    const hole = new BlackHole();
    hole.#listener = createServer((outside) => {
      const inside = connect(port, "127.0.0.1");
      for (const socket of [outside, inside]) {
        hole.#sockets.add(socket);
        socket.on("error", () => {});
        socket.on("close", () => {
          hole.#sockets.delete(socket);
          if (!socket.isSilent) [outside, inside].forEach((each) => each.destroy());
        });
      }
      outside.pipe(inside);
      inside.pipe(outside);
    }).listen(0, "127.0.0.1");
    await once(hole.#listener, "listening");
    hole.origin = `http://127.0.0.1:${hole.#listener.address().port}`;
    return hole;
  }

  /** Present connections pass nothing any more, and are not closed; new ones work. */
  silence() {
    for (const socket of this.#sockets) {
      socket.isSilent = true;
      socket.unpipe();
      socket.pause();
    }
  }

  stop() {
    this.#listener.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
