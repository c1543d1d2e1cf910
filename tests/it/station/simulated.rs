//! Stations on a simulated device, in real time: what listeners would get when the source misbehaves.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use roomtone::audio::encoder::Encoding;
use roomtone::audio::sources::capture::Finder;
use roomtone::audio::sources::device::Found;
use roomtone::media::packet::Packet;
use roomtone::station::runner::{self, Running, Source, Station};
use roomtone::station::source_status::SourceState;

use crate::harness::simulated_device::Simulated;
use crate::harness::sound_server::tone_hz;
use crate::harness::wait::wait_until;

struct OnAir {
    station: Station,
    running: Running,
    packets: Arc<Mutex<Vec<(Instant, Packet)>>>,
}

impl OnAir {
    fn of(device: &Simulated, encoding: Encoding) -> OnAir {
        let device = device.clone();
        let finder: Finder =
            Arc::new(move || Ok(Found::of(cpal::platform::CustomDevice::from_device(device.clone()).into())));
        let station = Station { name: "test".into(), encoding, metrics: Default::default() };
        let packets: Arc<Mutex<Vec<(Instant, Packet)>>> = Arc::default();
        let notes = packets.clone();
        let sink = Box::new(move |packet| notes.lock().unwrap().push((Instant::now(), packet)));
        let source = Source::Device { kind: "device", finder };
        let running = runner::start(station.clone(), source, sink, bounded(8).0).unwrap();
        OnAir { station, running, packets }
    }

    fn state(&self) -> SourceState {
        self.station.metrics.source.load().state
    }

    fn wait_for(&self, state: SourceState) {
        wait_until(&format!("{state:?}"), || self.state() == state);
    }

    /// Stops the station: the packets, having checked that RTP time never jumped or stood still.
    fn packets(self) -> Vec<(Instant, Packet)> {
        self.running.stop().unwrap();
        let packets = std::mem::take(&mut *self.packets.lock().unwrap());
        let step = u64::from(self.station.encoding.packet_samples);
        let times: Vec<u64> = packets.iter().map(|(_, packet)| packet.rtp_time_samples).collect();
        assert!(times.windows(2).all(|pair| pair[1] == pair[0] + step), "RTP time advances by {step}, always");
        packets
    }
}

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
fn a_device_of_any_rate_and_channels_is_heard_in_stereo_at_its_pitch() {
    for (rate_hz, channels) in [(48_000, 2), (44_100, 2), (96_000, 6), (16_000, 3)] {
        let device = Simulated::new(rate_hz, channels, [1_000.0, 400.0]);
        let on_air = OnAir::of(&device, Encoding::default());
        on_air.wait_for(SourceState::Live);
        wait_until("two seconds of sound", || on_air.packets.lock().unwrap().len() >= 110);
        let status = on_air.station.metrics.source.load_full();
        assert_eq!((status.rate_hz, status.channels), (rate_hz, channels));
        assert_eq!(on_air.station.metrics.blocks_dropped.read(), 0);
        let packets = on_air.packets();
        let [left, _] = decode(&packets[60..]);
        let heard = tone_hz(&left);
        assert!((heard - 1_000.0).abs() < 2.0, "{rate_hz} Hz, {channels} channels: {heard} Hz on the left");
        if channels == 2 {
            let [_, right] = decode(&packets[60..]);
            assert!((tone_hz(&right) - 400.0).abs() < 2.0, "{} Hz on the right", tone_hz(&right));
        }
    }
}

#[test]
fn a_device_that_vanishes_is_silence_on_time_until_it_is_back() {
    let device = Simulated::new(48_000, 2, [440.0, 440.0]);
    let on_air = OnAir::of(&device, Encoding::default());
    on_air.wait_for(SourceState::Live);
    device.vanish(true);
    on_air.wait_for(SourceState::Reopening);
    assert!(on_air.station.metrics.source.load().problem.is_some(), "the status says why");
    let before = on_air.packets.lock().unwrap().len();
    let begun = Instant::now();
    wait_until("a second of silence", || on_air.packets.lock().unwrap().len() >= before + 50);
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(800) && took < Duration::from_millis(1_500), "1 s of silence in {took:?}");
    device.vanish(false);
    on_air.wait_for(SourceState::Live);
    assert!(on_air.station.metrics.silence_samples.read() >= 48_000);
    wait_until("sound", || on_air.station.metrics.left.read_dbfs() > -20.0);
    let packets = on_air.packets();
    let gaps = packets.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(gaps.max().unwrap() < Duration::from_millis(250), "a listener would have heard a hole");
}

#[test]
fn a_device_that_dies_without_an_error_is_noticed_and_opened_again() {
    let device = Simulated::new(48_000, 2, [440.0, 440.0]);
    let on_air = OnAir::of(&device, Encoding::default());
    on_air.wait_for(SourceState::Live);
    let opened = device.opened();
    device.hang(true);
    on_air.wait_for(SourceState::Reopening);
    device.hang(false);
    on_air.wait_for(SourceState::Live);
    assert!(device.opened() > opened);
    on_air.packets();
}

#[test]
fn mono_and_short_packets_keep_their_promises_too() {
    let encoding = Encoding { channels: 1, packet_samples: 120, ..Encoding::default() };
    let device = Simulated::new(48_000, 2, [440.0, 440.0]);
    let on_air = OnAir::of(&device, encoding);
    on_air.wait_for(SourceState::Live);
    wait_until("a second of packets", || on_air.packets.lock().unwrap().len() >= 450);
    let packets = on_air.packets();
    let heard = tone_hz(&decode(&packets[50..])[0]);
    assert!((heard - 440.0).abs() < 3.0, "{heard} Hz");
}
