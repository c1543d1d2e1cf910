//! What rooms, peers and their connections may use. Plain values.

use std::time::Duration;

/// The limits of all rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomLimits {
    /// Peers in one room, reservations included.
    pub room_size: usize,
    /// Peers in all rooms, reservations included.
    pub max_peers: usize,
    /// How long the place of a disconnected peer is reserved.
    pub reservation: Duration,
    /// Messages of one peer per second, on average.
    pub messages_per_s: u32,
    /// Messages of one peer at once. A newcomer to a room of 16 sends 15 offers and a few hundred candidates.
    pub message_burst: u32,
    /// Messages kept for a disconnected peer. With one more, its reservation ends.
    pub queued_messages: usize,
    /// The same in bytes.
    pub queued_bytes: usize,
    /// Chat messages of one room that are kept for newcomers.
    pub chat_messages: usize,
    /// The same in bytes of text: 10,000 rooms with long chats must not use up the host's memory.
    pub chat_bytes: usize,
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
            reservation: Duration::from_secs(20),
            messages_per_s: 50,
            message_burst: 500,
            queued_messages: 64,
            queued_bytes: 256 * 1024,
            chat_messages: 100,
            chat_bytes: 64 * 1024,
            message_bytes: 64 * 1024,
            ping_interval: Duration::from_secs(15),
            silence_timeout: Duration::from_secs(45),
        }
    }
}
