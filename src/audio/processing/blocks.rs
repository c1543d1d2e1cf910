//! Turns captured blocks, which arrive irregularly or not at all, into blocks of one packet each, on time. Runs on the
//! encoder thread.
//!
//! Pure: time is an argument. After every change, poll [`Blocks::poll_output`] until it returns [`Output::Wait`]. The
//! invariant: one second of packets for one second of wall clock, whatever the source does. Missing sound is replaced
//! by silence when it is due. Sound that arrives after its silence, or in a burst after a stall, is dropped, so that no
//! stall leaves a delay behind. A source whose clock runs a little fast or slow is followed, not corrected: all its
//! samples are sent, and the listener's jitter buffer adapts to them as to any sender's clock.

use std::time::{Duration, Instant};

use crate::audio::pcm::{CaptureBlock, CaptureFormat, PcmBlock};
use crate::audio::processing::convert::Converter;
use crate::audio::processing::resample::Resampler;
use crate::media::packet::SAMPLE_RATE_HZ;

/// How late sound may be before silence replaces it. Short enough to stay within what a browser conceals, long enough
/// for the scheduler of a busy machine.
const SILENCE_AFTER: Duration = Duration::from_millis(60);

/// How far a source may run ahead of the wall clock before the surplus is dropped as a burst.
const BURST_LIMIT: Duration = Duration::from_millis(100);

/// The time constant, in seconds, with which `due` follows the source's own clock.
const CLOCK_TIME_CONSTANT_S: f64 = 10.0;

/// The most silence made at once. After the machine slept for hours, listeners need the right RTP time, not hours of
/// silence: the rest is skipped.
const MAX_SILENCE_SAMPLES: u64 = SAMPLE_RATE_HZ as u64;

/// What the caller of [`Blocks`] has to do next.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// Encode and send the sound of one packet, due now.
    Packet {
        /// Exactly as many samples as a packet has.
        pcm: PcmBlock,
        /// Position of its first sample since the station began to count, in samples per channel.
        position_samples: u64,
    },
    /// Call `handle_timeout` at that time, unless a block arrives before.
    Wait(Instant),
}

/// Collects captured sound, converts it, and cuts it into the samples of one packet each.
pub struct Blocks {
    channels: u16,
    packet_samples: u32,
    input: Option<Input>,
    /// Interleaved samples that do not fill a packet yet.
    pending: Vec<f32>,
    /// Position of the first sample in `pending`.
    position_samples: u64,
    /// When, by the wall clock, all sound up to the end of `pending` should have arrived.
    due: Instant,
    /// When the sample after the last in `pending` was, or will have been, captured.
    captured: Instant,
    /// Silence is being sent, packet by packet. Sound that arrives now must not overlap it.
    silent: bool,
    silence_samples: u64,
    late_samples: u64,
}

/// Converts the source's present format.
struct Input {
    format: CaptureFormat,
    converter: Converter,
    resampler: Option<Resampler>,
    converted: Vec<f32>,
}

impl Blocks {
    /// For packets of `packet_samples` per channel in `channels` (1 or 2) channels. The first sample has the position
    /// `first_position_samples`.
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

    /// Samples per channel of silence that replaced missing sound, since the last call.
    pub fn take_silence_samples(&mut self) -> u64 {
        std::mem::take(&mut self.silence_samples)
    }

