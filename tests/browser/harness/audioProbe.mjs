/**
 * Measures what a page plays: analyses the stream of its `<audio>` element, and what it plays by Web Audio itself, independently
 * of the page's own meters.
 */

/** Runs in a page before its scripts: remembers which node plays. */
export function rememberOutput() {
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (target, ...which) {
    if (target === this.context.destination) window.outputNode = this;
    return connect.call(this, target, ...which);
  };
}

/**
 * @typedef {object} Measurement
 * @property {number[]} hz left and right: strongest frequency, interpolated
 * @property {number[]} rms left and right
 * @property {boolean} playing the element plays: not paused, not muted, its time advances
 */

/**
 * Measures for a third of a second.
 * @param {import("puppeteer-core").Page} page
 * @returns {Promise<Measurement>}
 */
export function measureAudio(page) {
  return page.evaluate(async () => {
    const audio = document.querySelector("audio");
    const stream = audio.srcObject;
    const nothing = { hz: [0, 0], rms: [0, 0], playing: false };
    if (stream === null) return nothing;

    const size = 16_384;
    const probe = (window.audioProbe ??= { context: new AudioContext() });
    const { context } = probe;
    await context.resume();
    const node = window.outputNode;
    if (probe.stream !== stream || probe.node !== node) {
      for (const source of probe.sources ?? []) source.disconnect();
      Object.assign(probe, { stream, node });
      const streams = [stream];
      if (node !== undefined) {
        const tap = new MediaStreamAudioDestinationNode(node.context);
        node.connect(tap);
        streams.push(tap.stream);
      }
      const splitter = context.createChannelSplitter(2);
      probe.sources = streams.map((each) => context.createMediaStreamSource(each));
      for (const source of probe.sources) source.connect(splitter);
      probe.analysers = [0, 1].map((channel) => {
        const analyser = context.createAnalyser();
        analyser.fftSize = size;
        analyser.smoothingTimeConstant = 0;
        splitter.connect(analyser, channel);
        return analyser;
      });
    }
    const start = [context.currentTime, audio.currentTime];
    const endMs = performance.now() + 2000;
    while (context.currentTime - start[0] < size / context.sampleRate + 0.05 && performance.now() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }

    const samples = new Float32Array(size);
    const rms = probe.analysers.map((analyser) => {
      analyser.getFloatTimeDomainData(samples);
      return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / size);
    });
    const bins = new Float32Array(size / 2);
    const hz = probe.analysers.map((analyser) => {
      analyser.getFloatFrequencyData(bins);
      let top = 1;
      for (let bin = 2; bin < bins.length - 1; bin += 1) if (bins[bin] > bins[top]) top = bin;
      const [below, at, above] = [bins[top - 1], bins[top], bins[top + 1]];
      const shift = (below - above) / (2 * (below - 2 * at + above)) || 0;
      return ((top + shift) * context.sampleRate) / size;
    });
    return {
      hz,
      rms,
      playing: !audio.paused && !audio.muted && audio.volume > 0 && audio.currentTime > start[1],
    };
  });
}

/**
 * Runs in the page. A sender in the page plays 500 Hz on the left and 1500 Hz on the right, always in stereo, to a receiver
 * whose description is edited by the pages' `withStereo`, which the test exposes to the page. The `<audio>` element plays what
 * arrives. The server's test tone cannot show whether a browser decodes in mono, because it is the same on both sides.
 */
export async function playTwoTones() {
  const context = new AudioContext();
  await context.resume();
  const merger = context.createChannelMerger(2);
  [500, 1500].forEach((hz, channel) => {
    const oscillator = new OscillatorNode(context, { frequency: hz });
    const gain = new GainNode(context, { gain: 0.25 });
    oscillator.connect(gain).connect(merger, 0, channel);
    oscillator.start();
  });
  const output = new MediaStreamAudioDestinationNode(context, { channelCount: 2 });
  merger.connect(output);

  const [sender, receiver] = [new RTCPeerConnection(), new RTCPeerConnection()];
  window.keepAlive = { context, sender, receiver };
  sender.onicecandidate = ({ candidate }) => receiver.addIceCandidate(candidate);
  const early = [];
  receiver.onicecandidate = ({ candidate }) => (sender.remoteDescription ? sender.addIceCandidate(candidate) : early.push(candidate));

  const { track } = receiver.addTransceiver("audio", { direction: "recvonly" }).receiver;
  const { sdp } = await receiver.createOffer();
  await receiver.setLocalDescription({ type: "offer", sdp: await window.withStereo(sdp) });
  const stereo = (text) => text.replace(/;(sprop-)?stereo=[01]/g, "").replace(/(a=fmtp:\d+ .*useinbandfec=1)/, "$1;stereo=1;sprop-stereo=1");
  await sender.setRemoteDescription({ type: "offer", sdp: stereo(sdp) });
  sender.addTrack(output.stream.getAudioTracks()[0], output.stream);
  await sender.setLocalDescription();
  for (const candidate of early) await sender.addIceCandidate(candidate);
  await receiver.setRemoteDescription({ type: "answer", sdp: stereo(sender.localDescription.sdp) });

  const audio = document.querySelector("audio");
  audio.srcObject = new MediaStream([track]);
  await audio.play();
}
