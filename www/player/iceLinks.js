/**
 * STUN and TURN servers in the `Link` fields of a WHEP answer (RFC 9725, section 4.6). Pure.
 */

/** One link: its target, and its parameters as text (RFC 8288, section 3). */
const LINK = /<([^>]*)>((?:\s*;\s*[\w-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^\s",;]+))*)/g;
const PARAMETER = /;\s*([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",;]+))/g;
/** A browser rejects all servers if one URL has another scheme. */
const SERVER_URL = /^(?:stuns?|turns?):[^\s]+$/i;
/** More servers do not help, and each takes time. */
const MAX_SERVERS = 8;

/**
 * @param {string | null} field all `Link` fields, joined by commas as a browser joins them
 * @returns {RTCIceServer[]}
 */
export function iceServersFromLinks(field) {
  /** @type {RTCIceServer[]} */
  const servers = [];
  for (const [, urls, text] of (field ?? "").matchAll(LINK)) {
    const parameters = new Map([...text.matchAll(PARAMETER)].map(([, name, quoted, plain]) => (
      [name.toLowerCase(), quoted === undefined ? plain : quoted.replace(/\\(.)/g, "$1")]
    )));
    if (!(parameters.get("rel") ?? "").split(" ").includes("ice-server") || !SERVER_URL.test(urls)) continue;
    const [username, credential] = [parameters.get("username"), parameters.get("credential")];
    if (/^stun/i.test(urls)) servers.push({ urls });
    // With a TURN server that has no credentials, a browser rejects the other servers too.
    else if (username !== undefined && credential !== undefined) servers.push({ urls, username, credential });
  }
  return servers.slice(0, MAX_SERVERS);
}
