//! What the hub counts.

use crate::observe::metrics::{Counter, Gauge};

/// Rooms.
#[derive(Clone, Debug, Default)]
pub struct RoomMetrics {
    /// Rooms that somebody is in.
    pub rooms: Gauge,
    /// Peers, those included whose seat is kept for them.
    pub peers: Gauge,
    /// Peers whose connection is open.
    pub connected: Gauge,
    /// Peers that ever came in.
    pub joined: Counter,
    /// Peers turned away because the room or the house was full.
    pub refused: Counter,
    /// Messages from browsers.
    pub messages: Counter,
    /// Peers closed because they did not take what was sent to them.
    pub too_slow: Counter,
}
