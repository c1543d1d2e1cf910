//! From blocks that come when they come to packets that leave on time.
//!
//! Pure: time is an argument. After every change, poll [`Blocks::poll_output`] until it says [`Output::Wait`]. It keeps
//! one promise: one second of packets for one second of wall clock, whatever the source does. Sound that is missing is
//! replaced by silence when it is due; sound that comes after its silence, or in a burst after a stall, is dropped, so
//! that no stall leaves a delay behind. A source whose clock runs a little fast or slow is followed, not corrected: its
//! samples all go out, and the listener's jitter buffer adapts as it does to any sender's clock.

use std::time::{Duration, Instant};

use crate::audio::pcm::{CaptureBlock, CaptureFormat, PcmBlock};
use crate::audio::processing::convert::Converter;
use crate::audio::processing::resample::Resampler;
use crate::media::packet::SAMPLE_RATE_HZ;

/// How late sound may be before silence takes its place. Short enough to stay within what a browser conceals, long
/// enough for a busy machine's scheduler.
const SILENCE_AFTER: Duration = Duration::from_millis(60);

/// How far a source may run ahead of the wall clock before its surplus counts as a burst.
const BURST: Duration = Duration::from_millis(100);

/// How slowly the wall clock's idea of the source follows the source's own clock: in this many seconds.
const CLOCK_FOLLOWS_IN_S: f64 = 10.0;

/// Silence made up for at once. A host that slept for hours owes its listeners no hours of silence, only the right time.
const CATCH_UP_SAMPLES: u64 = SAMPLE_RATE_HZ as u64;

/// What [`Blocks`] wants done.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// A packet's worth of sound, due now.
    Packet {
        /// Exactly as many samples as a packet has.
        pcm: PcmBlock,
        /// Position of its first sample in the station, in samples per channel.
        position_samples: u64,
    },
    /// Nothing more until then, unless a block comes.
    Wait(Instant),
}

/// Collects, converts and cuts.
pub struct Blocks {
    channels: u16,
    packet_samples: u32,
    input: Option<Input>,
    /// Interleaved samples that do not make a packet yet.
    pending: Vec<f32>,
    /// Position of the first sample in `pending`.
    position_samples: u64,
    /// When, by the wall clock, all sound up to the end of `pending` should have been here.
    due: Instant,
    /// When the sample after the last in `pending` was, or will have been, captured.
    captured: Instant,
    /// Silence is being sent: it goes on packet by packet, and what comes must fit behind it.
    silent: bool,
    silence_samples: u64,
    late_samples: u64,
}

/// What the source's present format needs.
struct Input {
    format: CaptureFormat,
    converter: Converter,
    resampler: Option<Resampler>,
    converted: Vec<f32>,
}

impl Blocks {
    /// For packets of `packet_samples` per channel of `channels` (1 or 2) channels; `first_position_samples` is where the
    /// station begins to count.
    pub fn new(channels: u16, packet_samples: u32, first_position_samples: u64, now: Instant) -> Blocks {
        Blocks {
            channels,
            packet_samples,
            input: None,
            pending: vec![],
            position_samples: first_position_samples,
            due: now,
            captured: now,
            silent: false,
            silence_samples: 0,
            late_samples: 0,
        }
    }

    /// Samples per channel of silence sent for want of sound, since the last time this was asked.
    pub fn take_silence_samples(&mut self) -> u64 {
        std::mem::take(&mut self.silence_samples)
    }

    /// Samples per channel dropped because they came too late, since the last time this was asked.
    pub fn take_late_samples(&mut self) -> u64 {
        std::mem::take(&mut self.late_samples)
    }

    /// The source delivered a block, in any format.
    pub fn handle_capture(&mut self, block: &CaptureBlock, now: Instant) {
        let mut samples = vec![];
        let channels = self.channels;
        let input = match &mut self.input {
            Some(input) if input.format == block.format => input,
            other => other.insert(Input::new(block.format, channels)),
        };
        input.read(&block.bytes, &mut samples);
        self.handle_pcm(&samples, block.captured, now);
    }

