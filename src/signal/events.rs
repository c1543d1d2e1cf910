//! PeerEvent [`Rooms`](super::Rooms) is told and what it says: plain values, limits among them. It decides nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ids::names::RoomName;
use crate::ids::peer::{PeerId, ResumeToken};
use crate::signal::messages::IceServer;

/// PeerEvent is put up with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Peers in one room, kept seats included.
    pub room_size: usize,
    /// Peers in all rooms.
    pub max_peers: usize,
    /// How long a seat is kept whose connection dropped.
    pub seat_kept: Duration,
    /// Messages of one peer, on average.
    pub messages_per_s: u32,
    /// Messages of one peer at once. A newcomer to a room of 16 has 15 offers and a few hundred candidates to send.
    pub burst: u32,
    /// Messages kept for a peer that is away. One more, and its seat is given up.
    pub mailbox: usize,
    /// The same in bytes.
    pub mailbox_bytes: usize,
    /// Chat messages kept for latecomers.
    pub chat_kept: usize,
    /// The same in bytes of text: 10,000 rooms of long talks must not eat the host's memory.
    pub chat_bytes: usize,
    /// Bytes of one message; the connection's thread sees to it.
    pub message_bytes: usize,
    /// How often a connection is asked whether somebody is there.
    pub ping_every: Duration,
    /// When nothing was heard for so long, nobody is.
    pub gone_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            room_size: 16,
            max_peers: 10_000,
            seat_kept: Duration::from_secs(20),
            messages_per_s: 50,
            burst: 500,
            mailbox: 64,
            mailbox_bytes: 256 * 1024,
            chat_kept: 100,
            chat_bytes: 64 * 1024,
            message_bytes: 64 * 1024,
            ping_every: Duration::from_secs(15),
            gone_after: Duration::from_secs(45),
        }
    }
}

/// PeerEvent every newcomer is told of the house.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// Another after each start of the server.
    pub instance: String,
    /// From the command line.
    pub ice_servers: Vec<IceServer>,
    /// The UDP port that answers STUN.
    pub stun_port: u16,
}

/// One connection. Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Link(pub u64);

/// Somebody at the door of a room.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Its connection.
    pub link: Link,
    /// Where it wants to.
    pub room: RoomName,
    /// Who it is: a fresh secret, or the one it was given the last time.
    pub token: ResumeToken,
    /// The host's stations that are on the air and that it may listen to.
    pub stations: Vec<String>,
    /// It has shown an admin's token, for this very connection.
    pub host: bool,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closure {
    /// With a word of goodbye.
    Left,
    /// Without.
    Dropped,
}

/// Why we end a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It said too much.
    TooManyMessages,
    /// The room or the house is full.
    RoomFull,
    /// Its peer came again on another one.
    Replaced,
    /// The server stops.
    GoingAway,
    /// Its peer said goodbye.
    Left,
    /// A host removed its peer.
    Removed,
    /// The room is locked.
    RoomLocked,
    /// A host ended the room.
    RoomEnded,
}

/// PeerEvent is to be done or known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send {
        /// To whom.
        link: Link,
        /// PeerEvent.
        text: Arc<str>,
    },
    /// Send all of this to somebody who has just come in.
    Welcome {
        /// To whom.
        link: Link,
        /// PeerEvent, in order.
        texts: Vec<Arc<str>>,
    },
    /// End this connection, after what was sent on it. It is forgotten already.
    Close {
        /// Which.
        link: Link,
        /// Why.
        reason: Reason,
    },
    /// For the log.
    PeerChanged {
        /// Whose.
        peer: PeerId,
        /// PeerEvent.
        what: PeerEvent,
        /// Peers in its room now.
        here: usize,
    },
    /// Nothing more until then.
    Wait(Instant),
}

/// PeerEvent may happen to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// It came in.
    Joined,
    /// Its connection dropped, its seat is kept.
    Away,
    /// It is back.
    Resumed,
    /// It is gone.
    Left,
}
