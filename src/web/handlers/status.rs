//! What programs may ask about the server: whether it runs, and what it does. Called on `http-<n>` threads; reads
//! counters, changes nothing. Listeners' addresses never appear here.

use serde::Serialize;

use crate::audio::encoder::Application;
use crate::observe::metrics::Level;
use crate::station::runner::Station;
use crate::station::source_status::SourceStatus;
use crate::web::handlers::context::Context;
use crate::web::http::message::{Request, Response};

/// `GET /healthz`
pub(crate) fn health(_context: &Context, _request: &Request) -> Response {
    Response::new(200).body("text/plain; charset=utf-8", b"ok".as_slice()).header("Cache-Control", "no-store")
}

/// `GET /api/status`
pub(crate) fn status(context: &Context, _request: &Request) -> Response {
    let (rtc, door, limits) = (&context.rtc_metrics, &context.connection_metrics, &context.limits);
    let rooms = &context.room_metrics;
    Response::json(
        200,
        &Status {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: context.started.elapsed().as_secs(),
            stations: context.stations.iter().map(station).collect(),
            rtc: Rtc {
                sessions: rtc.sessions.read(),
                admitted: rtc.admitted.read(),
                datagrams_in: rtc.datagrams_in.read(),
                datagrams_out: rtc.datagrams_out.read(),
                datagrams_unknown: rtc.datagrams_unknown.read(),
                datagrams_unsent: rtc.datagrams_unsent.read(),
            },
            rooms: Rooms {
                rooms: rooms.rooms.read(),
                peers: rooms.peers.read(),
                connected: rooms.connected.read(),
                joined: rooms.joined.read(),
                refused: rooms.refused.read(),
                messages: rooms.messages.read(),
                too_slow: rooms.too_slow.read(),
            },
            door: Door {
                connections: door.connections.read(),
                accepted: door.accepted.read(),
                refused: door.refused.read(),
                requests: door.requests.read(),
            },
            limits: Limits {
                listeners: context.max_listeners,
                listeners_per_address: limits.max_listeners_per_address,
                peers: context.hub.limits().max_peers,
                room_size: context.hub.limits().room_size,
                connections: limits.max_connections,
                connections_per_address: limits.max_connections_per_address,
                connections_per_s: limits.connections_per_s,
                head_bytes: limits.head_bytes,
                head_s: limits.head_timeout.as_secs_f64(),
                body_bytes: limits.body_bytes,
                body_s: limits.body_timeout.as_secs_f64(),
                idle_s: limits.idle_timeout.as_secs_f64(),
                write_s: limits.write_timeout.as_secs_f64(),
            },
        },
    )
}

fn station(station: &Station) -> StationStatus<'_> {
    let (encoding, metrics) = (&station.encoding, &station.metrics);
    StationStatus {
        name: &station.name,
        source: SourceStatus::clone(&metrics.source.load()),
        level: Levels { left_dbfs: finite(&metrics.left), right_dbfs: finite(&metrics.right) },
        encoding: EncodingStatus {
            channels: encoding.channels,
            bitrate_bps: encoding.bitrate_bps,
            packet_ms: encoding.packet_ms(),
            application: encoding.application,
            complexity: encoding.complexity,
            fec: encoding.fec,
            dtx: encoding.dtx,
        },
        packets: metrics.packets.read(),
        drops: Drops { blocks: metrics.blocks_dropped.read(), packets: metrics.packets_dropped.read() },
        silence_s: metrics.silence_samples.read() as f64 / 48_000.0,
        reopened: metrics.reopened.read(),
        listeners: metrics.listeners.read(),
    }
}

/// A tenth of a dB is finer than anybody hears; JSON has no −∞, so silence is null.
fn finite(level: &Level) -> Option<f64> {
    let dbfs = f64::from(level.read_dbfs());
    dbfs.is_finite().then(|| (dbfs * 10.0).round() / 10.0)
}

#[derive(Serialize)]
struct Status<'a> {
    name: &'static str,
    version: &'static str,
    uptime_s: u64,
    stations: Vec<StationStatus<'a>>,
    rtc: Rtc,
    rooms: Rooms,
    door: Door,
    limits: Limits,
}

#[derive(Serialize)]
struct StationStatus<'a> {
    name: &'a str,
    source: SourceStatus,
    level: Levels,
    encoding: EncodingStatus,
    packets: u64,
    drops: Drops,
    silence_s: f64,
    reopened: u64,
    listeners: u64,
}

#[derive(Serialize)]
struct Levels {
    left_dbfs: Option<f64>,
    right_dbfs: Option<f64>,
}

#[derive(Serialize)]
struct EncodingStatus {
    channels: u16,
    bitrate_bps: u32,
    packet_ms: f64,
    application: Application,
    complexity: u8,
    fec: bool,
    dtx: bool,
}

#[derive(Serialize)]
struct Drops {
    blocks: u64,
    packets: u64,
}

#[derive(Serialize)]
struct Rtc {
    sessions: u64,
    admitted: u64,
    datagrams_in: u64,
    datagrams_out: u64,
    datagrams_unknown: u64,
    datagrams_unsent: u64,
}

/// Numbers only: a room's name is all that is needed to enter it.
#[derive(Serialize)]
struct Rooms {
    rooms: u64,
    peers: u64,
    connected: u64,
    joined: u64,
    refused: u64,
    messages: u64,
    too_slow: u64,
}

#[derive(Serialize)]
struct Door {
    connections: u64,
    accepted: u64,
    refused: u64,
    requests: u64,
}

#[derive(Serialize)]
struct Limits {
    listeners: usize,
    listeners_per_address: usize,
    peers: usize,
    room_size: usize,
    connections: usize,
    connections_per_address: usize,
    connections_per_s: usize,
    head_bytes: usize,
    head_s: f64,
    body_bytes: usize,
    body_s: f64,
    idle_s: f64,
    write_s: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_null_and_levels_have_a_tenth() {
        let level = Level::default();
        assert_eq!(finite(&level), None);
        level.set_dbfs(-20.04);
        assert_eq!(finite(&level), Some(-20.0));
    }
}