    /// The source delivered 48 kHz samples, interleaved in as many channels as the packets have.
    pub fn handle_pcm(&mut self, samples: &[f32], captured: Instant, now: Instant) {
        let channels = usize::from(self.channels);
        let count = samples.len() / channels;
        let late = self.surplus(count, now);
        self.late_samples += late as u64;
        let kept = &samples[late * channels..count * channels];
        if kept.is_empty() {
            return;
        }
        self.silent = false;
        self.pending.extend_from_slice(kept);
        self.captured = captured + duration_of(count as u64);
        self.due += duration_of((count - late) as u64);
        self.follow_clock(count - late, now);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.deadline() {
            return;
        }
        self.silent = true;
        let packet = u64::from(self.packet_samples);
        let missing = samples_in(now.saturating_duration_since(self.due)).max(packet);
        let skipped = missing.saturating_sub(CATCH_UP_SAMPLES) / packet * packet;
        self.position_samples += skipped;
        self.due += duration_of(skipped);
        let missing = missing - skipped;
        // Whole packets, counted from the end of what is pending, so that each leaves full.
        let pending = (self.pending.len() / usize::from(self.channels)) as u64;
        let silence = (missing + pending) / packet * packet - pending;
        self.pending.resize(self.pending.len() + silence as usize * usize::from(self.channels), 0.0);
        self.silence_samples += silence;
        self.due += duration_of(silence);
        self.captured = self.due;
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        let wanted = self.packet_samples as usize * usize::from(self.channels);
        if self.pending.len() < wanted {
            return Output::Wait(self.deadline());
        }
        let behind = (self.pending.len() / usize::from(self.channels)) as u64;
        let captured = self.captured.checked_sub(duration_of(behind)).unwrap_or(self.captured);
        let rest = self.pending.split_off(wanted);
        let samples = std::mem::replace(&mut self.pending, rest);
        let position_samples = self.position_samples;
        self.position_samples += u64::from(self.packet_samples);
        Output::Packet { pcm: PcmBlock { samples, channels: self.channels, captured }, position_samples }
    }

    /// When silence must be sent if nothing comes.
    fn deadline(&self) -> Instant {
        match self.silent {
            true => self.due + duration_of(u64::from(self.packet_samples)),
            false => self.due + SILENCE_AFTER,
        }
    }

    /// How many of `count` samples come too much ahead of the wall clock to be kept.
    fn surplus(&self, count: usize, now: Instant) -> usize {
        let end = self.due + duration_of(count as u64);
        let allowed = if self.silent { Duration::ZERO } else { BURST };
        (samples_in(end.saturating_duration_since(now + allowed)) as usize).min(count)
    }

    fn follow_clock(&mut self, count: usize, now: Instant) {
        let share = (duration_of(count as u64).as_secs_f64() / CLOCK_FOLLOWS_IN_S).min(1.0);
        match self.due.checked_duration_since(now) {
            Some(ahead) => self.due -= ahead.mul_f64(share),
            None => self.due += now.saturating_duration_since(self.due).mul_f64(share),
        }
    }
}

impl Input {
    fn new(format: CaptureFormat, channels: u16) -> Input {
        let resampler = (format.rate_hz != SAMPLE_RATE_HZ).then(|| Resampler::new(format.rate_hz, channels).ok());
        Input { format, converter: Converter::new(format, channels), resampler: resampler.flatten(), converted: vec![] }
    }

    fn read(&mut self, bytes: &[u8], samples: &mut Vec<f32>) {
        match &mut self.resampler {
            None => self.converter.convert(bytes, samples),
            Some(resampler) => {
                self.converted.clear();
                self.converter.convert(bytes, &mut self.converted);
                resampler.resample(&self.converted, samples);
            }
        }
    }
}

fn duration_of(samples: u64) -> Duration {
    Duration::from_nanos(samples * 1_000_000_000 / u64::from(SAMPLE_RATE_HZ))
}

