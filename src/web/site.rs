//! What every handler may need to know: the house as the web sees it. Plain data, built once by `app` and shared; holds
//! no socket and changes nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::audio::station::Station;
use crate::observe::metrics::{DoorMetrics, RoomMetrics, RtcMetrics};
use crate::rtc::engine;
use crate::signal::hub;
use crate::signal::wire::IceServer;
use crate::web::assets::Assets;
use crate::web::gate::Gate;

/// Everything handlers need.
#[derive(Debug)]
pub struct Site {
    /// When the process began to serve.
    pub started: Instant,
    /// The stations, in the order the rtc engine was given them; the first is what `/whep` and `/offer` mean.
    pub stations: Arc<[Station]>,
    /// The rtc thread.
    pub rtc: engine::Handle,
    /// What the rtc thread counts.
    pub rtc_metrics: Arc<RtcMetrics>,
    /// The hub of all rooms.
    pub rooms: hub::Handle,
    /// What the hub counts.
    pub room_metrics: Arc<RoomMetrics>,
    /// Other people's STUN and TURN servers, for listeners; peers in rooms learn of them from the hub.
    pub ice_servers: Vec<IceServer>,
    /// What the door counts.
    pub door_metrics: Arc<DoorMetrics>,
    /// Who may come in.
    pub gate: Arc<Gate>,
    /// The pages.
    pub assets: Assets,
    /// What the door puts up with.
    pub limits: Limits,
    /// Listeners that the rtc thread admits at most; shown on the status page.
    pub max_listeners: usize,
}

/// What the door puts up with from one connection, and from all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP connections at a time. Fewer, if the process may not open that many descriptors.
    pub max_connections: usize,
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
            head_bytes: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            body_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
        }
    }
}
