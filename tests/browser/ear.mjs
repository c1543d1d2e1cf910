/**
 * An ear in the page: taps the stream of the page's own `<audio>` element and measures it by Web Audio, apart from the
 * page's meters.
 */

/**
 * @typedef {object} Heard
 * @property {number} hz of the left channel: strongest bin, interpolated
 * @property {number[]} rms of left and right
 * @property {boolean} playing the element plays: not paused, not muted, its clock runs
 */

/**
 * Listens for a third of a second.
 * @param {import("puppeteer-core").Page} page
 * @returns {Promise<Heard>}
 */
export function hear(page) {
  return page.evaluate(async () => {
    const audio = document.querySelector("audio");
    const stream = audio.srcObject;
    const nothing = { hz: 0, rms: [0, 0], playing: false };
    if (stream === null) return nothing;

    const size = 16_384;
    const ear = (window.ear ??= { context: new AudioContext() });
    const { context } = ear;
    await context.resume();
    if (ear.stream !== stream) {
      ear.source?.disconnect();
      ear.stream = stream;
      ear.source = context.createMediaStreamSource(stream);
      const splitter = context.createChannelSplitter(2);
      ear.source.connect(splitter);
      // A stream decoded in mono leaves the splitter's second way silent, so this tells whether two channels came.
      ear.analysers = [0, 1].map((channel) => {
        const analyser = context.createAnalyser();
        analyser.fftSize = size;
        analyser.smoothingTimeConstant = 0;
        splitter.connect(analyser, channel);
        return analyser;
      });
    }
    const began = [context.currentTime, audio.currentTime];
    const end_ms = performance.now() + 2000;
    while (context.currentTime - began[0] < size / context.sampleRate + 0.05 && performance.now() < end_ms) {
      await new Promise((done) => setTimeout(done, 20));
    }

    const samples = new Float32Array(size);
    const rms = ear.analysers.map((analyser) => {
      analyser.getFloatTimeDomainData(samples);
      return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / size);
    });
    const bins = new Float32Array(size / 2);
    ear.analysers[0].getFloatFrequencyData(bins);
    let top = 1;
    for (let bin = 2; bin < bins.length - 1; bin += 1) if (bins[bin] > bins[top]) top = bin;
    const [below, at, above] = [bins[top - 1], bins[top], bins[top + 1]];
    const shift = (below - above) / (2 * (below - 2 * at + above)) || 0;
    return {
      hz: ((top + shift) * context.sampleRate) / size,
      rms,
      playing: !audio.paused && !audio.muted && audio.volume > 0 && audio.currentTime > began[1],
    };
  });
}
