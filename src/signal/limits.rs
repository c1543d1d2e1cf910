//! What rooms, peers and their connections may use. Plain values.

use std::time::Duration;

/// The limits of all rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomLimits {
    /// Peers in one room, reservations included.
    pub room_size: usize,
    /// Peers in all rooms, reservations included.
    pub max_peers: usize,
    /// Peers of one address in all rooms, reservations included: an IPv4 address or a /64 of IPv6. A tenth of all, and twice
    /// what a school of 500 behind one address needs, since a peer whose network was interrupted comes back while the
    /// server still takes its old connection for alive.
    pub max_peers_per_address: usize,
    /// How long the place of a disconnected peer is reserved.
    pub reservation: Duration,
    /// Messages of one peer per second, on average.
    pub messages_per_s: u32,
    /// Messages of one peer at once. A newcomer to a room of 16 sends 15 offers and a few hundred candidates.
    pub message_burst: u32,
    /// Messages of all peers of one address per second, on average, and ten times as many at once. Above that, its peers
    /// are read more slowly. A long message, and many frames, count as several.
    pub address_messages_per_s: u32,
    /// Messages kept for a disconnected peer. With one more, its reservation ends.
    pub queued_messages: usize,
    /// The same in bytes.
    pub queued_bytes: usize,
    /// While more than that is kept for all disconnected peers together, `scarce_bytes` is the limit for each.
    pub queued_bytes_in_all: usize,
    /// What is kept for a disconnected peer even then: what a few peers send while it is away.
    pub scarce_bytes: usize,
    /// Chat messages of one room that are kept for newcomers.
    pub chat_messages: usize,
    /// The same in bytes of text.
    pub chat_bytes: usize,
    /// The same for all rooms together; while there are many rooms, each may keep its part of it at the most.
    pub chat_bytes_in_all: usize,
    /// Bytes of one message; the thread of the connection enforces it.
    pub message_bytes: usize,
    /// How often a connection is pinged.
    pub ping_interval: Duration,
    /// A connection on which nothing was received for so long is closed.
    pub silence_timeout: Duration,
}

impl Default for RoomLimits {
    fn default() -> Self {
        RoomLimits {
            room_size: 16,
            max_peers: 10_000,
            max_peers_per_address: 1_000,
            reservation: Duration::from_secs(20),
            messages_per_s: 50,
            message_burst: 500,
            address_messages_per_s: 5_000,
            queued_messages: 64,
            queued_bytes: 256 * 1024,
            queued_bytes_in_all: 64 * 1024 * 1024,
            scarce_bytes: 32 * 1024,
            chat_messages: 100,
            chat_bytes: 64 * 1024,
            chat_bytes_in_all: 64 * 1024 * 1024,
            message_bytes: 64 * 1024,
            ping_interval: Duration::from_secs(15),
            silence_timeout: Duration::from_secs(45),
        }
    }
}
