//! What the hub counts. Plain handles; written by the thread `hub` and, for slow peers, by the threads of connections.

use crate::observe::metrics::{Counter, Gauge};
use crate::observe::registry::{Description, Registry, Unit};

/// Counts of rooms and peers. The default is in no registry.
#[derive(Clone, Debug, Default)]
pub struct RoomMetrics {
    /// Rooms with at least one peer.
    pub rooms: Gauge,
    /// Peers, those with a reservation included.
    pub peers: Gauge,
    /// Peers whose connection is open.
    pub connected: Gauge,
    /// Peers that ever joined.
    pub joined: Counter,
    /// Peers refused because the room or the server was full, or the room locked.
    pub refused: Counter,
    /// Messages from browsers.
    pub messages: Counter,
    /// Peers closed because they did not take what was sent to them.
    pub too_slow: Counter,
}

const fn describe(name: &'static str, help: &'static str, json: &'static str) -> Description {
    Description { name, help, unit: Unit::Count, json }
}

impl RoomMetrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> RoomMetrics {
        let counter = |description| registry.counter(description, &[]);
        let gauge = |description| registry.gauge(description, &[]);
        RoomMetrics {
            rooms: gauge(describe("rooms", "Rooms with at least one peer.", "rooms.rooms")),
            peers: gauge(describe("peers", "Peers, including those that may still return.", "rooms.peers")),
            connected: gauge(describe("peers_connected", "Peers whose connection is open.", "rooms.connected")),
            joined: counter(describe("peers_joined", "Peers that joined a room.", "rooms.joined")),
            refused: counter(describe(
                "peers_refused",
                "Peers refused because a room or the server was full, or the room locked.",
                "rooms.refused",
            )),
            messages: counter(describe("room_messages", "Messages from browsers in rooms.", "rooms.messages")),
            too_slow: counter(describe(
                "peers_too_slow",
                "Peers closed because they did not take what was sent to them.",
                "rooms.too_slow",
            )),
        }
    }
}
