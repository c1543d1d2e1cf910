//! Stations on a simulated device, in real time: which packets listeners would receive when the device fails.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use roomtone::audio::encoder::Encoding;
use roomtone::audio::sources::capture::Finder;
use roomtone::audio::sources::device::CaptureDevice;
use roomtone::ids::names::StationName;
use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::observe::service::Running;
use roomtone::station::metrics::StationMetrics;
use roomtone::station::runner::{self, Handle, RunnerSetup};
use roomtone::station::source::{Source, SourceState};
use roomtone::station::station::Station;
use roomtone::station::timeline::{self, Capacity};

use crate::harness::media::simulated_device::Simulated;
use crate::harness::sound_server::tone_hz;
use crate::harness::wait::wait_until;

/// A station that captures a device; its packets are collected with the time of each.
struct RunningStation {
    station: Station,
    running: Running<Handle>,
    packets: Arc<Mutex<Vec<(Instant, Packet)>>>,
}

impl RunningStation {
    fn start(device: &Simulated, encoding: Encoding) -> RunningStation {
        let device = device.clone();
        let finder: Finder = Arc::new(move || {
            Ok(CaptureDevice::from_cpal(cpal::platform::CustomDevice::from_device(device.clone()).into()))
        });
        let capacity = Capacity::new(Duration::ZERO, encoding.packet_duration(), encoding.bitrate_bps);
        let (writer, timeline) = timeline::new(capacity, Instant::now());
        let name = StationName::parse("test").unwrap();
        let station = Station::new(name, TrackId::new(0), encoding, timeline, StationMetrics::default());
        let packets: Arc<Mutex<Vec<(Instant, Packet)>>> = Arc::default();
        let collected = packets.clone();
        let sink = Box::new(move |_, packet: &Packet| collected.lock().unwrap().push((Instant::now(), packet.clone())));
        let source = Source::Device { kind: "device", finder };
        let setup = RunnerSetup { station: station.clone(), source, timeline: writer, sink };
        let running = runner::start(setup, bounded(8).0).unwrap();
        RunningStation { station, running, packets }
    }

    fn state(&self) -> SourceState {
        self.station.source().state
    }

    fn wait_for(&self, state: SourceState) {
        wait_until(&format!("{state:?}"), || self.state() == state);
    }

    /// Stops the station and checks that RTP time advanced by one packet's duration with each packet. Returns the packets.
    fn stop(self) -> Vec<(Instant, Packet)> {
        self.running.stop().unwrap();
        let packets = std::mem::take(&mut *self.packets.lock().unwrap());
        let step = u64::from(self.station.encoding.packet_samples);
        let times: Vec<u64> = packets.iter().map(|(_, packet)| packet.rtp_time_samples).collect();
        assert!(times.windows(2).all(|pair| pair[1] == pair[0] + step), "RTP time advances by {step} with each packet");
        packets
    }
}

/// The left and the right channel.
fn decode(packets: &[(Instant, Packet)]) -> [Vec<f32>; 2] {
    let mut decoder = opus::Decoder::new(48_000, opus::Channels::Stereo).unwrap();
    let mut sound = [vec![], vec![]];
    let mut samples = [0f32; 2 * 5_760];
    for (_, packet) in packets {
        let count = decoder.decode_float(&packet.payload, &mut samples, false).unwrap();
        for pair in samples[..2 * count].chunks_exact(2) {
            sound[0].push(pair[0]);
            sound[1].push(pair[1]);
        }
    }
    sound
}

#[test]
fn devices_of_any_rate_and_channel_count_keep_their_pitch_in_stereo() {
    for (rate_hz, channels) in [(48_000, 2), (44_100, 2), (96_000, 6), (16_000, 3)] {
        let device = Simulated::new(rate_hz, channels, [1_000.0, 400.0]);
        let running = RunningStation::start(&device, Encoding::default());
        running.wait_for(SourceState::Live);
        wait_until("two seconds of sound", || running.packets.lock().unwrap().len() >= 110);
        let status = running.station.source();
        assert_eq!((status.rate_hz, status.channels), (rate_hz, channels));
        assert_eq!(running.station.metrics.blocks_dropped.read(), 0);
        let packets = running.stop();
        let [left, _] = decode(&packets[60..]);
        let left_hz = tone_hz(&left);
        assert!((left_hz - 1_000.0).abs() < 2.0, "{rate_hz} Hz, {channels} channels: {left_hz} Hz on the left");
        if channels == 2 {
            let [_, right] = decode(&packets[60..]);
            assert!((tone_hz(&right) - 400.0).abs() < 2.0, "{} Hz on the right", tone_hz(&right));
        }
    }
}

#[test]
fn a_vanished_device_is_replaced_by_silence_on_time_until_it_returns() {
    let device = Simulated::new(48_000, 2, [440.0, 440.0]);
    let running = RunningStation::start(&device, Encoding::default());
    running.wait_for(SourceState::Live);
    device.vanish(true);
    running.wait_for(SourceState::Reopening);
    assert!(running.station.source().problem.is_some(), "the status says why");
    let before = running.packets.lock().unwrap().len();
    let begun = Instant::now();
    wait_until("a second of silence", || running.packets.lock().unwrap().len() >= before + 50);
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(800) && took < Duration::from_millis(1_500), "1 s of silence in {took:?}");
    device.vanish(false);
    running.wait_for(SourceState::Live);
    assert!(running.station.metrics.silence_samples.read() >= 48_000);
    wait_until("sound", || running.station.metrics.left.read_dbfs() > -20.0);
    let packets = running.stop();
    let gaps = packets.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(gaps.max().unwrap() < Duration::from_millis(250), "a gap that a listener would have heard");
}

#[test]
fn a_device_that_hangs_without_an_error_is_opened_again() {
    let device = Simulated::new(48_000, 2, [440.0, 440.0]);
    let running = RunningStation::start(&device, Encoding::default());
    running.wait_for(SourceState::Live);
    let opened = device.opened();
    device.hang(true);
    running.wait_for(SourceState::Reopening);
    device.hang(false);
    running.wait_for(SourceState::Live);
    assert!(device.opened() > opened);
    running.stop();
}

#[test]
fn mono_and_packets_of_2_5_ms_keep_rtp_time_and_pitch() {
    let encoding = Encoding { channels: 1, packet_samples: 120, ..Encoding::default() };
    let device = Simulated::new(48_000, 2, [440.0, 440.0]);
    let running = RunningStation::start(&device, encoding);
    running.wait_for(SourceState::Live);
    wait_until("a second of packets", || running.packets.lock().unwrap().len() >= 450);
    let packets = running.stop();
    let left_hz = tone_hz(&decode(&packets[50..])[0]);
    assert!((left_hz - 440.0).abs() < 3.0, "{left_hz} Hz");
}
