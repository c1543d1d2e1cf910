//! A simple model of rooms, to compare the real ones with: who should be where, and what each browser should know.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use roomtone::signal::events::{CloseReason, ConnectionId, Disconnect};
use roomtone::signal::limits::RoomLimits;
use serde_json::{Value, json};

use crate::signal::virtual_rooms::{SECOND, VirtualRooms, id};

pub const ROOMS: usize = 3;

/// What peer `n` does, or time.
#[derive(Clone, Debug)]
pub enum Action {
    Join {
        n: u8,
        room: usize,
        moderator: bool,
    },
    /// A moderator's command, from any peer.
    Moderate {
        n: u8,
        target: u8,
        command: &'static str,
        locked: bool,
    },
    Hello {
        n: u8,
    },
    Offer {
        n: u8,
        target: u8,
    },
    Chat {
        n: u8,
    },
    SendInvalid {
        n: u8,
    },
    /// Messages and a disconnect on a connection that the rooms have forgotten.
    SendOnOldConnection {
        n: u8,
        target: u8,
    },
    Drop {
        n: u8,
    },
    Close {
        n: u8,
    },
    Leave {
        n: u8,
    },
    Wait {
        ms: u64,
    },
}

/// A peer as it should be.
#[derive(Clone, Debug)]
struct ExpectedPeer {
    room: usize,
    moderator: bool,
    connection: Option<ConnectionId>,
    reserved_until: Option<Instant>,
    sent_hello: bool,
    queued: Vec<Value>,
}

/// What a browser knows from the messages that it received.
#[derive(Default)]
struct View {
    others: BTreeSet<String>,
    moderator: bool,
    locked: bool,
}

/// The real rooms, and what is expected of them.
pub struct Model {
    rooms: VirtualRooms,
    limits: RoomLimits,
    peers: BTreeMap<u8, ExpectedPeer>,
    views: HashMap<ConnectionId, (u8, View)>,
    old_connections: HashMap<u8, ConnectionId>,
    locked: [bool; ROOMS],
    removed: BTreeSet<u8>,
    offers: u64,
}

impl Model {
    pub fn new() -> Model {
        let limits = RoomLimits { room_size: 4, max_peers: 6, queued_messages: 3, ..RoomLimits::default() };
        Model {
            rooms: VirtualRooms::new(limits.clone()),
            limits,
            peers: BTreeMap::new(),
            views: HashMap::new(),
            old_connections: HashMap::new(),
            locked: [false; ROOMS],
            removed: BTreeSet::new(),
            offers: 0,
        }
    }

    fn connection(&self, n: u8) -> Option<ConnectionId> {
        self.peers.get(&n).and_then(|peer| peer.connection)
    }

    /// Does it with the real rooms and checks everything that they sent.
    pub fn act(&mut self, action: &Action) {
        match *action {
            Action::Join { n, room, moderator } => self.join(n, room, moderator),
            Action::Moderate { n, target, command, locked } => self.moderate(n, target, command, locked),
            Action::Hello { n } => {
                let Some(connection) = self.connection(n) else { return };
                self.rooms.hello(connection, "somebody");
                self.peers.get_mut(&n).unwrap().sent_hello = true;
            }
            Action::Offer { n, target } => self.offer(n, target),
            Action::Chat { n } => {
                let Some(connection) = self.connection(n) else { return };
                self.rooms.send(connection, &json!({"type": "chat", "payload": {"text": format!("from {}", id(n))}}));
            }
            Action::SendInvalid { n } => {
                let Some(connection) = self.connection(n) else { return };
                self.rooms.send(connection, &json!({"type": "dance"}));
            }
            Action::SendOnOldConnection { n, target } => {
                let Some(&old) = self.old_connections.get(&n) else { return };
                self.rooms.send(old, &json!({"type": "offer", "targetId": id(target), "payload": {"old": true}}));
                self.rooms.send(old, &json!({"type": "leave"}));
                self.rooms.disconnect(old, Disconnect::Left);
            }
            Action::Drop { n } => self.disconnect(n, Disconnect::Dropped),
            Action::Close { n } => self.disconnect(n, Disconnect::Left),
            Action::Leave { n } => {
                let Some(connection) = self.connection(n) else { return };
                self.rooms.send(connection, &json!({"type": "leave"}));
                self.is_closed(n, CloseReason::Left);
            }
            Action::Wait { ms } => {
                self.rooms.advance(Duration::from_millis(ms));
                let now = self.rooms.now;
                self.peers.retain(|_, peer| peer.reserved_until.is_none_or(|until| until > now));
            }
        }
        self.forget_messages_of_those_who_left();
        self.check();
    }

