//! Capturing from a real PulseAudio server, through the same door the station uses.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roomtone::audio::pcm::CaptureFormat;
use roomtone::audio::sources::capture::{Capture, CaptureEvent, Finder};
use roomtone::audio::sources::device::{CaptureDevice, FindError};
use roomtone::audio::sources::pulse::host::{PulseDevice, PulseHost};
use roomtone::observe::metrics::Counter;

use crate::harness::sound_server::{SoundServer, tone_hz, write_impulses};

fn finder(find: impl Fn() -> Result<PulseDevice, cpal::Error> + Send + Sync + 'static) -> Finder {
    Arc::new(move || find().map(CaptureDevice::from).map_err(|e| FindError::NoInput { why: e.to_string() }))
}

fn named(host: PulseHost, name: &'static str) -> Finder {
    finder(move || {
        let devices = host.list()?;
        let missing = || cpal::Error::new(cpal::ErrorKind::DeviceNotAvailable);
        devices.into_iter().find(|device| device.name() == name).ok_or_else(missing)
    })
}

fn open(finder: Finder, wanted_samples: u32) -> Capture {
    Capture::open(finder, wanted_samples, Counter::default(), "cap-test")
}

/// What came out of a capture.
#[derive(Default)]
struct Heard {
    format: Option<CaptureFormat>,
    channels: [Vec<f32>; 2],
    /// When each block had arrived, and how many samples per channel had come by then.
    arrivals: Vec<(Instant, usize)>,
    /// Block by block: how long after its last sample was captured it arrived, in ms; and how long it is, in samples.
    ages_ms: Vec<f64>,
    lengths: Vec<usize>,
    /// Each block's first sample: captured when, and its position in `channels`.
    captured: Vec<(Instant, usize)>,
    failed: Option<String>,
}

