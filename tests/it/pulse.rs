//! Capturing from a real PulseAudio server, through the same door the station uses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cpal::platform::CustomDevice;
use roomtone::audio::capture::{Capture, CaptureEvent, Finder};
use roomtone::audio::device::{FindError, Found};
use roomtone::audio::pcm::CaptureFormat;
use roomtone::audio::pulse::{PulseDevice, PulseHost};
use roomtone::observe::metrics::StationMetrics;

use crate::sound_server::{SoundServer, tone_hz, write_impulses};

fn finder(find: impl Fn() -> Result<PulseDevice, cpal::Error> + Send + Sync + 'static) -> Finder {
    Arc::new(move || {
        let device = find().map_err(|e| FindError::NoInput { why: e.to_string() })?;
        Ok(Found::of(CustomDevice::from_device(device).into()))
    })
}

fn named(host: PulseHost, name: &'static str) -> Finder {
    finder(move || {
        let devices = host.list()?;
        let missing = || cpal::Error::new(cpal::ErrorKind::DeviceNotAvailable);
        devices.into_iter().find(|device| device.name() == name).ok_or_else(missing)
    })
}

fn open(finder: Finder, wanted_samples: u32) -> Capture {
    Capture::open(finder, wanted_samples, Arc::new(StationMetrics::default()), "cap-test")
}

/// What came out of a capture.
#[derive(Default)]
struct Heard {
    format: Option<CaptureFormat>,
    channels: [Vec<f32>; 2],
    /// First block's arrival to last block's, and the samples after the first block.
    span: Option<(Instant, Instant)>,
    samples_in_span: usize,
    /// Block by block: how long after its last sample was captured it arrived, in ms; and how long it is, in samples.
    ages_ms: Vec<f64>,
    lengths: Vec<usize>,
    /// Each block's first sample: captured when, and its position in `channels`.
    captured: Vec<(Instant, usize)>,
    failed: Option<String>,
}

impl Heard {
    fn listen(capture: &Capture, limit: Duration) -> Heard {
        let mut heard = Heard::default();
        let end = Instant::now() + limit;
        while let Ok(event) = capture.events().recv_deadline(end) {
            match event {
                CaptureEvent::Opened { format, .. } => heard.format = Some(format),
                CaptureEvent::Failed { reason, .. } => {
                    heard.failed = Some(reason);
                    break;
                }
                CaptureEvent::Block(block) => {
                    heard.take(&block.bytes, block.format, block.captured);
                    capture.give_back(block);
                }
            }
        }
        heard
    }

    fn take(&mut self, bytes: &[u8], format: CaptureFormat, captured: Instant) {
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
        let (first, last) = self.span.get_or_insert((now, now));
        if *first != now {
            self.samples_in_span += samples.len() / 2;
        }
        *last = now;
        let end_captured = captured + format.duration_of(bytes.len());
        let age = now.saturating_duration_since(end_captured).as_secs_f64();
        let early = end_captured.saturating_duration_since(now).as_secs_f64();
        self.ages_ms.push((age - early) * 1e3);
        self.lengths.push(samples.len() / 2);
    }

    fn samples_per_second(&self) -> f64 {
        let (first, last) = self.span.expect("blocks came");
        self.samples_in_span as f64 / (last - first).as_secs_f64()
    }

    /// The loud part of a channel, without its ragged ends.
    fn tone(&self, channel: usize) -> f64 {
        let samples = &self.channels[channel];
        let loud = |sample: &f32| sample.abs() > 0.2;
        let first = samples.iter().position(loud).unwrap_or(0);
        let last = samples.iter().rposition(loud).unwrap_or(0);
        tone_hz(samples.get(first + 480..last.saturating_sub(480)).unwrap_or(&[]))
    }
}

fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[((sorted.len() - 1) as f64 * part) as usize]
}

#[test]
fn what_the_host_plays_is_captured_whole_with_left_and_right_apart() {
    let server = SoundServer::start();
    let wav = server.tones(1000.0, 400.0, 12);
    let _player = server.play(&wav, "vout");
    for buffer_samples in [480, 240, 120] {
        let host = server.host();
        let capture = open(finder(move || host.loopback_device()), buffer_samples);
        let heard = Heard::listen(&capture, Duration::from_secs(3));
        assert_eq!(heard.failed, None);
        let rate = heard.samples_per_second();
        let ages = |part| percentile(&heard.ages_ms[4..], part);
        let lengths: Vec<f64> = heard.lengths.iter().map(|&length| length as f64).collect();
        println!(
            "buffer {buffer_samples}: {rate:.0} samples/s; last sample to taker p50 {:.2} p99 {:.2} max {:.2} ms; blocks of {} to {} samples",
            ages(0.5),
            ages(0.99),
            ages(1.0),
            percentile(&lengths, 0.0),
            percentile(&lengths, 1.0),
        );
        assert!((47_900.0..48_100.0).contains(&rate), "{rate} samples/s with a buffer of {buffer_samples}");
        assert!((heard.tone(0) - 1000.0).abs() < 1.0, "left: {} Hz", heard.tone(0));
        assert!((heard.tone(1) - 400.0).abs() < 1.0, "right: {} Hz", heard.tone(1));
    }
}