    fn join(&mut self, n: u8, room: usize, moderator: bool) {
        let connection = self.rooms.join_as(n, &format!("room{room}"), moderator);
        if self.removed.contains(&n) {
            return self.is_refused(connection, CloseReason::Removed, "removed");
        }
        if let Some(old) = self.connection(n) {
            assert_eq!(self.rooms.closed.get(&old), Some(&CloseReason::Replaced));
            self.forget_connection(n, old);
        }
        let mut sent_hello = false;
        let mut queued = vec![];
        match self.peers.remove(&n) {
            Some(old) if old.room == room => {
                sent_hello = old.sent_hello;
                queued = old.queued.into_iter().filter(|offer| self.is_in_room(&sender(offer), room)).collect();
            }
            _ => {
                self.unlock_empty_rooms();
                if self.locked[room] && !moderator {
                    return self.is_refused(connection, CloseReason::RoomLocked, "room-locked");
                }
                let in_room = self.peers.values().filter(|peer| peer.room == room).count();
                if in_room >= self.limits.room_size || self.peers.len() >= self.limits.max_peers {
                    return self.is_refused(connection, CloseReason::RoomFull, "room-full");
                }
            }
        }
        let (connected, reserved_until) = (Some(connection), None);
        let peer = ExpectedPeer { room, moderator, connection: connected, reserved_until, sent_hello, queued: vec![] };
        self.peers.insert(n, peer);
        let sent = self.rooms.sent.get(&connection).unwrap();
        let offers: Vec<&Value> = sent.iter().filter(|message| message["type"] == "offer").collect();
        assert_eq!(offers, queued.iter().collect::<Vec<_>>(), "what was kept for it");
        self.views.insert(connection, (n, View::default()));
    }

    fn is_refused(&mut self, connection: ConnectionId, reason: CloseReason, code: &str) {
        assert_eq!(self.rooms.closed.get(&connection), Some(&reason));
        let received = self.rooms.received(connection);
        assert_eq!((received.len(), &received[0]["payload"]["code"]), (1, &json!(code)));
    }

    /// Peer `n` is out of its room, and its connection, if it had one, was closed.
    fn is_closed(&mut self, n: u8, reason: CloseReason) {
        if let Some(connection) = self.connection(n) {
            assert_eq!(self.rooms.closed.get(&connection), Some(&reason));
            self.forget_connection(n, connection);
        }
        self.peers.remove(&n);
    }

    fn unlock_empty_rooms(&mut self) {
        for (room, locked) in self.locked.iter_mut().enumerate() {
            *locked &= self.peers.values().any(|peer| peer.room == room);
        }
    }

    /// From a peer that is no moderator it changes nothing, which `check` verifies.
    fn moderate(&mut self, n: u8, target: u8, command: &str, locked: bool) {
        let Some(connection) = self.connection(n) else { return };
        let room = self.peers[&n].room;
        let before = self.rooms.sent.clone();
        let message = json!({"type": command, "targetId": id(target), "payload": {"locked": locked}});
        self.rooms.send(connection, &message);
        let is_answered_with = |model: &Model, code: &str| {
            assert_eq!(model.rooms.sent[&connection].last().unwrap()["payload"]["code"], code);
            let mut others = model.rooms.sent.clone();
            others.remove(&connection);
            assert_eq!(others, before, "another peer was told");
        };
        if !self.peers[&n].moderator {
            return is_answered_with(self, "not-allowed");
        }
        let shares_room = target != n && self.peers.get(&target).is_some_and(|peer| peer.room == room);
        match command {
            "lock" => self.locked[room] = locked,
            "end-room" => {
                let in_room = self.peers.iter().filter(|(_, peer)| peer.room == room);
                for member in in_room.map(|(n, _)| *n).collect::<Vec<u8>>() {
                    self.is_closed(member, CloseReason::RoomEnded);
                }
            }
            _ if !shares_room => is_answered_with(self, "unknown-target"),
            "remove" => {
                self.removed.insert(target);
                self.is_closed(target, CloseReason::Removed);
            }
            _ => {
                let mute = json!({"type": "mute", "payload": {"id": id(target)}});
                for peer in self.peers.values().filter(|peer| peer.room == room) {
                    assert!(peer.connection.is_none_or(|connection| self.rooms.sent[&connection].contains(&mute)));
                }
            }
        }
    }

    fn is_in_room(&self, peer_id: &str, room: usize) -> bool {
        self.peers.iter().any(|(n, peer)| peer.room == room && id(*n) == peer_id)
    }

    /// A message kept for a disconnected peer is not delivered if its sender has left the room.
    fn forget_messages_of_those_who_left(&mut self) {
        let members: Vec<(String, usize)> = self.peers.iter().map(|(n, peer)| (id(*n), peer.room)).collect();
        for peer in self.peers.values_mut() {
            let room = peer.room;
            peer.queued.retain(|offer| members.contains(&(sender(offer), room)));
        }
    }

