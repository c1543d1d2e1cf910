//! One peer of a room: its state, its message budget, and its connection or, while it is disconnected, its reservation.
//! Pure; it sends nothing.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::ids::names::RoomName;
use crate::ids::peer::PeerId;
use crate::net::token_bucket::TokenBucket;
use crate::signal::events::ConnectionId;
use crate::signal::limits::RoomLimits;
use crate::signal::peer_state::PeerState;

/// A peer, connected or not.
#[derive(Debug)]
pub(crate) struct Peer {
    pub room: RoomName,
    /// The address that its place counts to.
    pub client: IpAddr,
    pub presence: Presence,
    /// Its last `hello` or `peer-state`. None for a client that knows only the first six messages.
    pub state: Option<PeerState>,
    /// How many messages it may still send.
    pub message_budget: TokenBucket,
    /// Its present connection was opened with an admin token.
    pub moderator: bool,
    /// A moderator has muted it, and it has not yet said that it is muted.
    pub mute_pending: bool,
}

/// Whether a peer is connected.
#[derive(Debug)]
pub(crate) enum Presence {
    Connected(ConnectionId),
    Disconnected(Reservation),
}

/// The place of a disconnected peer, kept for a while, and what was sent to it meanwhile.
#[derive(Debug)]
pub(crate) struct Reservation {
    pub until: Instant,
    /// Relayed messages with their senders. Bounded by [`RoomLimits`]; when it overflows, the reservation ends.
    queue: VecDeque<(PeerId, Arc<str>)>,
    queue_bytes: usize,
}

impl Peer {
    /// Its connection, if it has one.
    pub fn connection(&self) -> Option<ConnectionId> {
        match self.presence {
            Presence::Connected(connection) => Some(connection),
            Presence::Disconnected(_) => None,
        }
    }
}

impl Reservation {
    /// A reservation without messages.
    pub fn new(until: Instant) -> Reservation {
        Reservation { until, queue: VecDeque::new(), queue_bytes: 0 }
    }

    /// Keeps a message for the peer. False if more is kept now than may be. `in_all`: bytes that are kept for all peers.
    pub fn push(&mut self, sender: PeerId, text: Arc<str>, in_all: usize, limits: &RoomLimits) -> bool {
        self.queue_bytes += text.len();
        self.queue.push_back((sender, text));
        let is_scarce = in_all > limits.queued_bytes_in_all;
        let max_bytes = if is_scarce { limits.scarce_bytes.min(limits.queued_bytes) } else { limits.queued_bytes };
        self.queue.len() <= limits.queued_messages && self.queue_bytes <= max_bytes
    }

    /// The bytes of all messages that were ever kept.
    pub fn queue_bytes(&self) -> usize {
        self.queue_bytes
    }

    /// Forgets what a peer sent that has left. Its bytes still count: the limit is on all that one reservation was sent.
    pub fn forget_sender(&mut self, sender: PeerId) {
        self.queue.retain(|(other, _)| *other != sender);
    }

    /// The messages that were kept, oldest first.
    pub fn into_messages(self) -> Vec<Arc<str>> {
        self.queue.into_iter().map(|(_, text)| text).collect()
    }
}
