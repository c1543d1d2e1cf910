/**
 * The server under test: the real binary, with its own state folder.
 */

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { waitFor } from "./waitFor.mjs";

const BINARY = process.env.ROOMTONE_BIN ?? fileURLToPath(new URL("../../../target/debug/roomtone", import.meta.url));

/** Pages from a folder instead of the binary's own, to work on them without a new build. */
const WWW = process.env.ROOMTONE_WWW;

export class Server {
  #process;
  #log = "";

  /**
   * Starts the binary with a test tone and waits until it answers.
   * @param {number} port 0 for any free port
   * @param {string[]} flags further command line flags
   */
  static async start(port = 0, flags = []) {
    if (!existsSync(BINARY)) throw new Error(`no binary at ${BINARY}: build it, or set ROOMTONE_BIN`);
    const server = new Server(port, flags);
    server.port = await waitFor("the address in the log", () => server.#loggedPort());
    server.origin = `http://127.0.0.1:${server.port}`;
    await waitFor("an answer of the server", () => server.status());
    return server;
  }

  /**
   * @param {number} port
   * @param {string[]} moreFlags
   */
  constructor(port, moreFlags) {
    // With its own state folder, the tests neither read nor write the user's tokens.
    this.stateDir = mkdtempSync(join(tmpdir(), "roomtone-browser-test-"));
    const flags = ["--sine-wave", "--port", String(port), "--log-file", "none", "--state-dir", this.stateDir, ...moreFlags];
    if (WWW !== undefined) flags.push("--www", WWW);
    this.#process = spawn(BINARY, flags, { stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => { this.#log += text; });
    }
    this.#process.on("error", (error) => { this.#log += String(error); });
    this.exited = once(this.#process, "exit");
  }

  #loggedPort() {
    if (this.#process.exitCode !== null) throw new Error(`the server exited at once:\n${this.#log}`);
    const found = /https?:\/\/\S*?:(\d+)/.exec(this.#log);
    return found === null ? null : Number(found[1]);
  }

  /**
   * Creates an invitation.
   * @param {string[]} flags of `roomtone invite`
   * @returns {string} the token of the link
   */
  invite(...flags) {
    return this.#run("invite", ...flags).match(/#t=(\S+)/)[1];
  }

  /** Withdraws an invitation. The first half of a token has its id. @param {string} token */
  revoke(token) {
    const { id } = JSON.parse(Buffer.from(token.split(".")[0], "base64url").toString());
    this.#run("revoke", id);
  }

  /** @param {string[]} args */
  #run(...args) {
    return execFileSync(BINARY, [...args, "--state-dir", this.stateDir], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  }

  /** The body of `/api/status`, or null while the server does not answer. Set `adminToken` for a private server. */
  async status() {
    try {
      const headers = this.adminToken === undefined ? {} : { Authorization: `Bearer ${this.adminToken}` };
      return await (await fetch(`${this.origin}/api/status`, { headers })).json();
    } catch {
      return null;
    }
  }

  async listeners() {
    return (await this.status())?.stations[0].listeners;
  }

  /** Ends the process without a shutdown, as a power failure does. */
  async kill() {
    if (this.#process.exitCode === null && this.#process.signalCode === null) this.#process.kill("SIGKILL");
    await this.exited;
    rmSync(this.stateDir, { recursive: true, force: true });
  }
}
