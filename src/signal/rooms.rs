//! All rooms: who may join, who learns of whom, who may send to whom, and who sends too much.
//!
//! Pure: time, secrets and connections are arguments. The contract: change one thing, then drain [`Rooms::poll_output`]
//! until it says `Wait(deadline)`, only then change the next. It knows no socket and never waits; the hub and the threads of
//! connections see whether a peer is too slow to take what it is sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ids::peer::PeerId;
use crate::net::token_bucket::{Rate, TokenBucket};
use crate::signal::client_message::{CHAT_CHARS, ClientMessage, RelayKind};
use crate::signal::events::{CloseReason, ConnectionId, Disconnect, JoinRequest, Output, PeerEvent, ServerInfo};
use crate::signal::limits::RoomLimits;
use crate::signal::moderation::{Moderation, REMOVED_MESSAGE};
use crate::signal::peer::{Peer, Presence, Reservation};
use crate::signal::peer_state::{NAME_CHARS, PeerState};
use crate::signal::protocol_error::{ErrorCode, ProtocolError};
use crate::signal::registry::Registry;
use crate::signal::server_message::{ClientLimits, RoomConfig, ServerMessage, relayed_json};

/// The deadline without any reservation. There is nothing to wait for then, and waking once an hour costs nothing.
const IDLE: Duration = Duration::from_secs(3600);

/// Every room and every peer.
#[derive(Debug)]
pub struct Rooms {
    limits: RoomLimits,
    server: ServerInfo,
    registry: Registry,
    /// Ends of reservations, earliest first: all last equally long. An entry counts only if the peer is disconnected and
    /// its reservation ends at that very time.
    reservations: VecDeque<(Instant, PeerId)>,
    moderation: Moderation,
}

impl Rooms {
    /// No rooms yet.
    pub fn new(limits: RoomLimits, server: ServerInfo) -> Rooms {
        Rooms {
            registry: Registry::new(&limits),
            limits,
            server,
            reservations: VecDeque::new(),
            moderation: Moderation::default(),
        }
    }

    /// Rooms with at least one peer.
    pub fn room_count(&self) -> usize {
        self.registry.rooms.len()
    }

    /// Peers, reservations included.
    pub fn peer_count(&self) -> usize {
        self.registry.peers.len()
    }

    /// Peers whose connection is open.
    pub fn connected_count(&self) -> usize {
        self.registry.connections.len()
    }

    /// A client asks to join a room, or to come back to it.
    pub fn join(&mut self, request: JoinRequest, now: Instant) {
        let id = request.token.id();
        if self.moderation.is_removed(id) {
            let (code, reason) = (ErrorCode::Removed, CloseReason::Removed);
            return self.registry.close_with_error(request.connection, code, REMOVED_MESSAGE, reason);
        }
        match self.registry.room_name(id).map(|room| *room == request.room) {
            Some(true) => self.resume(id, &request, now),
            Some(false) => {
                // The token proves that this is the same peer, so it may move to another room.
                self.replace_connection(id);
                self.registry.remove_peer(id);
                self.admit(id, &request, now);
            }
            None => self.admit(id, &request, now),
        }
    }

    /// A client sent a message. Messages of connections that were closed meanwhile are ignored.
    pub fn handle_message(
        &mut self,
        connection: ConnectionId,
        message: Result<ClientMessage, ProtocolError>,
        now: Instant,
    ) {
        let Some(&id) = self.registry.connections.get(&connection) else { return };
        let rate = message_rate(&self.limits);
        let Some(peer) = self.registry.peers.get_mut(&id) else { return };
        if peer.message_budget.take(rate, now).is_err() {
            let message = format!("More than {} messages a second are too many.", self.limits.messages_per_s);
            let (code, reason) = (ErrorCode::TooManyMessages, CloseReason::TooManyMessages);
            self.registry.close_with_error(connection, code, &message, reason);
            return self.handle_disconnect(connection, Disconnect::Dropped, now);
        }
        match message {
            Ok(ClientMessage::Relay { kind, target, members }) => self.relay(connection, id, kind, target, &members),
            Ok(ClientMessage::Hello(state) | ClientMessage::State(state)) => self.set_state(id, state),
            Ok(ClientMessage::Chat(text)) => self.chat(id, text, now),
            // The connection's own thread has answered it.
            Ok(ClientMessage::Ping) => {}
            Ok(ClientMessage::Leave) => {
                self.registry.close(connection, CloseReason::Left);
                self.handle_disconnect(connection, Disconnect::Left, now);
            }
            Ok(ClientMessage::Moderate(command)) => {
                self.moderation.handle_command(&mut self.registry, connection, id, command);
            }
            Err(ProtocolError { code, message }) => self.registry.send_error(connection, code, &message),
        }
    }