fn samples_in(duration: Duration) -> u64 {
    (duration.as_nanos() * u128::from(SAMPLE_RATE_HZ) / 1_000_000_000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Runs a station in virtual time: `source(ms)` says how many samples arrive in that millisecond.
    fn run(total_ms: u64, source: impl Fn(u64) -> usize) -> (Vec<(u64, u64, f32)>, Blocks) {
        let start = Instant::now();
        let mut blocks = Blocks::new(1, 960, 0, start);
        let mut packets = vec![];
        for ms in 1..=total_ms {
            let now = start + MS * ms as u32;
            let samples = source(ms);
            if samples > 0 {
                blocks.handle_pcm(&vec![0.5; samples], now - MS * 10, now);
                drain(&mut blocks, ms, &mut packets);
            }
            blocks.handle_timeout(now);
            drain(&mut blocks, ms, &mut packets);
        }
        (packets, blocks)
    }

    fn drain(blocks: &mut Blocks, ms: u64, packets: &mut Vec<(u64, u64, f32)>) {
        while let Output::Packet { pcm, position_samples } = blocks.poll_output() {
            assert_eq!(pcm.samples.len(), 960);
            packets.push((ms, position_samples, pcm.samples[480]));
        }
    }

    #[test]
    fn a_steady_source_is_cut_without_a_gap() {
        let (packets, mut blocks) = run(10_000, |ms| if ms % 10 == 0 { 480 } else { 0 });
        assert_eq!(packets.len(), 500);
        assert!(packets.iter().enumerate().all(|(n, p)| p.1 == 960 * n as u64 && p.2 == 0.5));
        assert_eq!(blocks.take_silence_samples() + blocks.take_late_samples(), 0);
    }

    #[test]
    fn a_source_that_stops_is_followed_by_silence_on_time_and_comes_back_without_delay() {
        let alive = |ms: u64| !(2_000..5_000).contains(&ms);
        let (packets, mut blocks) = run(10_000, |ms| if ms % 10 == 0 && alive(ms) { 480 } else { 0 });
        assert!((499..=501).contains(&packets.len()), "{}", packets.len());
        let gaps = packets.windows(2).map(|w| w[1].0 - w[0].0).max().unwrap();
        assert!(gaps <= 80, "a gap of {gaps} ms");
        let silence = blocks.take_silence_samples();
        assert!((143_000..=147_000).contains(&silence), "{silence}");
        // Afterwards a packet leaves when its last sample comes: nothing was queued up.
        let (last_ms, last_position, _) = *packets.last().unwrap();
        assert!((last_position + 960) / 48 <= last_ms + 1, "{last_position} at {last_ms} ms");
    }

    #[test]
    fn a_burst_after_a_stall_does_not_stay_as_delay() {
        // Nothing for a second, then the second comes at once, again and again.
        let (packets, _) = run(60_000, |ms| match ms % 5_000 {
            phase if phase < 4_000 && phase % 10 == 0 => 480,
            4_999 => 48_000,
            _ => 0,
        });
        let (last_ms, last_position, _) = *packets.last().unwrap();
        let ahead_ms = (last_position + 960) as i64 / 48 - last_ms as i64;
        assert!(ahead_ms.abs() <= 120, "{ahead_ms} ms ahead of the wall clock");
    }

    #[test]
    fn a_clock_that_runs_fast_or_slow_is_followed_for_hours_without_a_cut() {
        for per_block in [479, 480, 481] {
            let (packets, mut blocks) = run(3_600_000, |ms| if ms % 10 == 0 { per_block } else { 0 });
            assert_eq!(packets.len(), per_block * 360_000 / 960, "{per_block}");
            assert_eq!(blocks.take_silence_samples() + blocks.take_late_samples(), 0, "{per_block}");
        }
    }

    #[test]
    fn a_host_that_slept_for_hours_goes_on_at_the_right_time_without_a_flood() {
        let start = Instant::now();
        let mut blocks = Blocks::new(1, 960, 0, start);
        blocks.handle_timeout(start + MS * 8 * 3_600_000);
        let mut packets = vec![];
        drain(&mut blocks, 0, &mut packets);
        assert!(packets.len() <= 51, "{}", packets.len());
        assert_eq!((packets.last().unwrap().1 + 960) / 48_000, 8 * 3_600);
    }

    #[test]
    fn a_source_that_never_comes_is_silence_from_the_start() {
        let (packets, _) = run(1_000, |_| 0);
        assert_eq!(packets.len(), 50);
        assert!(packets.iter().all(|p| p.2 == 0.0));
    }
}
