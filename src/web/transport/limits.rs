//! PeerEvent every handler may need to know: the house as the web sees it. Plain data, built once by `app` and shared; holds
//! no socket and changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::rtc::engine;
use crate::rtc::metrics::RtcMetrics;
use crate::signal::hub;
use crate::signal::messages::IceServer;
use crate::signal::metrics::RoomMetrics;
use crate::station::runner::Station;
use crate::web::handlers::authorize::Gate;
use crate::web::handlers::pages::Assets;
use crate::web::http::client_address::Proxies;
use crate::web::transport::metrics::ConnectionMetrics;
use crate::web::transport::tls::Tls;

/// Everything handlers need.
#[derive(Debug)]
pub struct Site {
    /// When the process began to serve.
    pub started: Instant,
    /// The stations, in the order the rtc engine was given them; the first is what `/whep` and `/offer` mean.
    pub stations: Arc<[Station]>,
    /// The rtc thread.
    pub rtc: engine::Handle,
    /// PeerEvent the rtc thread counts.
    pub rtc_metrics: RtcMetrics,
    /// The hub of all rooms.
    pub rooms: hub::Handle,
    /// PeerEvent the hub counts.
    pub room_metrics: RoomMetrics,
    /// Other people's STUN and TURN servers, for listeners; peers in rooms learn of them from the hub.
    pub ice_servers: Vec<IceServer>,
    /// PeerEvent the door counts.
    pub door_metrics: ConnectionMetrics,
    /// Who may come in.
    pub gate: Arc<Gate>,
    /// The pages.
    pub assets: Assets,
    /// PeerEvent the door puts up with.
    pub limits: Limits,
    /// Listeners that the rtc thread admits at most; shown on the status page.
    pub max_listeners: usize,
    /// How the door speaks TLS, if it does.
    pub tls: Option<Arc<Tls>>,
    /// Whose word about clients counts.
    pub proxies: Proxies,
}

/// PeerEvent strangers may cost: one connection, one address, and all of them. An address is an IPv4 address or an IPv6 /64;
/// those of trusted proxies may have as many connections as there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP connections at a time. Fewer, if the process may not open that many descriptors.
    pub max_connections: usize,
    /// TCP connections at a time from one address.
    pub max_connections_per_address: usize,
    /// New TCP connections a second from one address, on average; five times as many at once.
    pub connections_per_s: usize,
    /// Listeners at a time from one address.
    pub max_listeners_per_address: usize,
    /// A request head, line ends included.
    pub head_bytes: usize,
    /// From the first wait for a head to its last byte; the bytes may not dribble in for longer.
    pub head_timeout: Duration,
    /// A request body, after any chunked coding is taken off.
    pub body_bytes: usize,
    /// From the end of the head to the last byte of the body.
    pub body_timeout: Duration,
    /// Between the end of an answer and the first byte of the next head.
    pub idle_timeout: Duration,
    /// For each 16 KiB of an answer: a client that takes less than that in this time is dropped.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 12_000,
            max_connections_per_address: 1_000,
            connections_per_s: 200,
            max_listeners_per_address: 500,
            head_bytes: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            body_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
        }
    }
}
