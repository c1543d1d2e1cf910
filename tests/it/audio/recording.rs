//! Records what a capture delivers, with arrival and capture times, and finds devices of a test's own sound server.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roomtone::audio::pcm::CaptureFormat;
use roomtone::audio::sources::capture::{Capture, CaptureEvent, Finder};
use roomtone::audio::sources::device::{CaptureDevice, FindError};
use roomtone::audio::sources::openings::Openings;
use roomtone::audio::sources::pulse::host::{PulseDevice, PulseHost};
use roomtone::observe::metrics::Counter;

use crate::harness::sound_server::tone_hz;

/// A finder that asks the server anew at each opening.
pub fn finder(find: impl Fn() -> Result<PulseDevice, cpal::Error> + Send + Sync + 'static) -> Finder {
    Arc::new(move || find().map(CaptureDevice::from).map_err(|e| FindError::NoInput { why: e.to_string() }))
}

/// Finds the source `name`.
pub fn named(host: PulseHost, name: &'static str) -> Finder {
    finder(move || {
        let devices = host.list()?;
        let missing = || cpal::Error::new(cpal::ErrorKind::DeviceNotAvailable);
        devices.into_iter().find(|device| device.name() == name).ok_or_else(missing)
    })
}

pub fn open(finder: Finder, wanted_samples: u32) -> Capture {
    Capture::open(finder, wanted_samples, Counter::default(), "cap-test", &Openings::default())
}

/// What a capture delivered.
#[derive(Default)]
pub struct Recording {
    pub channels: [Vec<f32>; 2],
    /// When each block arrived, and how many samples per channel had arrived by then.
    arrivals: Vec<(Instant, usize)>,
    /// For each block: time from the capture of its last sample to its arrival.
    pub ages_ms: Vec<f64>,
    /// For each block: samples per channel.
    pub lengths: Vec<usize>,
    /// For each block: capture time of its first sample, and that sample's position in `channels`.
    pub captured: Vec<(Instant, usize)>,
    /// The reason of the failure that ended the capture.
    pub failed: Option<String>,
}

/// Waits for the first block. A null sink to which nothing plays renders two seconds ahead and then pauses, so this may
/// take two seconds.
pub fn wait_for_first_block(capture: &Capture) {
    let end = Instant::now() + Duration::from_secs(5);
    while let Ok(event) = capture.events().recv_deadline(end) {
        match event {
            CaptureEvent::Opened { .. } => {}
            CaptureEvent::Failed { reason } => panic!("{reason}"),
            CaptureEvent::Block(block) => return capture.give_back(block),
        }
    }
    panic!("no sound within five seconds");
}

impl Recording {
    /// Records for `limit`, or until the capture fails.
    pub fn record(capture: &Capture, limit: Duration) -> Recording {
        let mut recording = Recording::default();
        let end = Instant::now() + limit;
        while let Ok(event) = capture.events().recv_deadline(end) {
            match event {
                CaptureEvent::Opened { .. } => {}
                CaptureEvent::Failed { reason } => {
                    recording.failed = Some(reason);
                    break;
                }
                CaptureEvent::Block(block) => {
                    recording.add(&block.bytes, block.format, block.captured);
                    capture.give_back(block);
                }
            }
        }
        recording
    }

    fn add(&mut self, bytes: &[u8], format: CaptureFormat, captured: Instant) {
        let now = Instant::now();
        assert_eq!(format.channels, 2);
        let samples: Vec<f32> = match format.sample_format {
            cpal::SampleFormat::F32 => {
                bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
            }
            _ => bytes.chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0).collect(),
        };
        self.captured.push((captured, self.channels[0].len()));
        for pair in samples.chunks_exact(2) {
            self.channels[0].push(pair[0]);
            self.channels[1].push(pair[1]);
        }
        self.arrivals.push((now, self.channels[0].len()));
        let end_captured = captured + format.duration_of(bytes.len());
        let age = now.saturating_duration_since(end_captured).as_secs_f64();
        let early = end_captured.saturating_duration_since(now).as_secs_f64();
        self.ages_ms.push((age - early) * 1e3);
        self.lengths.push(samples.len() / 2);
    }

    /// The slope of the regression line through the arrivals, so that one late block at either end does not look like a
    /// loss.
    pub fn samples_per_second(&self) -> f64 {
        let origin = self.arrivals.first().expect("blocks arrived").0;
        let points = || self.arrivals.iter().map(|&(at, samples)| ((at - origin).as_secs_f64(), samples as f64));
        let count = self.arrivals.len() as f64;
        let mean_seconds = points().map(|(seconds, _)| seconds).sum::<f64>() / count;
        let mean_samples = points().map(|(_, samples)| samples).sum::<f64>() / count;
        let covariance: f64 = points().map(|(x, y)| (x - mean_seconds) * (y - mean_samples)).sum();
        let variance: f64 = points().map(|(x, _)| (x - mean_seconds).powi(2)).sum();
        covariance / variance
    }

    /// The frequency of the tone in a channel, without the silence before and after it.
    pub fn tone_hz(&self, channel: usize) -> f64 {
        let samples = &self.channels[channel];
        let loud = |sample: &f32| sample.abs() > 0.2;
        let first = samples.iter().position(loud).unwrap_or(0);
        let last = samples.iter().rposition(loud).unwrap_or(0);
        assert!(last > first + 24_000, "channel {channel} is silent");
        tone_hz(&samples[first..last])
    }
}

/// The value below which the given part of `values` is.
pub fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

/// Prints rate, block lengths and ages.
pub fn print_summary(buffer_samples: u32, recording: &Recording) {
    let lengths: Vec<f64> = recording.lengths.iter().map(|&length| length as f64).collect();
    println!(
        "buffer {buffer_samples}: {:.0} samples/s in blocks of {} to {}, last sample to reader p50 {:.2} p99 {:.2} max {:.2} ms",
        recording.samples_per_second(),
        percentile(&lengths, 0.01),
        percentile(&lengths, 0.99),
        percentile(&recording.ages_ms, 0.5),
        percentile(&recording.ages_ms, 0.99),
        percentile(&recording.ages_ms, 1.0),
    );
}
