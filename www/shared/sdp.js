/**
 * Edits of Opus parameters in SDP text. Pure: no browser needed.
 *
 * This is not a parser. Each function changes a few lines and leaves every other byte as it was, because a browser accepts
 * its own description back only if nothing else in it has changed.
 */

const CRLF = "\r\n";

/**
 * Lines of an SDP text, without the empty one after the last line end.
 * @param {string} sdp
 * @returns {string[]}
 */
export function linesOf(sdp) {
  return sdp.split(/\r\n|\n/).filter((line) => line !== "");
}

/**
 * @param {string[]} lines
 * @returns {string}
 */
export function textOf(lines) {
  return lines.join(CRLF) + CRLF;
}

/**
 * Value of the first line that begins with `prefix`, or null.
 * @param {string} sdp
 * @param {string} prefix such as `a=mid:`
 * @returns {string | null}
 */
export function valueOf(sdp, prefix) {
  const line = linesOf(sdp).find((each) => each.startsWith(prefix));
  return line === undefined ? null : line.slice(prefix.length);
}

/**
 * Index of the first media section (`m=`) after a line, or -1.
 * @param {string[]} lines
 * @param {number} after
 * @returns {number}
 */
export function nextSection(lines, after) {
  return lines.findIndex((line, at) => at > after && line.startsWith("m="));
}

/** @param {string} line @returns {string | undefined} the payload type if this line maps one to Opus */
const opusPayloadType = (line) => /^a=rtpmap:(\d+) opus\/48000/i.exec(line)?.[1];

/**
 * Changes the format parameters of Opus in every media section (RFC 7587, section 6.1).
 * @param {string} sdp
 * @param {Record<string, string | null>} parameters replaced, or removed where the value is null
 * @returns {string}
 */
function withOpusParameters(sdp, parameters) {
  const lines = linesOf(sdp);
  const added = Object.entries(parameters).flatMap(([name, value]) => (value === null ? [] : [`${name}=${value}`]));
  // A payload type means the same codec in the whole bundle, but each media section repeats its parameters.
  for (let map = 0; map < lines.length; map += 1) {
    const payloadType = opusPayloadType(lines[map]);
    if (payloadType === undefined) continue;
    const prefix = `a=fmtp:${payloadType} `;
    const next = nextSection(lines, map);
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
 * Asks for stereo: `stereo=1` says what we prefer to receive. Chrome configures its decoder by its own offer: without the
 * parameter it plays a stereo stream in mono (RFC 7587, section 6.1).
 * @param {string} sdp our offer
 * @returns {string}
 */
export function withStereo(sdp) {
  return withOpusParameters(sdp, { stereo: "1", "sprop-stereo": "1" });
}

/**
 * Asks for NACK with Opus, so that lost packets are sent again (RFC 4585, section 4.2). No browser offers it for audio by
 * itself. Chromium then sends NACKs; Firefox accepts the line and sends none.
 * @param {string} sdp our offer
 * @returns {string}
 */
export function withNack(sdp) {
  const lines = linesOf(sdp);
  return textOf(lines.flatMap((line, at) => {
    const payloadType = opusPayloadType(line);
    if (payloadType === undefined) return [line];
    const feedback = `a=rtcp-fb:${payloadType} nack`;
    const next = nextSection(lines, at);
    return lines.slice(at, next === -1 ? undefined : next).includes(feedback) ? [line] : [line, feedback];
  }));
}

/**
 * Opus in stereo at up to this bitrate. In our own description this is what we prefer to receive; in the remote one, what
 * we send.
 * @param {string} sdp
 * @param {number} bitrateBps
 * @returns {string}
 */
export function withMusic(sdp, bitrateBps) {
  return withOpusParameters(sdp, { stereo: "1", "sprop-stereo": "1", maxaveragebitrate: String(bitrateBps) });
}

/**
 * The remote description without the parameters that would make us send speech in stereo, or at a bitrate for music.
 * @param {string} sdp
 * @param {number} bitrateBps
 * @returns {string}
 */
export function withSpeech(sdp, bitrateBps) {
  return withOpusParameters(sdp, { stereo: null, "sprop-stereo": null, maxaveragebitrate: String(bitrateBps) });
}

/**
 * The session id of a description: it stays the same as long as an RTCPeerConnection exists (RFC 8829, section 5.2.1).
 * @param {string} sdp
 * @returns {string | null}
 */
export function sessionIdOf(sdp) {
  return valueOf(sdp, "o=")?.split(" ")[1] ?? null;
}
