/**
 * A proxy that passes requests on and refuses WebSockets, as in some companies.
 */

import { once } from "node:events";
import { createServer, request } from "node:http";

export class HttpProxy {
  #server;

  /** @param {number} port of the server behind it */
  static async start(port) {
    const proxy = new HttpProxy();
    proxy.#server = createServer((incoming, response) => {
      const { method, url, headers } = incoming;
      const outgoing = request({ host: "127.0.0.1", port, method, path: url, headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      outgoing.on("error", () => response.destroy());
      incoming.pipe(outgoing);
    });
    proxy.#server.on("upgrade", (_, socket) => socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    proxy.origin = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  stop() {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
