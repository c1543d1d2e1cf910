/**
 * nginx in front of the server under test, which serves it below a path.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitFor } from "./waitFor.mjs";

async function freePort() {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  return port;
}

export class Nginx {
  #folder = mkdtempSync(join(tmpdir(), "roomtone-nginx-"));
  #process;

  /** Chooses a port; nothing listens yet. */
  static async reserve() {
    const nginx = new Nginx();
    nginx.port = await freePort();
    return nginx;
  }

  /**
   * @param {string} location such as `/sub/`
   * @param {string} upstream what is asked instead: with a path, nginx puts it in place of the location
   */
  async start(location, upstream) {
    const file = join(this.#folder, "nginx.conf");
    writeFileSync(file, `
daemon off; master_process off; worker_processes 1; error_log stderr; pid ${this.#folder}/pid;
events { }
http {
  access_log off;
  client_body_temp_path ${this.#folder}; proxy_temp_path ${this.#folder}; fastcgi_temp_path ${this.#folder};
  uwsgi_temp_path ${this.#folder}; scgi_temp_path ${this.#folder};
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  server {
    listen 127.0.0.1:${this.port};
    location ${location} {
      proxy_pass ${upstream};
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }
  }
}
`);
    this.#process = spawn("nginx", ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    this.#process.stderr.setEncoding("utf8").on("data", (text) => { errors += text; });
    this.#process.on("error", (error) => { errors += String(error); });
    await waitFor("nginx", () => fetch(`http://127.0.0.1:${this.port}/`).catch(() => null)).catch((error) => {
      throw new Error(`${error.message}: ${errors}`);
    });
  }

  async kill() {
    if (this.#process?.exitCode === null) {
      const exited = once(this.#process, "exit");
      this.#process.kill("SIGKILL");
      await exited;
    }
    rmSync(this.#folder, { recursive: true });
  }
}
