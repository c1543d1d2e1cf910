//! All rooms and who sits in them: who learns of whom, who may speak to whom, who is too many or too loud.
//!
//! Pure: time, secrets and connections are arguments. The contract: change one thing, then drain [`Rooms::poll_output`]
//! until it says `Wait(deadline)`, only then change the next. It knows no socket and never waits; whether a peer is slow
//! to take what it is sent is somebody else's to see.

mod events;
mod moderation;
mod peer;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ids::names::RoomName;
use crate::ids::peer::PeerId;
use crate::signal::messages::{
    self, ClientMessage, Config, ConfigLimits, ErrorCode, PeerState, ProtocolError, Relay, ServerMessage,
};

use peer::{Allowance, Chat, Place, Room, Seat};

pub use events::{Closure, JoinRequest, Limits, Link, Output, PeerEvent, Reason, ServerInfo};

/// With no seat to give up there is nothing to wait for; looking again once an hour costs nothing.
const IDLE: Duration = Duration::from_secs(3600);
/// Removed peers that are remembered; of more, the oldest may come back, as anybody may with a new id.
const REMOVED: usize = 1_024;

/// PeerEvent somebody is told who was removed, then and whenever they come back.
const REMOVED_SENTENCE: &str = "A host removed you from this room.";

/// Every room and every seat.
#[derive(Debug)]
pub struct Rooms {
    limits: Limits,
    facts: ServerInfo,
    rooms: HashMap<RoomName, Room>,
    seats: HashMap<PeerId, Seat>,
    links: HashMap<Link, PeerId>,
    /// Seats without a connection, earliest deadline first: each is kept equally long. An entry counts only if its seat
    /// is away until that very time.
    kept: VecDeque<(Instant, PeerId)>,
    /// Their tokens are void, in every room.
    removed: VecDeque<PeerId>,
    outputs: VecDeque<Output>,
}