    /// Samples per channel that were dropped because they arrived too late, since the last call.
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
        let skipped = missing.saturating_sub(MAX_SILENCE_SAMPLES) / packet * packet;
        self.position_samples += skipped;
        self.due += duration_of(skipped);
        let missing = missing - skipped;
        // So much that, together with `pending`, it fills whole packets.
        let pending = (self.pending.len() / usize::from(self.channels)) as u64;
        let silence = (missing + pending) / packet * packet - pending;
        self.pending.resize(self.pending.len() + silence as usize * usize::from(self.channels), 0.0);
        self.silence_samples += silence;
        self.due += duration_of(silence);
        self.captured = self.due;
    }

    /// What to do next.
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

    /// When silence must be sent if no sound arrives.
    fn deadline(&self) -> Instant {
        match self.silent {
            true => self.due + duration_of(u64::from(self.packet_samples)),
            false => self.due + SILENCE_AFTER,
        }
    }

    /// How many of `count` samples are too far ahead of the wall clock to be kept.
    fn surplus(&self, count: usize, now: Instant) -> usize {
        let end = self.due + duration_of(count as u64);
        let allowed = if self.silent { Duration::ZERO } else { BURST_LIMIT };
        (samples_in(end.saturating_duration_since(now + allowed)) as usize).min(count)
    }

    /// Moves `due` a little towards `now`, so that a source whose clock is fast or slow never counts as early or late.
    fn follow_clock(&mut self, count: usize, now: Instant) {
        let share = (duration_of(count as u64).as_secs_f64() / CLOCK_TIME_CONSTANT_S).min(1.0);
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

    /// Runs for `total_ms` of virtual time: `source(ms)` says how many samples arrive in that millisecond. Returns the
    /// packets as (time in ms, position, a sample).
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
    fn a_steady_source_is_cut_into_packets_without_a_gap() {
        let (packets, mut blocks) = run(10_000, |ms| if ms % 10 == 0 { 480 } else { 0 });
        assert_eq!(packets.len(), 500);
        assert!(packets.iter().enumerate().all(|(n, p)| p.1 == 960 * n as u64 && p.2 == 0.5));
        assert_eq!(blocks.take_silence_samples() + blocks.take_late_samples(), 0);
    }

    #[test]
    fn silence_replaces_a_source_that_stops_and_leaves_no_delay_when_it_resumes() {
        let is_running = |ms: u64| !(2_000..5_000).contains(&ms);
        let (packets, mut blocks) = run(10_000, |ms| if ms % 10 == 0 && is_running(ms) { 480 } else { 0 });
        assert!((499..=501).contains(&packets.len()), "{}", packets.len());
        let gaps = packets.windows(2).map(|w| w[1].0 - w[0].0).max().unwrap();
        assert!(gaps <= 80, "a gap of {gaps} ms");
        let silence = blocks.take_silence_samples();
        assert!((143_000..=147_000).contains(&silence), "{silence}");
        // Afterwards a packet is sent when its last sample arrives: nothing was queued up.
        let (last_ms, last_position, _) = *packets.last().unwrap();
        assert!((last_position + 960) / 48 <= last_ms + 1, "{last_position} at {last_ms} ms");
    }

    #[test]
    fn a_burst_after_a_stall_leaves_no_delay() {
        // Nothing for a second, then the whole second at once, again and again.
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
    fn a_source_with_a_fast_or_slow_clock_loses_no_samples_for_hours() {
        for per_block in [479, 480, 481] {
            let (packets, mut blocks) = run(3_600_000, |ms| if ms % 10 == 0 { per_block } else { 0 });
            assert_eq!(packets.len(), per_block * 360_000 / 960, "{per_block}");
            assert_eq!(blocks.take_silence_samples() + blocks.take_late_samples(), 0, "{per_block}");
        }
    }

    #[test]
    fn after_hours_of_sleep_packets_go_on_at_the_right_time_without_a_burst() {
        let start = Instant::now();
        let mut blocks = Blocks::new(1, 960, 0, start);
        blocks.handle_timeout(start + MS * 8 * 3_600_000);
        let mut packets = vec![];
        drain(&mut blocks, 0, &mut packets);
        assert!(packets.len() <= 51, "{}", packets.len());
        assert_eq!((packets.last().unwrap().1 + 960) / 48_000, 8 * 3_600);
    }

    #[test]
    fn a_source_that_never_starts_is_silence_from_the_start() {
        let (packets, _) = run(1_000, |_| 0);
        assert_eq!(packets.len(), 50);
        assert!(packets.iter().all(|p| p.2 == 0.0));
    }
}
