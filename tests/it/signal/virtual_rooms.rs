//! Rooms in virtual time: the core, a clock that only tests move, and what was sent on each connection.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use roomtone::ids::names::RoomName;
use roomtone::ids::peer::ResumeToken;
use roomtone::signal::client_message::ClientMessage;
use roomtone::signal::events::{CloseReason, ConnectionId, Disconnect, JoinRequest, Output, ServerInfo};
use roomtone::signal::limits::RoomLimits;
use roomtone::signal::rooms::Rooms;
use serde_json::{Value, json};

pub const SECOND: Duration = Duration::from_secs(1);

pub struct VirtualRooms {
    pub core: Rooms,
    pub now: Instant,
    connections: u64,
    /// What was sent and not yet looked at.
    pub sent: HashMap<ConnectionId, Vec<Value>>,
    pub closed: HashMap<ConnectionId, CloseReason>,
}

impl VirtualRooms {
    pub fn new(limits: RoomLimits) -> VirtualRooms {
        let core = Rooms::new(limits, ServerInfo::default());
        VirtualRooms { core, now: Instant::now(), connections: 0, sent: HashMap::new(), closed: HashMap::new() }
    }

    /// Peer `n` joins or resumes on a new connection.
    pub fn join(&mut self, n: u8, room: &str) -> ConnectionId {
        self.join_as(n, room, false)
    }

    /// The same from this address.
    pub fn join_from(&mut self, client: &str, n: u8, room: &str) -> ConnectionId {
        self.join_with(client, n, room, false)
    }

    pub fn join_as(&mut self, n: u8, room: &str, moderator: bool) -> ConnectionId {
        self.join_with("192.0.2.1", n, room, moderator)
    }

    fn join_with(&mut self, client: &str, n: u8, room: &str, moderator: bool) -> ConnectionId {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        let room = RoomName::parse(room).unwrap();
        let client = client.parse().unwrap();
        let request = JoinRequest { connection, client, room, token: token(n), stations: vec![], moderator };
        self.core.join(request, self.now);
        self.drain();
        connection
    }

    pub fn send(&mut self, connection: ConnectionId, message: &Value) {
        self.core.handle_message(connection, ClientMessage::parse(&message.to_string()), self.now);
        self.drain();
    }

    pub fn hello(&mut self, connection: ConnectionId, name: &str) {
        self.send(connection, &json!({"type": "hello", "payload": {"name": name}}));
    }

    pub fn disconnect(&mut self, connection: ConnectionId, disconnect: Disconnect) {
        self.core.handle_disconnect(connection, disconnect, self.now);
        self.drain();
    }

    pub fn advance(&mut self, time: Duration) {
        self.now += time;
        self.core.handle_timeout(self.now);
        self.drain();
    }

    /// Takes all outputs; returns until when there is nothing more.
    pub fn drain(&mut self) -> Instant {
        let parsed = |text: &str| serde_json::from_str(text).unwrap();
        loop {
            match self.core.poll_output(self.now) {
                Output::Send { connection, text } => {
                    assert!(!self.closed.contains_key(&connection), "{text} after the close");
                    self.sent.entry(connection).or_default().push(parsed(&text));
                }
                Output::Welcome { connection, texts } => {
                    let sent = self.sent.entry(connection).or_default();
                    assert!(sent.is_empty(), "the welcome comes first");
                    sent.extend(texts.iter().map(|text| parsed(text)));
                }
                Output::Close { connection, reason } => assert_eq!(self.closed.insert(connection, reason), None),
                Output::PeerChanged { .. } => {}
                Output::Wait(deadline) => return deadline,
            }
        }
    }

    /// What was sent on a connection since the last call.
    pub fn received(&mut self, connection: ConnectionId) -> Vec<Value> {
        self.sent.remove(&connection).unwrap_or_default()
    }

    pub fn received_types(&mut self, connection: ConnectionId) -> Vec<String> {
        self.received(connection).iter().map(|message| message["type"].as_str().unwrap().to_owned()).collect()
    }
}

/// The resume token of peer `n`.
pub fn token(n: u8) -> ResumeToken {
    ResumeToken::from_bytes([n; 32])
}

/// The id of peer `n`.
pub fn id(n: u8) -> String {
    token(n).id().to_string()
}