impl Rooms {
    /// Without anybody.
    pub fn new(limits: Limits, facts: ServerInfo) -> Rooms {
        Rooms {
            limits,
            facts,
            rooms: HashMap::new(),
            seats: HashMap::new(),
            links: HashMap::new(),
            kept: VecDeque::new(),
            removed: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Rooms that somebody is in.
    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Peers, those included whose seat is kept.
    pub fn peers(&self) -> usize {
        self.seats.len()
    }

    /// Peers whose connection is open.
    pub fn connected(&self) -> usize {
        self.links.len()
    }

    /// Somebody wants in, or back in.
    pub fn open(&mut self, arrival: JoinRequest, now: Instant) {
        let id = arrival.token.id();
        if self.removed.contains(&id) {
            return self.send_away(arrival.link, ErrorCode::Removed, REMOVED_SENTENCE, Reason::Removed);
        }
        match self.seats.get(&id).map(|seat| seat.room == arrival.room) {
            Some(true) => self.resume(id, &arrival, now),
            Some(false) => {
                // Who shows the token may do with the seat as they like, this one moves.
                self.replace(id);
                self.leave(id);
                self.join(id, &arrival, now);
            }
            None => self.join(id, &arrival, now),
        }
    }

    /// A peer said something. Connections that were closed meanwhile say nothing any more.
    pub fn say(&mut self, link: Link, said: ClientMessage, now: Instant) {
        let Some(&id) = self.links.get(&link) else { return };
        let Some(seat) = self.seats.get_mut(&id) else { return };
        if !seat.allowance.take(&self.limits, now) {
            let message = format!("More than {} messages a second are too many.", self.limits.messages_per_s);
            self.fault(link, ErrorCode::TooManyMessages, &message);
            self.end(link, Reason::TooManyMessages);
            return self.close(link, Closure::Dropped, now);
        }
        match said {
            ClientMessage::Relay { kind, target, members } => self.relay(link, id, kind, target, &members),
            ClientMessage::Hello(state) | ClientMessage::State(state) => self.state(id, state),
            ClientMessage::Chat(text) => self.chat(id, text, now),
            ClientMessage::Leave => {
                self.end(link, Reason::Left);
                self.close(link, Closure::Left, now);
            }
            ClientMessage::Lock(_) | ClientMessage::Remove(_) | ClientMessage::Mute(_) | ClientMessage::EndRoom => {
                self.order(link, id, said)
            }
            ClientMessage::Wrong(ProtocolError { code, message }) => self.fault(link, code, &message),
        }
    }

    /// A connection ended.
    pub fn close(&mut self, link: Link, ending: Closure, now: Instant) {
        let Some(id) = self.links.remove(&link) else { return };
        let Some(seat) = self.seats.get_mut(&id) else { return };
        // Who never said hello cannot come back, so nobody need wait for it.
        if ending == Closure::Left || seat.state.is_none() {
            return self.leave(id);
        }
        let until = now + self.limits.seat_kept;
        seat.place = Place::Away { until, mailbox: VecDeque::new(), bytes: 0 };
        self.kept.push_back((until, id));
        self.happened(id, PeerEvent::Away);
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(deadline, id)) = self.kept.front()
            && deadline <= now
        {
            self.kept.pop_front();
            let away = self.seats.get(&id).map(|seat| &seat.place);
            if matches!(away, Some(Place::Away { until, .. }) if *until == deadline) {
                self.leave(id);
            }
        }
    }

    /// The server stops: everybody is told, and nobody is told of the others' leaving.
    pub fn close_all(&mut self) {
        let links: Vec<Link> = self.links.drain().map(|(link, _)| link).collect();
        for link in links {
            self.fault(link, ErrorCode::GoingAway, "The server stops; it may be back in a moment.");
            self.end(link, Reason::GoingAway);
        }
        self.rooms.clear();
        self.seats.clear();
    }

    /// The next thing to do.
    pub fn poll_output(&mut self, now: Instant) -> Output {
        let wait = || Output::Wait(self.kept.front().map_or(now + IDLE, |(deadline, _)| *deadline));
        self.outputs.pop_front().unwrap_or_else(wait)
    }

    fn join(&mut self, id: PeerId, arrival: &JoinRequest, now: Instant) {
        let Limits { room_size, max_peers, burst, .. } = self.limits;
        let (here, locked) = self.rooms.get(&arrival.room).map_or((0, false), |it| (it.members.len(), it.locked));
        if locked && !arrival.host {
            let message = "The room is locked; somebody inside can let you in.";
            return self.send_away(arrival.link, ErrorCode::RoomLocked, message, Reason::RoomLocked);
        }
        let full = if here >= room_size {
            Some(format!("The room is full: {here} are in it."))
        } else if self.seats.len() >= max_peers {
            Some(format!("The server is full: {max_peers} are here."))
        } else {
            None
        };
        if let Some(message) = full {
            return self.send_away(arrival.link, ErrorCode::RoomFull, &message, Reason::RoomFull);
        }
        let text = ServerMessage::NewPeer { id }.text();
        self.tell(&arrival.room, &text, None);
        self.rooms.entry(arrival.room.clone()).or_default().members.push(id);
        self.links.insert(arrival.link, id);
        let allowance = Allowance { messages: f64::from(burst), at: now };
        let place = Place::Here(arrival.link);
        let room = arrival.room.clone();
        let seat = Seat { room, place, state: None, allowance, host: arrival.host, silenced: false };
        self.seats.insert(id, seat);
        self.welcome(id, arrival, false, vec![], now);
        self.happened(id, PeerEvent::Joined);
    }

    fn resume(&mut self, id: PeerId, arrival: &JoinRequest, now: Instant) {
        self.replace(id);
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let mail = match std::mem::replace(&mut seat.place, Place::Here(arrival.link)) {
            Place::Away { mailbox, .. } => mailbox.into_iter().map(|(_, text)| text).collect(),
            Place::Here(_) => vec![],
        };
        seat.host = arrival.host;
        self.links.insert(arrival.link, id);
        self.welcome(id, arrival, true, mail, now);
        self.happened(id, PeerEvent::Resumed);
    }

    /// The one before must go, if there is one: of two connections for one peer, the later is right.
    fn replace(&mut self, id: PeerId) {
        if let Some(Seat { place: Place::Here(old), .. }) = self.seats.get(&id) {
            let old = *old;
            self.links.remove(&old);
            self.fault(old, ErrorCode::Replaced, "You came in again on another connection.");
            self.end(old, Reason::Replaced);
        }
    }

    fn welcome(&mut self, id: PeerId, arrival: &JoinRequest, resumed: bool, mail: Vec<Arc<str>>, now: Instant) {
        let Some(room) = self.rooms.get(&arrival.room) else { return };
        let others: Vec<PeerId> = room.members.iter().copied().filter(|&other| other != id).collect();
        let Limits { room_size, message_bytes, messages_per_s, seat_kept, .. } = self.limits;
        let config = Config {
            instance: &self.facts.instance,
            resume: arrival.token,
            resumed,
            room: &arrival.room,
            ice_servers: &self.facts.ice_servers,
            stun_port: self.facts.stun_port,
            stations: &arrival.stations,
            limits: ConfigLimits {
                room_size,
                message_bytes,
                messages_per_second: messages_per_s,
                name_chars: messages::NAME_CHARS,
                chat_chars: messages::CHAT_CHARS,
                seat_seconds: seat_kept.as_secs(),
            },
            host: arrival.host,
            locked: room.locked,
        };
        let mut texts =
            vec![ServerMessage::InitPeers { id, peer_ids: &others }.text(), ServerMessage::Config(config).text()];
        let states = others.iter().filter_map(|id| Some((*id, self.seats.get(id)?.state.as_ref()?)));
        texts.extend(states.map(|(id, state)| ServerMessage::PeerState { id, state }.text()));
        let silenced = room.members.iter().filter(|id| self.seats.get(id).is_some_and(|seat| seat.silenced));
        texts.extend(silenced.map(|&id| ServerMessage::Mute { id }.text()));
        texts.extend(room.chat.iter().map(|chat| chat.text(now)));
        texts.extend(mail);
        self.outputs.push_back(Output::Welcome { link: arrival.link, texts });
    }

    /// To one peer of the same room, in the sender's name: that is the connection's, whatever the message says.
    fn relay(&mut self, link: Link, sender: PeerId, kind: Relay, target: PeerId, members: &str) {
        let room = self.seats.get(&sender).map(|seat| seat.room.clone());
        let seat = self.seats.get_mut(&target).filter(|seat| target != sender && Some(&seat.room) == room.as_ref());
        let Some(seat) = seat else {
            let ProtocolError { code, message } = messages::unknown_target();
            return self.fault(link, code, &message);
        };
        let text = messages::relayed(kind, sender, members);
        match &mut seat.place {
            Place::Here(link) => self.outputs.push_back(Output::Send { link: *link, text }),
            Place::Away { mailbox, bytes, .. } => {
                *bytes += text.len();
                mailbox.push_back((sender, text));
                if mailbox.len() > self.limits.mailbox || *bytes > self.limits.mailbox_bytes {
                    self.leave(target);
                }
            }
        }
    }

    fn state(&mut self, id: PeerId, state: PeerState) {
        let Some(seat) = self.seats.get_mut(&id) else { return };
        let text = ServerMessage::PeerState { id, state: &state }.text();
        let room = seat.room.clone();
        seat.silenced &= !state.muted;
        seat.state = Some(state);
        self.tell(&room, &text, Some(id));
    }

    fn chat(&mut self, id: PeerId, text: String, now: Instant) {
        let Some(seat) = self.seats.get(&id) else { return };
        let name = seat.state.as_ref().map(|state| state.name.clone()).unwrap_or_default();
        let room_name = seat.room.clone();
        let Some(room) = self.rooms.get_mut(&room_name) else { return };
        room.said += 1;
        let chat = Chat { seq: room.said, sender: id, name, text, at: now };
        let text = chat.text(now);
        room.keep(chat, &self.limits);
        self.tell(&room_name, &text, None);
    }

    /// Takes a peer out of its room and tells the others.
    fn leave(&mut self, id: PeerId) {
        let Some(seat) = self.seats.remove(&id) else { return };
        if let Place::Here(link) = seat.place {
            self.links.remove(&link);
        }
        let Some(room) = self.rooms.get_mut(&seat.room) else { return };
        room.members.retain(|member| *member != id);
        let here = room.members.len();
        for member in &room.members {
            if let Some(Seat { place: Place::Away { mailbox, .. }, .. }) = self.seats.get_mut(member) {
                mailbox.retain(|(sender, _)| *sender != id);
            }
        }
        if here == 0 {
            self.rooms.remove(&seat.room);
        }
        self.tell(&seat.room, &ServerMessage::PeerDisconnect { id }.text(), None);
        self.outputs.push_back(Output::PeerChanged { peer: id, what: PeerEvent::Left, here });
    }

    /// To all in a room whose connection is open. Those who are away learn what is when they are back.
    fn tell(&mut self, room: &RoomName, text: &Arc<str>, except: Option<PeerId>) {
        let Some(room) = self.rooms.get(room) else { return };
        for member in room.members.iter().filter(|&&member| Some(member) != except) {
            if let Some(Seat { place: Place::Here(link), .. }) = self.seats.get(member) {
                self.outputs.push_back(Output::Send { link: *link, text: Arc::clone(text) });
            }
        }
    }

    /// Somebody who is not in.
    fn send_away(&mut self, link: Link, code: ErrorCode, message: &str, reason: Reason) {
        self.fault(link, code, message);
        self.end(link, reason);
    }

    fn fault(&mut self, link: Link, code: ErrorCode, message: &str) {
        self.outputs.push_back(Output::Send { link, text: ServerMessage::Error { code, message }.text() });
    }

    fn end(&mut self, link: Link, reason: Reason) {
        self.outputs.push_back(Output::Close { link, reason });
    }

    fn happened(&mut self, peer: PeerId, what: PeerEvent) {
        let room = self.seats.get(&peer).and_then(|seat| self.rooms.get(&seat.room));
        let here = room.map_or(0, |room| room.members.len());
        self.outputs.push_back(Output::PeerChanged { peer, what, here });
    }
}
