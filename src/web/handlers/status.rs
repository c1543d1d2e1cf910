//! What programs may ask about the server: whether it runs, status and metrics. Called on
//! `http-<n>` threads; reads metrics and changes nothing. Listeners' addresses never appear here.

use serde::Serialize;

use crate::audio::encoder::Application;
use crate::observe::json::{self, Json};
use crate::observe::prometheus;
use crate::observe::registry::Registry;
use crate::station::metrics::LABEL;
use crate::station::source::SourceStatus;
use crate::station::station::Station;
use crate::web::handlers::context::Context;
use crate::web::http::message::{Request, Response};

/// `GET /healthz`
pub(crate) fn health(_context: &Context, _request: &Request) -> Response {
    Response::new(200).body("text/plain; charset=utf-8", b"ok".as_slice()).header("Cache-Control", "no-store")
}

/// `GET /metrics`: the same numbers and some more, for Prometheus.
pub(crate) fn metrics(context: &Context, _request: &Request) -> Response {
    let text = prometheus::render(&context.metrics).into_bytes();
    Response::new(200).body(prometheus::CONTENT_TYPE, text).header("Cache-Control", "no-store")
}

/// `GET /api/status`
pub(crate) fn status(context: &Context, _request: &Request) -> Response {
    let limits = &context.limits;
    let section = |name| json::render(&context.metrics, name, &[]);
    Response::json(
        200,
        &Status {
            name: env!("CARGO_PKG_NAME"),
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: context.started.elapsed().as_secs(),
            stations: context.stations.all().iter().map(|station| station_status(&context.metrics, station)).collect(),
            rtc: section("rtc"),
            rooms: section("rooms"),
            door: section("door"),
            limits: Limits {
                listeners: context.max_listeners,
                listeners_per_address: limits.max_listeners_per_address,
                offers_per_s: limits.offers_per_s,
                peers: context.hub.limits().max_peers,
                peers_per_address: context.hub.limits().max_peers_per_address,
                messages_per_s: context.hub.limits().address_messages_per_s,
                room_size: context.hub.limits().room_size,
                connections: limits.max_connections,
                connections_per_address: limits.max_connections_per_address,
                connections_per_s: limits.connections_per_s,
                streamed_responses: limits.max_streamed_responses,
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

fn station_status(registry: &Registry, station: &Station) -> StationStatus {
    let encoding = &station.encoding;
    let mut numbers = json::render(registry, "station", &[(LABEL, station.name.as_str())]);
    StationStatus {
        name: station.name.to_string(),
        source: SourceStatus::clone(&station.source()),
        level: numbers.take("level"),
        encoding: EncodingStatus {
            channels: encoding.channels,
            bitrate_bps: encoding.bitrate_bps,
            packet_ms: encoding.packet_ms(),
            application: encoding.application,
            complexity: encoding.complexity,
            fec: encoding.fec,
            dtx: encoding.dtx,
        },
        numbers,
    }
}

/// Of the rooms numbers only: a room's name is all that is needed to enter it.
#[derive(Serialize)]
struct Status {
    name: &'static str,
    version: &'static str,
    uptime_s: u64,
    stations: Vec<StationStatus>,
    rtc: Json,
    rooms: Json,
    door: Json,
    limits: Limits,
}

#[derive(Serialize)]
struct StationStatus {
    name: String,
    source: SourceStatus,
    level: Option<Json>,
    encoding: EncodingStatus,
    #[serde(flatten)]
    numbers: Json,
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
struct Limits {
    listeners: usize,
    listeners_per_address: usize,
    offers_per_s: usize,
    peers: usize,
    peers_per_address: usize,
    messages_per_s: u32,
    room_size: usize,
    connections: usize,
    connections_per_address: usize,
    connections_per_s: usize,
    streamed_responses: usize,
    head_bytes: usize,
    head_s: f64,
    body_bytes: usize,
    body_s: f64,
    idle_s: f64,
    write_s: f64,
}
