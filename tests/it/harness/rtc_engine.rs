//! A real engine with real rtc threads on loopback, without a web server.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use roomtone::media::track::TrackId;
use roomtone::observe::metrics::{Counter, Gauge};
use roomtone::observe::service::Running;
use roomtone::rtc::engine::handle::{Handle, PacketSender, TrackSetup};
use roomtone::rtc::engine::{self, EngineSetup};
use roomtone::rtc::metrics::RtcMetrics;
use roomtone::rtc::profile::OpusTrack;
use roomtone::rtc::requests::{IfMatch, Offer, Patch};
use roomtone::rtc::udp::socket;
use roomtone::station::timeline::{self, Capacity, TimelineWriter};
use str0m::Rtc;

use crate::harness::media::rtc_client::recvonly_offer;

/// Starts an engine with a port for each thread.
pub fn start(threads: usize, max_sessions: usize, metrics: RtcMetrics) -> Running<Handle> {
    start_with(threads, max_sessions, max_sessions, metrics)
}

/// The same with a budget of offers for each address.
pub fn start_with(threads: usize, max_sessions: usize, offers_per_s: usize, metrics: RtcMetrics) -> Running<Handle> {
    let socket = || socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    let setup = EngineSetup {
        sockets: (0..threads).map(|_| socket()).collect(),
        max_sessions,
        max_sessions_per_address: max_sessions,
        offers_per_s,
        seal: true,
        metrics,
    };
    engine::start(setup, bounded(8).0).unwrap()
}

/// Adds a track of 20 ms packets.
///
/// Returns the two places where a station would put its packets.
pub fn add_track(engine: &Handle, id: TrackId) -> (TimelineWriter, PacketSender) {
    let capacity = Capacity::new(Duration::ZERO, Duration::from_millis(20), 128_000);
    let (writer, timeline) = timeline::new(capacity, Instant::now());
    let setup = TrackSetup {
        id,
        opus: OpusTrack { stereo: true, fec: false, min_packet_ms: 20 },
        timeline,
        listeners: Gauge::default(),
        packets_dropped: Counter::default(),
    };
    (writer, engine.add_track(setup).unwrap())
}

/// A `PATCH` that says that no more candidates will come.
pub fn end_of_candidates() -> Patch {
    let fragment = "a=end-of-candidates\r\n".into();
    Patch { fragment, if_match: IfMatch::Any, client: Ipv4Addr::LOCALHOST.into(), reached_at: None }
}

/// An offer to receive a track, from a client that never connects.
pub fn offer(track: TrackId) -> Offer {
    let mut rtc = Rtc::builder().clear_codecs().enable_opus(true, false).build(Instant::now());
    let (sdp, _) = recvonly_offer(&mut rtc);
    Offer { sdp, track, client: Ipv4Addr::LOCALHOST.into(), reached_at: None }
}
