//! All rooms, peers and connections, and the outputs that wait to be taken. Pure. It offers the steps that rules are made of
//! (broadcast, refuse, remove a peer); the rules themselves are in `rooms` and `moderation`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::ids::names::RoomName;
use crate::ids::peer::PeerId;
use crate::net::subnet::{AddressLimit, SubnetCounts};
use crate::observe::sentence::sentence;
use crate::signal::events::{CloseReason, ConnectionId, Output, PeerEvent};
use crate::signal::limits::RoomLimits;
use crate::signal::peer::{Peer, Presence};
use crate::signal::protocol_error::{ErrorCode, ProtocolError};
use crate::signal::room::Room;
use crate::signal::server_message::ServerMessage;

#[derive(Debug)]
pub(crate) struct Registry {
    /// Rooms with at least one peer. A key keeps the spelling of the peer that opened the room.
    pub rooms: HashMap<RoomName, Room>,
    pub peers: HashMap<PeerId, Peer>,
    /// Open connections of peers.
    pub connections: HashMap<ConnectionId, PeerId>,
    /// How many peers each address has.
    pub places: SubnetCounts,
    /// What is kept for all disconnected peers together.
    pub queued_bytes: usize,
    /// Bounded by the contract of [`Rooms`](crate::signal::rooms::Rooms): all are taken after each change.
    pub outputs: VecDeque<Output>,
}

impl Registry {
    /// No rooms yet.
    pub fn new(limits: &RoomLimits) -> Registry {
        let limit = AddressLimit { max_per_address: limits.max_peers_per_address, total: limits.max_peers };
        Registry {
            rooms: HashMap::new(),
            peers: HashMap::new(),
            connections: HashMap::new(),
            places: SubnetCounts::new(limit),
            queued_bytes: 0,
            outputs: VecDeque::new(),
        }
    }

    /// Adds a peer, whose place counts to its address from now on.
    pub fn insert_peer(&mut self, id: PeerId, peer: Peer) {
        self.places.add(peer.client);
        self.peers.insert(id, peer);
    }

    /// Forgets a peer and what is kept for it. Nobody is told.
    pub fn forget_peer(&mut self, id: PeerId) -> Option<Peer> {
        let peer = self.peers.remove(&id)?;
        self.places.remove(peer.client);
        if let Presence::Disconnected(reservation) = &peer.presence {
            self.queued_bytes -= reservation.queue_bytes();
        }
        Some(peer)
    }

    /// The room that a peer is in.
    pub fn room_name(&self, id: PeerId) -> Option<&RoomName> {
        self.peers.get(&id).map(|peer| &peer.room)
    }

    /// The room's name in the spelling of the peer that opened it; `name` itself if the room does not exist.
    pub fn spelling(&self, name: &RoomName) -> RoomName {
        self.rooms.get_key_value(name).map_or(name, |(spelling, _)| spelling).clone()
    }

    /// Whether these are two different peers in the same room.
    pub fn share_a_room(&self, id: PeerId, other: PeerId) -> bool {
        id != other && self.room_name(id).is_some_and(|room| self.room_name(other) == Some(room))
    }

    /// Sends to all connected peers of a room. Disconnected peers get the whole state when they resume.
    pub fn broadcast(&mut self, room: &RoomName, text: &Arc<str>, except: Option<PeerId>) {
        let Some(room) = self.rooms.get(room) else { return };
        for member in room.members.iter().filter(|&&member| Some(member) != except) {
            if let Some(connection) = self.peers.get(member).and_then(Peer::connection) {
                self.outputs.push_back(Output::Send { connection, text: Arc::clone(text) });
            }
        }
    }

    /// Sends an `error`.
    pub fn send_error(&mut self, connection: ConnectionId, code: ErrorCode, message: &str) {
        let text = ServerMessage::Error { code, message: &sentence(message) }.to_json();
        self.outputs.push_back(Output::Send { connection, text });
    }

    /// Tells a peer that its message names no other peer of its room.
    pub fn send_unknown_target(&mut self, connection: ConnectionId) {
        let ProtocolError { code, message } = ProtocolError::unknown_target();
        self.send_error(connection, code, &message);
    }

    /// Asks for a connection to be closed.
    pub fn close(&mut self, connection: ConnectionId, reason: CloseReason) {
        self.outputs.push_back(Output::Close { connection, reason });
    }

    /// Sends an `error`, then asks for the connection to be closed.
    pub fn close_with_error(&mut self, connection: ConnectionId, code: ErrorCode, message: &str, reason: CloseReason) {
        self.send_error(connection, code, message);
        self.close(connection, reason);
    }

    /// Takes a peer out of its room and tells the others.
    pub fn remove_peer(&mut self, id: PeerId) {
        let Some(peer) = self.forget_peer(id) else { return };
        if let Some(connection) = peer.connection() {
            self.connections.remove(&connection);
        }
        let Some(room) = self.rooms.get_mut(&peer.room) else { return };
        room.members.retain(|member| *member != id);
        let in_room = room.members.len();
        for member in &room.members {
            if let Some(Peer { presence: Presence::Disconnected(reservation), .. }) = self.peers.get_mut(member) {
                reservation.forget_sender(id);
            }
        }
        if in_room == 0 {
            self.rooms.remove(&peer.room);
        }
        self.broadcast(&peer.room, &ServerMessage::PeerDisconnect { id }.to_json(), None);
        self.outputs.push_back(Output::PeerChanged { peer: id, event: PeerEvent::Left, in_room });
    }

    /// Reports what happened to a peer that is still in its room.
    pub fn report(&mut self, peer: PeerId, event: PeerEvent) {
        let room = self.room_name(peer).and_then(|name| self.rooms.get(name));
        let in_room = room.map_or(0, |room| room.members.len());
        self.outputs.push_back(Output::PeerChanged { peer, event, in_room });
    }
}
