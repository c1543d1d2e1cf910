/**
 * Edits of SDP as text: pure functions, no browser needed.
 *
 * Not a parser. Each function finds the few lines it is about and leaves every other byte as it came, because a browser
 * takes back its own description only when nothing else in it has changed.
 */

const CRLF = "\r\n";

/**
 * Lines of an SDP text, without the empty one after the last line end.
 * @param {string} sdp
 * @returns {string[]}
 */
function linesOf(sdp) {
  return sdp.split(/\r\n|\n/).filter((line) => line !== "");
}

/**
 * @param {string[]} lines
 * @returns {string}
 */
function textOf(lines) {
  return lines.join(CRLF) + CRLF;
}

/**
 * Value of the first line that begins with `prefix`, or null.
 * @param {string} sdp
 * @param {string} prefix such as `a=mid:`
 * @returns {string | null}
 */
function valueOf(sdp, prefix) {
  const line = linesOf(sdp).find((each) => each.startsWith(prefix));
  return line === undefined ? null : line.slice(prefix.length);
}

/**
 * Changes the parameters of Opus wherever it is offered (RFC 7587, section 6.1).
 * @param {string} sdp
 * @param {Record<string, string | null>} parameters those named are replaced, or with null removed
 * @returns {string}
 */
function withOpus(sdp, parameters) {
  const lines = linesOf(sdp);
  const added = Object.entries(parameters).flatMap(([name, value]) => (value === null ? [] : [`${name}=${value}`]));
  // A payload type means one codec throughout a bundle, yet each media section says so again.
  for (let map = 0; map < lines.length; map += 1) {
    const payload = /^a=rtpmap:(\d+) opus\/48000/i.exec(lines[map])?.[1];
    if (payload === undefined) continue;
    const prefix = `a=fmtp:${payload} `;
    const next = lines.findIndex((line, at) => at > map && line.startsWith("m="));
    const at = lines.findIndex((line, index) => index > map && (next === -1 || index < next) && line.startsWith(prefix));
    const others = at === -1 ? [] : lines[at]
      .slice(prefix.length)
      .split(";")
      .map((parameter) => parameter.trim())
      .filter((parameter) => parameter !== "" && !(parameter.split("=")[0].toLowerCase() in parameters));
    const all = [...others, ...added];
    if (at === -1 && all.length > 0) lines.splice(map + 1, 0, prefix + all.join(";"));
    else if (at !== -1 && all.length > 0) lines[at] = prefix + all.join(";");
    else if (at !== -1) lines.splice(at, 1);
  }
  return textOf(lines);
}

/**
 * Asks for two channels of Opus: `stereo=1` says what we like to receive, and Chrome sets its decoder up by its own offer,
 * so without it the sound arrives in stereo and is played in mono (RFC 7587, section 6.1).
 * @param {string} sdp our offer
 * @returns {string}
 */
export function withStereo(sdp) {
  return withOpus(sdp, { stereo: "1", "sprop-stereo": "1" });
}

/**
 * Asks for NACK with Opus: whoever reports a packet missing gets it again (RFC 4585, section 4.2). No browser offers that
 * for sound by itself. Chromium then does it; Firefox takes the line and does nothing.
 * @param {string} sdp our offer
 * @returns {string}
 */
export function withNack(sdp) {
  const lines = linesOf(sdp);
  return textOf(lines.flatMap((line, at) => {
    const payload = /^a=rtpmap:(\d+) opus\/48000/i.exec(line)?.[1];
    if (payload === undefined) return [line];
    const feedback = `a=rtcp-fb:${payload} nack`;
    const next = lines.findIndex((each, index) => index > at && each.startsWith("m="));
    return lines.slice(at, next === -1 ? undefined : next).includes(feedback) ? [line] : [line, feedback];
  }));
}

/**
 * Opus in two channels at up to so many bits per second. In our own description it is what we like to receive; in theirs,
 * what we send.
 * @param {string} sdp
 * @param {number} bitrate_bps
 * @returns {string}
 */
export function withMusic(sdp, bitrate_bps) {
  return withOpus(sdp, { stereo: "1", "sprop-stereo": "1", maxaveragebitrate: String(bitrate_bps) });
}

/**
 * Their description with nothing in it that would make us send speech in two channels, or at a rate for music.
 * @param {string} sdp
 * @param {number} bitrate_bps
 * @returns {string}
 */
export function withVoice(sdp, bitrate_bps) {
  return withOpus(sdp, { stereo: null, "sprop-stereo": null, maxaveragebitrate: String(bitrate_bps) });
}

/**
 * What an RTCPeerConnection is known by as long as it lives: the session id of its descriptions (RFC 8829, section 5.2.1).
 * @param {string} sdp
 * @returns {string | null}
 */
export function sessionOf(sdp) {
  return valueOf(sdp, "o=")?.split(" ")[1] ?? null;
}

/**
 * @typedef {object} Fragment What a PATCH of a session says (RFC 8840, section 9; RFC 9725, section 4.3).
 * @property {string} ufrag
 * @property {string} pwd
 * @property {string} media the `m=` line's value, such as `audio 9 UDP/TLS/RTP/SAVPF 111`
 * @property {string} mid
 * @property {string[]} candidates each as `candidate:…`
 * @property {boolean} complete true when no further candidate will come
 */

/**
 * Reads the first media section of a description, or of a fragment.
 * @param {string} sdp
 * @returns {Fragment | null} null when it carries no ICE credentials
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
 * The answer to an ICE restart: the last answer, with the credentials and candidates of the fragment the server returned.
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
  const media = lines.findIndex((line) => line.startsWith("m="));
  const next = lines.findIndex((line, at) => at > media && line.startsWith("m="));
  lines.splice(next === -1 ? lines.length : next, 0, ...candidates);
  return textOf(lines);
}