    fn offer(&mut self, n: u8, target: u8) {
        let Some(connection) = self.connection(n) else { return };
        self.offers += 1;
        let nth = self.offers;
        // It claims to come from the target.
        let payload = json!({"sdp": nth, "senderId": id(target)});
        self.rooms.send(connection, &json!({"type": "offer", "targetId": id(target), "payload": payload}));
        let expected = json!({"type": "offer", "payload": {"senderId": id(n), "sdp": nth}});
        let room = self.peers[&n].room;
        match self.peers.get_mut(&target).filter(|peer| target != n && peer.room == room) {
            Some(ExpectedPeer { connection: Some(target), .. }) => {
                assert_eq!(self.rooms.sent[target].last(), Some(&expected));
            }
            Some(peer) => {
                peer.queued.push(expected);
                if peer.queued.len() > self.limits.queued_messages {
                    self.peers.remove(&target);
                }
            }
            None => {
                let error = self.rooms.sent[&connection].last().unwrap();
                assert_eq!(error["payload"]["code"], "unknown-target");
                let is_offer = |message: &Value| message["payload"]["sdp"] == json!(nth);
                assert!(!self.rooms.sent.values().flatten().any(is_offer), "another peer received it");
            }
        }
    }

    fn disconnect(&mut self, n: u8, disconnect: Disconnect) {
        let Some(connection) = self.connection(n) else { return };
        self.rooms.disconnect(connection, disconnect);
        self.forget_connection(n, connection);
        let now = self.rooms.now;
        let peer = self.peers.get_mut(&n).unwrap();
        if disconnect == Disconnect::Dropped && peer.sent_hello {
            (peer.connection, peer.reserved_until) = (None, Some(now + 20 * SECOND));
        } else {
            self.peers.remove(&n);
        }
    }

    fn forget_connection(&mut self, n: u8, connection: ConnectionId) {
        self.old_connections.insert(n, connection);
        self.views.remove(&connection);
        self.rooms.sent.remove(&connection);
        if let Some(peer) = self.peers.get_mut(&n) {
            peer.connection = None;
        }
    }

    /// Each peer knows exactly the others in its room, and was told of no other.
    fn check(&mut self) {
        assert_eq!(self.rooms.core.peer_count(), self.peers.len());
        assert_eq!(self.rooms.core.connected_count(), self.views.len());
        self.unlock_empty_rooms();
        for (connection, (n, view)) in &mut self.views {
            let ExpectedPeer { room, moderator, .. } = self.peers[n];
            let others = self.peers.iter().filter(|(other, peer)| *other != n && peer.room == room);
            let others: BTreeSet<String> = others.map(|(other, _)| id(*other)).collect();
            for message in self.rooms.sent.remove(connection).unwrap_or_default() {
                view.receive(&id(*n), &message);
            }
            assert_eq!(view.others, others, "as peer {n} sees it");
            assert_eq!((view.moderator, view.locked), (moderator, self.locked[room]), "as peer {n} sees it");
        }
        let stray = self.rooms.sent.keys().find(|connection| !self.rooms.closed.contains_key(connection));
        assert_eq!(stray, None, "something was sent on a connection that has ended");
        self.rooms.sent.clear();
    }
}

fn sender(offer: &Value) -> String {
    offer["payload"]["senderId"].as_str().unwrap().to_owned()
}

impl View {
    fn receive(&mut self, own: &str, message: &Value) {
        let payload = &message["payload"];
        let text = |name: &str| payload[name].as_str().unwrap().to_owned();
        match message["type"].as_str().unwrap() {
            "init-peers" => {
                assert_eq!(text("id"), own);
                let ids = payload["peerIds"].as_array().unwrap().iter();
                self.others = ids.map(|id| id.as_str().unwrap().to_owned()).collect();
            }
            "new-peer" => assert!(self.others.insert(text("id")), "told twice"),
            "peer-disconnect" => assert!(self.others.remove(&text("id")), "an unknown peer has left"),
            "peer-state" => assert!(self.others.contains(&text("id")), "the state of an unknown peer"),
            "offer" => {
                assert!(self.others.contains(&text("senderId")), "an offer of an unknown peer");
                assert_eq!(payload.get("old"), None, "an offer on an old connection");
            }
            // Its sender may have left meanwhile.
            "chat" => assert_eq!(text("text"), format!("from {}", text("senderId"))),
            "config" => {
                self.moderator = payload["host"].as_bool().unwrap();
                self.locked = payload["locked"].as_bool().unwrap();
            }
            "room-state" => {
                let locked = payload["locked"].as_bool().unwrap();
                assert_ne!(std::mem::replace(&mut self.locked, locked), locked, "told without a change");
            }
            "mute" => assert!(text("id") == own || self.others.contains(&text("id")), "an unknown peer is muted"),
            "error" => {}
            other => panic!("{other}"),
        }
    }
}
