/**
 * STUN and TURN servers that a WHEP answer names in its `Link` fields (RFC 9725, section 4.6). Pure.
 */

/** One link: its target, and its parameters as they stand (RFC 8288, section 3). */
const LINK = /<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;]+))*)/g;
const PARAMETER = /;\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+))/g;
/** A browser refuses all when one is of another kind. */
const SERVER = /^(?:stuns?|turns?):[^\s]+$/i;
/** More are of no use, and each costs time. */
const AT_MOST = 8;

/**
 * @param {string | null} field all of them, joined by commas as a browser joins them
 * @returns {RTCIceServer[]}
 */
export function iceServersOf(field) {
  /** @type {RTCIceServer[]} */
  const servers = [];
  for (const [, urls, parameters] of (field ?? "").matchAll(LINK)) {
    const said = new Map([...parameters.matchAll(PARAMETER)].map(([, name, quoted, plain]) => (
      [name.toLowerCase(), quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1")]
    )));
    if (!(said.get("rel") ?? "").split(" ").includes("ice-server") || !SERVER.test(urls)) continue;
    const [username, credential] = [said.get("username"), said.get("credential")];
    if (/^stun/i.test(urls)) servers.push({ urls });
    // A TURN server without credentials would make the browser refuse the others too.
    else if (username !== undefined && credential !== undefined) servers.push({ urls, username, credential });
  }
  return servers.slice(0, AT_MOST);
}
