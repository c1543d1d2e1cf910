//! Stations that are added, changed and removed while the program runs, with a real engine and real threads.

use std::io;
use std::time::Duration;

use crossbeam_channel::bounded;
use roomtone::audio::encoder::Encoding;
use roomtone::broadcast::Broadcast;
use roomtone::ids::names::StationName;
use roomtone::observe::prometheus;
use roomtone::observe::registry::Registry;
use roomtone::observe::service::Running;
use roomtone::rtc::engine::handle::Handle;
use roomtone::rtc::metrics::RtcMetrics;
use roomtone::rtc::requests::Refusal;
use roomtone::station::source::{Source, SourceState};

use crate::harness::rtc_engine;
use crate::harness::wait::wait_until;

/// A broadcast without stations, and its engine.
fn broadcast() -> (Broadcast, Running<Handle>) {
    broadcast_with_metrics(Registry::default())
}

/// The same; its stations count in this registry.
fn broadcast_with_metrics(metrics: Registry) -> (Broadcast, Running<Handle>) {
    let engine = rtc_engine::start(1, 10, RtcMetrics::default());
    (Broadcast::new(engine.handle.clone(), Duration::ZERO, metrics, bounded(8).0), engine)
}

fn name(text: &str) -> StationName {
    StationName::parse(text).unwrap()
}

fn sine(tone_hz: f64) -> Source {
    Source::Sine { tone_hz }
}

#[test]
fn stations_are_added_and_removed_while_others_go_on() {
    let metrics = Registry::default();
    let has_metrics = |label: &str| prometheus::render(&metrics).contains(&format!("station=\"{label}\""));
    let (broadcast, engine) = broadcast_with_metrics(metrics.clone());
    let main = broadcast.add(name("main"), Encoding::default(), sine(440.0)).unwrap();
    let bar = broadcast.add(name("bar"), Encoding::default(), sine(1_000.0)).unwrap();
    let refusal = broadcast.add(name("bar"), Encoding::default(), sine(1.0)).unwrap_err();
    assert_eq!(refusal.kind(), io::ErrorKind::AlreadyExists);
    wait_until("both on air", || main.is_on_air() && bar.is_on_air());
    let admitted = engine.handle.admit(rtc_engine::offer(bar.track)).unwrap();

    assert!(has_metrics("main") && has_metrics("bar"));
    assert!(broadcast.remove(&name("bar")).unwrap());
    assert!(has_metrics("main") && !has_metrics("bar"));
    assert!(!broadcast.remove(&name("bar")).unwrap());
    assert_eq!(engine.handle.admit(rtc_engine::offer(bar.track)).unwrap_err(), Refusal::NotOnAir);
    assert!(broadcast.directory.find(&name("bar")).is_none());
    let (bar_packets, main_packets) = (bar.timeline.head(), main.timeline.head());
    wait_until("ten packets more of the other", || main.timeline.head() > main_packets + 10);
    assert_eq!(bar.timeline.head(), bar_packets, "a removed station sends nothing");
    engine.handle.close(admitted.session);

    // The name is free again, and the new station is another track.
    let again = broadcast.add(name("bar"), Encoding::default(), sine(1_000.0)).unwrap();
    assert_ne!(again.track, bar.track);
    wait_until("the new one on air", || again.is_on_air());
    broadcast.stop().unwrap();
    engine.stop().unwrap();
}

#[test]
fn rtp_time_goes_on_without_a_jump_when_the_source_changes() {
    let (broadcast, engine) = broadcast();
    let station = broadcast.add(name("main"), Encoding::default(), sine(440.0)).unwrap();
    wait_until("the first source on air", || station.timeline.head() > 10);
    let before = station.timeline.head();
    assert!(broadcast.set_source(&name("main"), sine(1_000.0)));
    assert!(!broadcast.set_source(&name("other"), sine(1_000.0)));
    wait_until("the second source", || station.source().name.contains("1000 Hz"));
    assert_eq!(station.source().state, SourceState::Live);
    wait_until("packets of the second source", || station.timeline.head() > before + 50);
    let times: Vec<u64> =
        (before - 5..before + 50).map(|n| station.timeline.get(n).unwrap().rtp_time_samples).collect();
    assert!(times.windows(2).all(|pair| pair[1] == pair[0] + 960), "{times:?}");
    broadcast.stop().unwrap();
    engine.stop().unwrap();
}

#[test]
fn a_station_whose_encoder_fails_is_not_added() {
    let (broadcast, engine) = broadcast();
    let impossible = Encoding { complexity: 99, ..Encoding::default() };
    assert!(broadcast.add(name("main"), impossible, sine(440.0)).is_err());
    assert!(broadcast.directory.default_station().is_none());
    let station = broadcast.add(name("main"), Encoding::default(), sine(440.0)).unwrap();
    wait_until("on air", || station.is_on_air());
    broadcast.stop().unwrap();
    engine.stop().unwrap();
}
