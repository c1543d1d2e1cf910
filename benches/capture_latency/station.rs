//! A running station with its engine, and when each packet was captured and encoded.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use roomtone::audio::encoder::Encoding;
use roomtone::audio::sources::capture::Finder;
use roomtone::ids::names::StationName;
use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::observe::service::Running;
use roomtone::rtc::engine::handle::{Handle, TrackSetup};
use roomtone::rtc::engine::{self, EngineSetup};
use roomtone::rtc::metrics::RtcMetrics;
use roomtone::rtc::profile::OpusTrack;
use roomtone::rtc::udp::socket;
use roomtone::station::metrics::StationMetrics;
use roomtone::station::runner::{self, RunnerSetup};
use roomtone::station::source::Source;
use roomtone::station::station::Station;
use roomtone::station::timeline::{self, Capacity};

/// The track that it sends.
pub const TRACK: TrackId = TrackId::new(0);

/// A packet as a client received it.
pub struct ReceivedPacket {
    pub rtp_time: u32,
    pub arrived: Instant,
}

/// The times of a packet that a client received.
pub struct Arrival {
    /// When its first sample was captured.
    pub captured: Instant,
    /// When the encoder thread passed it on.
    pub encoded: Instant,
    /// When the kernel had its datagram.
    pub arrived: Instant,
}

pub struct RunningStation {
    pub engine: Running<Handle>,
    runner: Running<runner::Handle>,
    /// By RTP time: when a packet was captured, and when it was encoded.
    sent: Arc<Mutex<HashMap<u32, (Instant, Instant)>>>,
}

impl RunningStation {
    pub fn start(finder: Finder, encoding: &Encoding) -> RunningStation {
        let socket = socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).expect("a UDP port");
        let setup = EngineSetup {
            sockets: vec![socket],
            max_sessions: usize::MAX,
            max_sessions_per_address: usize::MAX,
            offers_per_s: usize::MAX,
            seal: true,
            metrics: RtcMetrics::default(),
        };
        let (reports, _) = bounded(16);
        let engine = engine::start(setup, reports.clone()).expect("an engine");
        let capacity = Capacity::new(Duration::ZERO, encoding.packet_duration(), encoding.bitrate_bps);
        let (writer, timeline) = timeline::new(capacity, Instant::now());
        let name = StationName::parse("bench").expect("a name");
        let station = Station::new(name, TRACK, encoding.clone(), timeline.clone(), StationMetrics::default());
        let track = TrackSetup {
            id: station.track,
            opus: OpusTrack { stereo: true, fec: false, min_packet_ms: 10 },
            timeline,
            listeners: station.metrics.listeners.clone(),
            packets_dropped: station.metrics.packets_dropped.clone(),
        };
        let sender = engine.handle.add_track(track).expect("a track");
        let sent: Arc<Mutex<HashMap<u32, (Instant, Instant)>>> = Arc::default();
        let times = sent.clone();
        let sink = Box::new(move |index, packet: &Packet| {
            let (rtp_time, captured) = (packet.rtp_time_samples as u32, packet.captured);
            times.lock().expect("no panic").insert(rtp_time, (captured, Instant::now()));
            sender.send(index, packet);
        });
        let source = Source::Device { kind: "device", finder };
        let setup = RunnerSetup { station, source, timeline: writer, sink };
        let runner = runner::start(setup, reports).expect("a station");
        RunningStation { engine, runner, sent }
    }

    /// The packets that a client received from `begin` on.
    pub fn arrivals(&self, begin: Instant, received: &[ReceivedPacket]) -> Vec<Arrival> {
        let sent = self.sent.lock().expect("no panic");
        let arrival = |packet: &ReceivedPacket| {
            let (captured, encoded) = *sent.get(&packet.rtp_time)?;
            Some(Arrival { captured, encoded, arrived: packet.arrived })
        };
        received.iter().filter(|packet| packet.arrived >= begin).filter_map(arrival).collect()
    }

    pub fn stop(self) {
        self.runner.stop().expect("the station ends");
        self.engine.stop().expect("the engine ends");
    }
}