/// Waits for the first block. A null sink that nothing plays to renders two seconds ahead and then rests, so it may
/// take as long.
fn wait_for_sound(capture: &Capture) {
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

impl Heard {
    fn listen(capture: &Capture, limit: Duration) -> Heard {
        let mut heard = Heard::default();
        let end = Instant::now() + limit;
        while let Ok(event) = capture.events().recv_deadline(end) {
            match event {
                CaptureEvent::Opened { format, .. } => heard.format = Some(format),
                CaptureEvent::Failed { reason } => {
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
        self.arrivals.push((now, self.channels[0].len()));
        let end_captured = captured + format.duration_of(bytes.len());
        let age = now.saturating_duration_since(end_captured).as_secs_f64();
        let early = end_captured.saturating_duration_since(now).as_secs_f64();
        self.ages_ms.push((age - early) * 1e3);
        self.lengths.push(samples.len() / 2);
    }

    /// The slope of the best line through the arrivals: one late block at either end says nothing about a loss.
    fn samples_per_second(&self) -> f64 {
        let origin = self.arrivals.first().expect("blocks came").0;
        let points = || self.arrivals.iter().map(|&(at, samples)| ((at - origin).as_secs_f64(), samples as f64));
        let count = self.arrivals.len() as f64;
        let mean_seconds = points().map(|(seconds, _)| seconds).sum::<f64>() / count;
        let mean_samples = points().map(|(_, samples)| samples).sum::<f64>() / count;
        let covariance: f64 = points().map(|(x, y)| (x - mean_seconds) * (y - mean_samples)).sum();
        let variance: f64 = points().map(|(x, _)| (x - mean_seconds).powi(2)).sum();
        covariance / variance
    }

    /// The loud part of a channel, without its ragged ends.
    fn tone(&self, channel: usize) -> f64 {
        let samples = &self.channels[channel];
        let loud = |sample: &f32| sample.abs() > 0.2;
        let first = samples.iter().position(loud).unwrap_or(0);
        let last = samples.iter().rposition(loud).unwrap_or(0);
        assert!(last > first + 24_000, "channel {channel} is silent");
        tone_hz(&samples[first..last])
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
    let wav = server.tones(1000.0, 400.0, 30);
    let _player = server.play(&wav, "vout");
    for buffer_samples in [480, 240, 120] {
        let host = server.host();
        let capture = open(finder(move || host.loopback_device()), buffer_samples);
        wait_for_sound(&capture);
        // The sink takes a moment to get from its own two seconds of latency to what is asked of it.
        Heard::listen(&capture, Duration::from_millis(300));
        // On a busy machine the server itself falls behind at times; a host that loses sound does so every time.
        let rates = (0..4).map(|_| {
            let heard = Heard::listen(&capture, Duration::from_secs(3));
            report(buffer_samples, &heard);
            assert_eq!(heard.failed, None);
            assert!((heard.tone(0) - 1000.0).abs() < 1.0, "left: {} Hz", heard.tone(0));
            assert!((heard.tone(1) - 400.0).abs() < 1.0, "right: {} Hz", heard.tone(1));
            heard.samples_per_second()
        });
        let whole = rates.into_iter().any(|rate| (47_900.0..48_100.0).contains(&rate));
        assert!(whole, "sound is lost with a buffer of {buffer_samples}");
    }
}

fn report(buffer_samples: u32, heard: &Heard) {
    let lengths: Vec<f64> = heard.lengths.iter().map(|&length| length as f64).collect();
    println!(
        "buffer {buffer_samples}: {:.0} samples/s in blocks of {} to {}, last sample to taker p50 {:.2} p99 {:.2} max {:.2} ms",
        heard.samples_per_second(),
        percentile(&lengths, 0.01),
        percentile(&lengths, 0.99),
        percentile(&heard.ages_ms, 0.5),
        percentile(&heard.ages_ms, 0.99),
        percentile(&heard.ages_ms, 1.0),
    );
}

#[test]
fn sound_carries_the_time_it_was_captured() {
    let server = SoundServer::start();
    let fifo = server.microphone();
    for buffer_samples in [480, 240, 120] {
        let path = fifo.clone();
        let writer = std::thread::spawn(move || write_impulses(&path, 20));
        let capture = open(named(server.host(), "mic"), buffer_samples);
        let heard = Heard::listen(&capture, Duration::from_millis(2_200));
        report(buffer_samples, &heard);
        check_capture_times(&heard, &writer.join().expect("the writer ran"));
    }
}

fn check_capture_times(heard: &Heard, written: &[Instant]) {
    let onsets =
        (1..heard.channels[0].len()).filter(|&n| heard.channels[0][n] > 0.2 && heard.channels[0][n - 1] <= 0.2);
    let errors_ms: Vec<f64> = onsets
        .filter_map(|onset| {
            let (captured, first) = heard.captured.iter().rev().find(|(_, first)| *first <= onset)?;
            let captured = *captured + Duration::from_secs_f64((onset - first) as f64 / 48_000.0);
            let distance = |written: &Instant| {
                captured.saturating_duration_since(*written).as_secs_f64()
                    - written.saturating_duration_since(captured).as_secs_f64()
            };
            written.iter().map(distance).min_by(|a, b| a.abs().total_cmp(&b.abs())).map(|seconds| seconds * 1e3)
        })
        .collect();
    assert!(errors_ms.len() >= 14, "{} impulses of 20 came", errors_ms.len());
    let settled = &errors_ms[4..];
    println!(
        "capture time less time of writing: p10 {:.2} p50 {:.2} p90 {:.2} ms",
        percentile(settled, 0.1),
        percentile(settled, 0.5),
        percentile(settled, 0.9),
    );
    assert!(percentile(settled, 0.5).abs() < 8.0, "{errors_ms:?}");
}

#[test]
fn a_source_that_is_taken_away_is_reported_within_a_second() {
    let server = SoundServer::start();
    // Another sink first, so that the server could move the stream instead of ending it.
    let module = server.pactl(&["load-module", "module-null-sink", "sink_name=gone"]);
    let capture = open(named(server.host(), "gone.monitor"), 480);
    wait_for_sound(&capture);

    let unloaded = Instant::now();
    server.pactl(&["unload-module", &module]);
    let heard = Heard::listen(&capture, Duration::from_secs(5));
    let reason = heard.failed.expect("a failure is reported");
    println!("source removed: {:.0} ms, {reason}", unloaded.elapsed().as_secs_f64() * 1e3);
    assert!(unloaded.elapsed() < Duration::from_secs(1));
    assert!(reason.contains("gone.monitor"), "{reason}");
}

#[test]
fn a_server_that_is_killed_is_reported_and_works_again_after_its_restart() {
    let mut server = SoundServer::start();
    let finder = named(server.host(), "vout.monitor");
    let capture = open(finder.clone(), 480);
    wait_for_sound(&capture);

    let killed = Instant::now();
    server.kill();
    let heard = Heard::listen(&capture, Duration::from_secs(5));
    assert!(heard.failed.is_some());
    println!("server killed: {:.0} ms, {:?}", killed.elapsed().as_secs_f64() * 1e3, heard.failed);
    assert!(killed.elapsed() < Duration::from_secs(1));

    let meanwhile = Heard::listen(&open(finder.clone(), 480), Duration::from_secs(5));
    assert!(meanwhile.failed.is_some(), "an opening without a server fails");

    server.restart();
    let capture = open(finder, 480);
    wait_for_sound(&capture);
    let heard = Heard::listen(&capture, Duration::from_secs(1));
    assert_eq!(heard.failed, None);
    assert!(heard.channels[0].len() > 24_000, "{} samples", heard.channels[0].len());
}

#[test]
fn a_server_that_hangs_makes_nobody_wait() {
    let server = SoundServer::start();
    let running = open(named(server.host(), "vout.monitor"), 480);
    wait_for_sound(&running);

    server.freeze();
    let frozen = Instant::now();
    let opening = open(named(server.host(), "vout.monitor"), 480);
    drop(running);
    assert!(frozen.elapsed() < Duration::from_millis(100), "{:?}", frozen.elapsed());

    // Each of these leaves a connection in the server's backlog; when that is full, connecting hangs too.
    let heard = Heard::listen(&opening, Duration::from_secs(8));
    let reason = heard.failed.expect("the opening is given up");
    assert!(reason.contains("does not answer"), "{reason}");
    for _ in 0..12 {
        drop(open(named(server.host(), "vout.monitor"), 480));
    }
    std::thread::sleep(Duration::from_millis(200));
    let full = Instant::now();
    server.host().list().expect_err("nobody answers");
    assert!(full.elapsed() < Duration::from_secs(5), "{:?}", full.elapsed());

    server.thaw();
    wait_for_sound(&open(named(server.host(), "vout.monitor"), 480));
}

#[test]
fn a_default_that_moves_ends_the_stream_so_that_the_new_one_is_opened() {
    let server = SoundServer::start();
    server.pactl(&["set-default-sink", "vout"]);
    let host = server.host();
    let loopback = finder(move || host.loopback_device());
    let capture = open(loopback.clone(), 480);
    wait_for_sound(&capture);

    server.pactl(&["load-module", "module-null-sink", "sink_name=headset", "rate=48000"]);
    // Another sink alone is no reason to change.
    assert!(Heard::listen(&capture, Duration::from_millis(300)).failed.is_none());
    server.pactl(&["set-default-sink", "headset"]);
    let reason = Heard::listen(&capture, Duration::from_secs(2)).failed.expect("the move is reported");
    assert!(reason.contains("headset"), "{reason}");

    let wav = server.tones(700.0, 700.0, 12);
    let _player = server.play(&wav, "headset");
    let capture = open(loopback, 480);
    wait_for_sound(&capture);
    let heard = Heard::listen(&capture, Duration::from_secs(4));
    assert!((heard.tone(0) - 700.0).abs() < 1.0, "{} Hz", heard.tone(0));
}

#[test]
fn a_suspended_source_is_silent_and_comes_back_by_itself() {
    let server = SoundServer::start();
    let capture = open(named(server.host(), "vout.monitor"), 480);
    wait_for_sound(&capture);
    server.pactl(&["suspend-sink", "vout", "1"]);
    Heard::listen(&capture, Duration::from_millis(200));
    let suspended = Heard::listen(&capture, Duration::from_millis(500));
    assert!(suspended.failed.is_none() && suspended.captured.is_empty());
    server.pactl(&["suspend-sink", "vout", "0"]);
    wait_for_sound(&capture);
    let resumed = Heard::listen(&capture, Duration::from_secs(1));
    assert!(resumed.failed.is_none() && resumed.channels[0].len() > 24_000, "{}", resumed.channels[0].len());
    let newest = percentile(&resumed.ages_ms[8..], 0.5);
    assert!(newest.abs() < 50.0, "capture times are {newest} ms off after the pause");
}

#[test]
fn the_list_names_the_default_and_the_monitors() {
    let server = SoundServer::start();
    let _fifo = server.microphone();
    server.pactl(&["set-default-source", "mic"]);
    let devices = server.host().list().expect("the server answers");
    let mic = devices.iter().find(|device| device.name() == "mic").expect("mic");
    let monitor = devices.iter().find(|device| device.name() == "vout.monitor").expect("the monitor");
    assert!(mic.is_default() && !mic.is_monitor());
    assert!(!monitor.is_default() && monitor.is_monitor());
    assert_eq!(server.host().loopback_device().expect("a loopback").name(), "vout.monitor");
    assert_eq!(server.host().input_device().expect("an input").name(), "mic");
}

#[test]
fn many_channels_are_capped_and_odd_rates_kept() {
    let server = SoundServer::start();
    server.pactl(&["load-module", "module-null-sink", "sink_name=wide", "channels=12", "rate=44100"]);
    let capture = open(named(server.host(), "wide.monitor"), 480);
    wait_for_sound(&capture);
    let mut bytes = 0;
    let mut format = None;
    let end = Instant::now() + Duration::from_secs(2);
    while let Ok(event) = capture.events().recv_deadline(end) {
        match event {
            CaptureEvent::Opened { .. } => {}
            CaptureEvent::Block(block) => {
                bytes += block.bytes.len();
                format = Some(block.format);
                capture.give_back(block);
            }
            CaptureEvent::Failed { reason } => panic!("{reason}"),
        }
    }
    let format = format.expect("blocks came");
    assert_eq!((format.rate_hz, format.channels), (44_100, 8));
    let seconds = format.duration_of(bytes).as_secs_f64();
    assert!((1.5..2.1).contains(&seconds), "{seconds} s of sound in two seconds");
}

#[test]
fn every_greeting_is_accepted() {
    let server = SoundServer::start();
    // The server asks the kernel who its client is only after accepting, which a quick client can outrun when both are
    // on processors of their own.
    let greet = || (0..500).filter(|_| server.host().list().is_err()).count();
    let refused: usize = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(greet)).collect();
        clients.into_iter().map(|client| client.join().expect("it ran")).sum()
    });
    assert_eq!(refused, 0, "of 2000 greetings");
}
