/**
 * SDP fragments: the bodies of a WHEP session's PATCH requests (RFC 8840, section 9; RFC 9725, section 4.3). Pure.
 */

import { linesOf, nextSection, textOf, valueOf } from "../shared/sdp.js";

/**
 * @typedef {object} Fragment
 * @property {string} ufrag
 * @property {string} pwd
 * @property {string} media the `m=` line's value, such as `audio 9 UDP/TLS/RTP/SAVPF 111`
 * @property {string} mid
 * @property {string[]} candidates each as `candidate:…`
 * @property {boolean} complete no further candidate follows
 */

/**
 * Reads the first media section of a description, or of a fragment.
 * @param {string} sdp
 * @returns {Fragment | null} null if it has no ICE credentials
 */
export function readFragment(sdp) {
  const ufrag = valueOf(sdp, "a=ice-ufrag:");
  const pwd = valueOf(sdp, "a=ice-pwd:");
  if (ufrag === null || pwd === null) return null;
  return {
    ufrag,
    pwd,
    media: valueOf(sdp, "m=") ?? "audio 9 UDP/TLS/RTP/SAVPF 0",
    mid: valueOf(sdp, "a=mid:") ?? "0",
    candidates: linesOf(sdp)
      .filter((line) => line.startsWith("a=candidate:"))
      .map((line) => line.slice(2)),
    complete: linesOf(sdp).includes("a=end-of-candidates"),
  };
}

/**
 * Text of an `application/trickle-ice-sdpfrag` body.
 * @param {Fragment} fragment
 * @returns {string}
 */
export function writeFragment({ ufrag, pwd, media, mid, candidates, complete }) {
  return textOf([
    `m=${media}`,
    `a=mid:${mid}`,
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    ...candidates.map((candidate) => `a=${candidate}`),
    ...(complete ? ["a=end-of-candidates"] : []),
  ]);
}

/**
 * The answer to an ICE restart: the previous answer, with credentials and candidates of the fragment that the server
 * returned.
 * @param {string} answer the remote description in force
 * @param {Fragment} fragment
 * @returns {string}
 */
export function withRestart(answer, fragment) {
  const lines = linesOf(answer)
    .filter((line) => !line.startsWith("a=candidate:") && line !== "a=end-of-candidates")
    .map((line) => {
      if (line.startsWith("a=ice-ufrag:")) return `a=ice-ufrag:${fragment.ufrag}`;
      if (line.startsWith("a=ice-pwd:")) return `a=ice-pwd:${fragment.pwd}`;
      return line;
    });
  const candidates = fragment.candidates.map((candidate) => `a=${candidate}`);
  if (fragment.complete) candidates.push("a=end-of-candidates");

  // Candidates belong to a media section; with everything bundled, that is the first one.
  const second = nextSection(lines, nextSection(lines, -1));
  lines.splice(second === -1 ? lines.length : second, 0, ...candidates);
  return textOf(lines);
}
