//! What [`Rooms`](crate::signal::rooms::Rooms) is told and what it asks for: plain values. Nothing is decided here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::ids::names::RoomName;
use crate::ids::peer::{PeerId, ResumeToken};
use crate::net::ice_server::IceServer;

/// What every newcomer is told about the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// Different after each start of the server.
    pub instance: String,
    /// STUN and TURN servers from the command line.
    pub ice_servers: Vec<IceServer>,
    /// The UDP port on which this server answers STUN.
    pub stun_port: u16,
}

/// One WebSocket. Numbers are never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// A request to join a room, or to resume a place in it.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The connection it came on.
    pub connection: ConnectionId,
    /// The address that the peer counts to.
    pub client: IpAddr,
    /// The room to join.
    pub room: RoomName,
    /// The peer's identity: a new secret, or the one from the `config` of an earlier connection.
    pub token: ResumeToken,
    /// This server's stations that are on the air and that the peer may listen to.
    pub stations: Vec<String>,
    /// The request carried an admin token, so the peer is a moderator on this connection.
    pub moderator: bool,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disconnect {
    /// The client said that it will not come back.
    Left,
    /// The connection broke; the client may come back.
    Dropped,
}

/// Why the server closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer sent more messages than it may.
    TooManyMessages,
    /// The room or the server is full.
    RoomFull,
    /// The peer came back on another connection.
    Replaced,
    /// The server stops.
    GoingAway,
    /// The peer sent `leave`.
    Left,
    /// A moderator removed the peer.
    Removed,
    /// The room is locked.
    RoomLocked,
    /// A moderator ended the room.
    RoomEnded,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a message.
    Send {
        /// On this connection.
        connection: ConnectionId,
        /// The message.
        text: Arc<str>,
    },
    /// Send the first messages after a join, all at once.
    Welcome {
        /// On this connection.
        connection: ConnectionId,
        /// The messages, in order.
        texts: Vec<Arc<str>>,
    },
    /// Close a connection after what was sent on it. It is forgotten already.
    Close {
        /// This connection.
        connection: ConnectionId,
        /// The reason.
        reason: CloseReason,
    },
    /// Log that a peer joined, left or changed.
    PeerChanged {
        /// The peer.
        peer: PeerId,
        /// What happened to it.
        event: PeerEvent,
        /// Peers in its room now.
        in_room: usize,
    },
    /// There is nothing to do until then.
    Wait(Instant),
}

/// What happened to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerEvent {
    /// It joined a room.
    Joined,
    /// Its connection dropped; its place is reserved.
    Disconnected,
    /// It came back to its reserved place.
    Resumed,
    /// It left the room, was removed, or its reservation ended.
    Left,
}