    /// A connection ended.
    pub fn handle_disconnect(&mut self, connection: ConnectionId, disconnect: Disconnect, now: Instant) {
        let Some(id) = self.registry.connections.remove(&connection) else { return };
        let Some(peer) = self.registry.peers.get_mut(&id) else { return };
        // A client that never sent `hello` cannot resume, so no place is reserved for it.
        if disconnect == Disconnect::Left || peer.state.is_none() {
            return self.registry.remove_peer(id);
        }
        let until = now + self.limits.reservation;
        peer.presence = Presence::Disconnected(Reservation::new(until));
        self.reservations.push_back((until, id));
        self.registry.report(id, PeerEvent::Disconnected);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(deadline, id)) = self.reservations.front()
            && deadline <= now
        {
            self.reservations.pop_front();
            let presence = self.registry.peers.get(&id).map(|peer| &peer.presence);
            if matches!(presence, Some(Presence::Disconnected(reservation)) if reservation.until == deadline) {
                self.registry.remove_peer(id);
            }
        }
    }

    /// The server stops: every peer is told that, and not of each other's leaving.
    pub fn close_all(&mut self) {
        let connections: Vec<ConnectionId> = self.registry.connections.drain().map(|(id, _)| id).collect();
        for connection in connections {
            let message = "The server stops; it may be back in a moment.";
            self.registry.close_with_error(connection, ErrorCode::GoingAway, message, CloseReason::GoingAway);
        }
        self.registry.rooms.clear();
        let peers: Vec<PeerId> = self.registry.peers.keys().copied().collect();
        for id in peers {
            self.registry.forget_peer(id);
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self, now: Instant) -> Output {
        let wait = || Output::Wait(self.reservations.front().map_or(now + IDLE, |(deadline, _)| *deadline));
        self.registry.outputs.pop_front().unwrap_or_else(wait)
    }

    /// Lets a newcomer into a room, unless the room is locked or full.
    fn admit(&mut self, id: PeerId, request: &JoinRequest, now: Instant) {
        if let Some((code, message, reason)) = self.refusal(request) {
            return self.registry.close_with_error(request.connection, code, &message, reason);
        }
        let text = ServerMessage::NewPeer { id }.to_json();
        let room = self.registry.spelling(&request.room);
        self.registry.broadcast(&room, &text, None);
        self.registry.rooms.entry(room.clone()).or_default().members.push(id);
        self.registry.connections.insert(request.connection, id);
        let peer = Peer {
            room,
            client: request.client,
            presence: Presence::Connected(request.connection),
            state: None,
            message_budget: TokenBucket::full(message_rate(&self.limits), now),
            moderator: request.moderator,
            mute_pending: false,
        };
        self.registry.insert_peer(id, peer);
        self.welcome(id, request, false, vec![], now);
        self.registry.report(id, PeerEvent::Joined);
    }

    /// Why a newcomer may not join, if it may not.
    fn refusal(&self, request: &JoinRequest) -> Option<(ErrorCode, String, CloseReason)> {
        let RoomLimits { room_size, max_peers, .. } = self.limits;
        let room = self.registry.rooms.get(&request.room);
        let (in_room, locked) = room.map_or((0, false), |room| (room.members.len(), room.locked));
        if locked && !request.moderator {
            let message = "The room is locked. A moderator can unlock it.".into();
            return Some((ErrorCode::RoomLocked, message, CloseReason::RoomLocked));
        }
        let full = if in_room >= room_size {
            format!("The room is full: {in_room} peers are in it.")
        } else if self.registry.peers.len() >= max_peers {
            format!("The server is full: {max_peers} peers are in its rooms.")
        } else if !self.registry.places.may_add(request.client) {
            "As many peers as one address may have are in rooms.".to_owned()
        } else {
            return None;
        };
        Some((ErrorCode::RoomFull, full, CloseReason::RoomFull))
    }

    fn resume(&mut self, id: PeerId, request: &JoinRequest, now: Instant) {
        self.replace_connection(id);
        let Some(peer) = self.registry.peers.get_mut(&id) else { return };
        let messages = match std::mem::replace(&mut peer.presence, Presence::Connected(request.connection)) {
            Presence::Disconnected(reservation) => {
                self.registry.queued_bytes -= reservation.queue_bytes();
                reservation.into_messages()
            }
            Presence::Connected(_) => vec![],
        };
        peer.moderator = request.moderator;
        // A peer that comes back from another address counts there, if there is space: else an address could collect
        // places that others have taken.
        let places = &mut self.registry.places;
        if peer.client != request.client && places.may_add(request.client) {
            places.remove(peer.client);
            peer.client = request.client;
            places.add(peer.client);
        }
        self.registry.connections.insert(request.connection, id);
        self.welcome(id, request, true, messages, now);
        self.registry.report(id, PeerEvent::Resumed);
    }

    /// Closes the peer's present connection, if it has one: of two connections of one peer the later one counts.
    fn replace_connection(&mut self, id: PeerId) {
        if let Some(old) = self.registry.peers.get(&id).and_then(Peer::connection) {
            self.registry.connections.remove(&old);
            let message = "You joined again on another connection.";
            self.registry.close_with_error(old, ErrorCode::Replaced, message, CloseReason::Replaced);
        }
    }

    /// Sends the first messages: who is there, the configuration, the state of the others, the chat, and what was kept
    /// during the reservation.
    fn welcome(&mut self, id: PeerId, request: &JoinRequest, resumed: bool, queued: Vec<Arc<str>>, now: Instant) {
        let Some((name, room)) = self.registry.rooms.get_key_value(&request.room) else { return };
        let others: Vec<PeerId> = room.members.iter().copied().filter(|&other| other != id).collect();
        let config = RoomConfig {
            instance: &self.server.instance,
            resume: request.token,
            resumed,
            room: name,
            ice_servers: &self.server.ice_servers,
            stun_port: self.server.stun_port,
            stations: &request.stations,
            limits: client_limits(&self.limits),
            moderator: request.moderator,
            locked: room.locked,
        };
        let mut texts =
            vec![ServerMessage::InitPeers { id, peer_ids: &others }.to_json(), ServerMessage::Config(config).to_json()];
        let peers = &self.registry.peers;
        let states = others.iter().filter_map(|id| Some((*id, peers.get(id)?.state.as_ref()?)));
        texts.extend(states.map(|(id, state)| ServerMessage::PeerState { id, state }.to_json()));
        let mute_pending = room.members.iter().filter(|id| peers.get(id).is_some_and(|peer| peer.mute_pending));
        texts.extend(mute_pending.map(|&id| ServerMessage::Mute { id }.to_json()));
        texts.extend(room.chat_history(now));
        texts.extend(queued);
        self.registry.outputs.push_back(Output::Welcome { connection: request.connection, texts });
    }

    /// Passes a message to one other peer of the same room. The sender's id is that of the connection, whatever the
    /// message says.
    fn relay(&mut self, connection: ConnectionId, sender: PeerId, kind: RelayKind, target: PeerId, members: &str) {
        if !self.registry.share_a_room(sender, target) {
            return self.registry.send_unknown_target(connection);
        }
        let Some(peer) = self.registry.peers.get_mut(&target) else { return };
        let text = relayed_json(kind, sender, members);
        match &mut peer.presence {
            Presence::Connected(connection) => {
                self.registry.outputs.push_back(Output::Send { connection: *connection, text });
            }
            Presence::Disconnected(reservation) => {
                self.registry.queued_bytes += text.len();
                if !reservation.push(sender, text, self.registry.queued_bytes, &self.limits) {
                    self.registry.remove_peer(target);
                }
            }
        }
    }

    fn set_state(&mut self, id: PeerId, state: PeerState) {
        let Some(peer) = self.registry.peers.get_mut(&id) else { return };
        let text = ServerMessage::PeerState { id, state: &state }.to_json();
        let room = peer.room.clone();
        peer.mute_pending &= !state.muted;
        peer.state = Some(state);
        self.registry.broadcast(&room, &text, Some(id));
    }

    fn chat(&mut self, id: PeerId, text: String, now: Instant) {
        let Some(peer) = self.registry.peers.get(&id) else { return };
        let name = peer.state.as_ref().map(|state| state.name.clone()).unwrap_or_default();
        let (room_name, rooms) = (peer.room.clone(), self.registry.rooms.len());
        let Some(room) = self.registry.rooms.get_mut(&room_name) else { return };
        let text = room.add_chat(id, name, text, &self.limits, rooms, now);
        self.registry.broadcast(&room_name, &text, None);
    }
}

fn message_rate(limits: &RoomLimits) -> Rate {
    Rate { per_s: f64::from(limits.messages_per_s), burst: f64::from(limits.message_burst) }
}

fn client_limits(limits: &RoomLimits) -> ClientLimits {
    ClientLimits {
        room_size: limits.room_size,
        message_bytes: limits.message_bytes,
        messages_per_s: limits.messages_per_s,
        name_chars: NAME_CHARS,
        chat_chars: CHAT_CHARS,
        reservation_s: limits.reservation.as_secs(),
    }
}
