//! What a capture does when its source is removed or suspended, when the default changes, and when the server is killed
//! or hangs.

use std::time::{Duration, Instant};

use crate::audio::recording::{Recording, finder, named, open, percentile, wait_for_first_block};
use crate::harness::sound_server::SoundServer;

#[test]
fn the_removal_of_a_source_is_reported_within_a_second() {
    let server = SoundServer::start();
    // Another sink first, so that the server could move the stream there instead of ending it.
    let module = server.pactl(&["load-module", "module-null-sink", "sink_name=gone"]);
    let capture = open(named(server.host(), "gone.monitor"), 480);
    wait_for_first_block(&capture);

    let unloaded = Instant::now();
    server.pactl(&["unload-module", &module]);
    let recording = Recording::record(&capture, Duration::from_secs(5));
    let reason = recording.failed.expect("a failure is reported");
    println!("source removed: {:.0} ms, {reason}", unloaded.elapsed().as_secs_f64() * 1e3);
    assert!(unloaded.elapsed() < Duration::from_secs(1));
    assert!(reason.contains("gone.monitor"), "{reason}");
}

#[test]
fn a_killed_server_is_reported_and_a_restarted_one_can_be_opened() {
    let mut server = SoundServer::start();
    let finder = named(server.host(), "vout.monitor");
    let capture = open(finder.clone(), 480);
    wait_for_first_block(&capture);

    let killed = Instant::now();
    server.kill();
    let recording = Recording::record(&capture, Duration::from_secs(5));
    assert!(recording.failed.is_some());
    println!("server killed: {:.0} ms, {:?}", killed.elapsed().as_secs_f64() * 1e3, recording.failed);
    assert!(killed.elapsed() < Duration::from_secs(1));

    let without_server = Recording::record(&open(finder.clone(), 480), Duration::from_secs(5));
    assert!(without_server.failed.is_some(), "an opening without a server fails");

    server.restart();
    let capture = open(finder, 480);
    wait_for_first_block(&capture);
    let recording = Recording::record(&capture, Duration::from_secs(1));
    assert_eq!(recording.failed, None);
    assert!(recording.channels[0].len() > 24_000, "{} samples", recording.channels[0].len());
}

#[test]
fn opening_and_closing_do_not_wait_for_a_server_that_hangs() {
    let server = SoundServer::start();
    let running = open(named(server.host(), "vout.monitor"), 480);
    wait_for_first_block(&running);

    server.freeze();
    let frozen = Instant::now();
    let opening = open(named(server.host(), "vout.monitor"), 480);
    drop(running);
    assert!(frozen.elapsed() < Duration::from_millis(100), "{:?}", frozen.elapsed());

    let recording = Recording::record(&opening, Duration::from_secs(8));
    let reason = recording.failed.expect("the opening times out");
    assert!(reason.contains("does not answer"), "{reason}");
    // Each of these leaves a connection in the server's backlog. When that is full, connecting hangs too.
    for _ in 0..12 {
        drop(open(named(server.host(), "vout.monitor"), 480));
    }
    std::thread::sleep(Duration::from_millis(200));
    let full = Instant::now();
    server.host().list().expect_err("the server does not answer");
    assert!(full.elapsed() < Duration::from_secs(5), "{:?}", full.elapsed());

    server.thaw();
    wait_for_first_block(&open(named(server.host(), "vout.monitor"), 480));
}

#[test]
fn a_change_of_the_default_ends_the_stream_and_the_new_default_is_opened() {
    let server = SoundServer::start();
    server.pactl(&["set-default-sink", "vout"]);
    let host = server.host();
    let loopback = finder(move || host.loopback_device());
    let capture = open(loopback.clone(), 480);
    wait_for_first_block(&capture);

    server.pactl(&["load-module", "module-null-sink", "sink_name=headset", "rate=48000"]);
    // A second sink alone does not change the default.
    assert!(Recording::record(&capture, Duration::from_millis(300)).failed.is_none());
    server.pactl(&["set-default-sink", "headset"]);
    let reason = Recording::record(&capture, Duration::from_secs(2)).failed.expect("the change is reported");
    assert!(reason.contains("headset"), "{reason}");

    let wav = server.tones(700.0, 700.0, 12);
    let _player = server.play(&wav, "headset");
    let capture = open(loopback, 480);
    wait_for_first_block(&capture);
    let recording = Recording::record(&capture, Duration::from_secs(4));
    assert!((recording.tone_hz(0) - 700.0).abs() < 1.0, "{} Hz", recording.tone_hz(0));
}

#[test]
fn the_loudspeakers_never_become_the_default_input() {
    let server = SoundServer::start();
    let _fifo = server.microphone();
    server.pactl(&["set-default-source", "mic"]);
    let host = server.host();
    let input = finder(move || host.input_device());
    let capture = open(input.clone(), 480);
    Recording::record(&capture, Duration::from_millis(300));
    server.pactl(&["unload-module", "module-pipe-source"]);
    let reason = Recording::record(&capture, Duration::from_secs(5)).failed.expect("the end is reported");
    assert!(reason.contains("mic") || reason.contains("vout.monitor"), "{reason}");
    assert_eq!(server.pactl(&["get-default-source"]), "vout.monitor", "what makes this a danger");
    let reason = Recording::record(&open(input.clone(), 480), Duration::from_secs(5)).failed.expect("a refusal");
    assert!(reason.contains("vout.monitor") && reason.contains("--loopback"), "{reason}");
    // Whoever makes it the default by hand did not ask this program for it either.
    server.microphone();
    server.pactl(&["set-default-source", "vout.monitor"]);
    assert!(Recording::record(&open(input.clone(), 480), Duration::from_secs(5)).failed.is_some());
    server.pactl(&["set-default-source", "mic"]);
    assert_eq!(Recording::record(&open(input, 480), Duration::from_millis(500)).failed, None);
    // Asked for by name, it is recorded.
    wait_for_first_block(&open(named(server.host(), "vout.monitor"), 480));
}

#[test]
fn a_suspended_source_is_silent_and_resumes_without_reopening() {
    let server = SoundServer::start();
    let capture = open(named(server.host(), "vout.monitor"), 480);
    wait_for_first_block(&capture);
    server.pactl(&["suspend-sink", "vout", "1"]);
    Recording::record(&capture, Duration::from_millis(200));
    let suspended = Recording::record(&capture, Duration::from_millis(500));
    assert!(suspended.failed.is_none() && suspended.captured.is_empty());
    server.pactl(&["suspend-sink", "vout", "0"]);
    wait_for_first_block(&capture);
    let resumed = Recording::record(&capture, Duration::from_secs(1));
    assert!(resumed.failed.is_none() && resumed.channels[0].len() > 24_000, "{}", resumed.channels[0].len());
    let newest = percentile(&resumed.ages_ms[8..], 0.5);
    assert!(newest.abs() < 50.0, "capture times are {newest} ms off after the pause");
}
