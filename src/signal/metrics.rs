//! What the hub counts. Written by the thread `hub`, and by the threads of connections for `too_slow`; read for display.

use crate::observe::metrics::{Counter, Gauge};

/// Counters of all rooms.
#[derive(Clone, Debug, Default)]
pub struct RoomMetrics {
    /// Rooms with at least one peer.
    pub rooms: Gauge,
    /// Peers, those included that are disconnected and whose place is reserved.
    pub peers: Gauge,
    /// Peers whose connection is open.
    pub connected: Gauge,
    /// Peers that ever joined.
    pub joined: Counter,
    /// Peers refused because the room or the server was full, or the room locked.
    pub refused: Counter,
    /// Messages received from browsers.
    pub messages: Counter,
    /// Peers closed because they did not take what was sent to them.
    pub too_slow: Counter,
}
