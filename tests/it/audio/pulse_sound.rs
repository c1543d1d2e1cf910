//! What is captured from a real PulseAudio server: complete, with left and right apart, with true capture times. Opened
//! as a station opens its source.

use std::time::{Duration, Instant};

use roomtone::audio::sources::capture::CaptureEvent;

use crate::audio::recording::{Recording, finder, named, open, percentile, print_summary, wait_for_first_block};
use crate::harness::sound_server::{SoundServer, write_impulses};

#[test]
fn what_the_machine_plays_is_captured_without_loss_with_left_and_right_apart() {
    let server = SoundServer::start();
    let wav = server.tones(1000.0, 400.0, 30);
    let _player = server.play(&wav, "vout");
    for buffer_samples in [480, 240, 120] {
        let host = server.host();
        let capture = open(finder(move || host.loopback_device()), buffer_samples);
        wait_for_first_block(&capture);
        // The sink needs a moment to get from its own latency of two seconds to the requested one.
        Recording::record(&capture, Duration::from_millis(300));
        // On a busy machine the server itself falls behind at times; a host that loses sound loses it every time.
        let rates = (0..4).map(|_| {
            let recording = Recording::record(&capture, Duration::from_secs(3));
            print_summary(buffer_samples, &recording);
            assert_eq!(recording.failed, None);
            assert!((recording.tone_hz(0) - 1000.0).abs() < 1.0, "left: {} Hz", recording.tone_hz(0));
            assert!((recording.tone_hz(1) - 400.0).abs() < 1.0, "right: {} Hz", recording.tone_hz(1));
            recording.samples_per_second()
        });
        let is_complete = rates.into_iter().any(|rate| (47_900.0..48_100.0).contains(&rate));
        assert!(is_complete, "sound is lost with a buffer of {buffer_samples}");
    }
}

#[test]
fn blocks_carry_the_time_at_which_they_were_captured() {
    let server = SoundServer::start();
    let fifo = server.microphone();
    for buffer_samples in [480, 240, 120] {
        let path = fifo.clone();
        let writer = std::thread::spawn(move || write_impulses(&path, 20));
        let capture = open(named(server.host(), "mic"), buffer_samples);
        let recording = Recording::record(&capture, Duration::from_millis(2_200));
        print_summary(buffer_samples, &recording);
        check_capture_times(&recording, &writer.join().expect("the writer ran"));
    }
}

fn check_capture_times(recording: &Recording, written: &[Instant]) {
    let onsets = (1..recording.channels[0].len())
        .filter(|&n| recording.channels[0][n] > 0.2 && recording.channels[0][n - 1] <= 0.2);
    let errors_ms: Vec<f64> = onsets
        .filter_map(|onset| {
            let (captured, first) = recording.captured.iter().rev().find(|(_, first)| *first <= onset)?;
            let captured = *captured + Duration::from_secs_f64((onset - first) as f64 / 48_000.0);
            let distance = |written: &Instant| {
                captured.saturating_duration_since(*written).as_secs_f64()
                    - written.saturating_duration_since(captured).as_secs_f64()
            };
            written.iter().map(distance).min_by(|a, b| a.abs().total_cmp(&b.abs())).map(|seconds| seconds * 1e3)
        })
        .collect();
    assert!(errors_ms.len() >= 14, "{} of 20 impulses arrived", errors_ms.len());
    // The first capture times of a stream are the least accurate.
    let later = &errors_ms[4..];
    println!(
        "capture time less time of writing: p10 {:.2} p50 {:.2} p90 {:.2} ms",
        percentile(later, 0.1),
        percentile(later, 0.5),
        percentile(later, 0.9),
    );
    assert!(percentile(later, 0.5).abs() < 8.0, "{errors_ms:?}");
}

#[test]
fn at_most_eight_channels_are_captured_and_any_rate_is_kept() {
    let server = SoundServer::start();
    server.pactl(&["load-module", "module-null-sink", "sink_name=wide", "channels=12", "rate=44100"]);
    let capture = open(named(server.host(), "wide.monitor"), 480);
    wait_for_first_block(&capture);
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
    let format = format.expect("blocks arrived");
    assert_eq!((format.rate_hz, format.channels), (44_100, 8));
    let seconds = format.duration_of(bytes).as_secs_f64();
    assert!((1.5..2.1).contains(&seconds), "{seconds} s of sound in two seconds");
}
