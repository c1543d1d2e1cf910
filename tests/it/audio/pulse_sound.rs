//! What is captured from a real PulseAudio server: complete, with left and right apart, with true capture times. Opened
//! as a station opens its source.

use std::sync::Arc;
use std::time::{Duration, Instant};

use roomtone::audio::processing::convert::Converter;
use roomtone::audio::sources::capture::{CaptureEvent, Finder};
use roomtone::audio::sources::device::{CaptureDevice, InputChannels};

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

/// Mean levels of left and right, folded as a station does, while a tone plays in one channel of a sink.
fn levels(
    server: &SoundServer,
    sink: &str,
    channel: usize,
    channels: usize,
    wanted: Option<InputChannels>,
) -> [f32; 2] {
    let wav = server.tone_in_channel(channel, channels);
    let player = server.play_as(&wav, sink, channels);
    let (host, name) = (server.host(), format!("{sink}.monitor"));
    let finder: Finder = Arc::new(move || {
        let devices = host.list().expect("the server answers");
        let device = devices.into_iter().find(|device| device.name() == name).expect("the monitor");
        Ok(CaptureDevice { wanted, ..CaptureDevice::from(device) })
    });
    let capture = open(finder, 480);
    wait_for_first_block(&capture);
    let mut samples = vec![];
    let end = Instant::now() + Duration::from_millis(1_200);
    while let Ok(event) = capture.events().recv_deadline(end) {
        if let CaptureEvent::Block(block) = event {
            Converter::new(block.format, 2).convert(&block.bytes, &mut samples);
            capture.give_back(block);
        }
    }
    drop(player);
    // Once the player has begun.
    let steady = &samples[samples.len() / 4 * 2..];
    let peak = |side: usize| steady.iter().skip(side).step_by(2).map(|value| value.abs()).fold(0f32, f32::max);
    [peak(0), peak(1)]
}

#[test]
fn channels_are_heard_where_their_loudspeakers_are() {
    let server = SoundServer::start();
    let surround = "channel_map=front-left,front-right,rear-left,rear-right,front-center,lfe";
    server.pactl(&["load-module", "module-null-sink", "sink_name=surround", "channels=6", surround]);
    let is_heard = |level: f32| level > 0.05;
    for (channel, expected) in [
        (0, [true, false]),
        (1, [false, true]),
        (2, [true, false]),
        (3, [false, true]),
        (4, [true, true]),
        (5, [false, false]),
    ] {
        let levels = levels(&server, "surround", channel, 6, None);
        assert_eq!(levels.map(is_heard), expected, "channel {channel}: {levels:?}");
        assert!(channel != 4 || (levels[0] - levels[1]).abs() < 0.01, "the centre is equal on both sides: {levels:?}");
    }
}

#[test]
fn inputs_without_positions_are_no_surround_sound_and_any_of_them_can_be_chosen() {
    let server = SoundServer::start();
    let inputs = (0..18).map(|n| format!("aux{n}")).collect::<Vec<_>>().join(",");
    let map = format!("channel_map={inputs}");
    server.pactl(&["load-module", "module-null-sink", "sink_name=interface", "channels=18", &map]);
    let of = |channel, wanted| levels(&server, "interface", channel, 18, wanted);
    let [left, right] = of(0, None);
    assert!(left > 0.45 && right < 0.01, "the first input is the left one, at full level: {left}, {right}");
    assert!(of(16, None).iter().all(|level| *level < 0.01));
    let last_two = Some(InputChannels { left: 17, right: 18 });
    let [left, right] = of(16, last_two);
    assert!(left > 0.45 && right < 0.01, "{left}, {right}");
    let both = of(16, Some(InputChannels { left: 17, right: 17 }));
    assert!(both.iter().all(|level| *level > 0.45), "{both:?}");
}

#[test]
fn channels_that_a_device_does_not_have_are_refused_in_a_sentence() {
    let server = SoundServer::start();
    let host = server.host();
    let finder: Finder = Arc::new(move || {
        let wanted = Some(InputChannels { left: 3, right: 4 });
        let device = host.list().expect("the server answers").remove(0);
        Ok(CaptureDevice { wanted, ..CaptureDevice::from(device) })
    });
    let reason = Recording::record(&open(finder, 480), Duration::from_secs(5)).failed.expect("a refusal");
    assert!(reason.contains("has 2 channels") && reason.contains("--input-channels"), "{reason}");
}

#[test]
fn all_channels_are_captured_and_any_rate_is_kept() {
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
    assert_eq!((format.rate_hz, format.channels), (44_100, 12));
    let seconds = format.duration_of(bytes).as_secs_f64();
    assert!((1.5..2.1).contains(&seconds), "{seconds} s of sound in two seconds");
}
