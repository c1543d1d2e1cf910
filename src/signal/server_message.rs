//! Writes the messages to a room's clients. Pure. The protocol is described, with an example of each message, in
//! `protocol.md`.

use std::sync::Arc;

use serde::Serialize;

use crate::ids::names::RoomName;
use crate::ids::peer::{PeerId, ResumeToken};
use crate::net::ice_server::IceServer;
use crate::signal::client_message::RelayKind;
use crate::signal::peer_state::PeerState;
use crate::signal::protocol_error::ErrorCode;

/// A message to a client, except those that are relayed from another peer.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", content = "payload", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "protocol.md explains each of them")]
pub enum ServerMessage<'a> {
    InitPeers {
        id: PeerId,
        peer_ids: &'a [PeerId],
    },
    Config(RoomConfig<'a>),
    NewPeer {
        id: PeerId,
    },
    PeerDisconnect {
        id: PeerId,
    },
    PeerState {
        id: PeerId,
        #[serde(flatten)]
        state: &'a PeerState,
    },
    Chat {
        seq: u64,
        sender_id: PeerId,
        name: &'a str,
        text: &'a str,
        age_ms: u64,
    },
    RoomState {
        locked: bool,
    },
    Mute {
        id: PeerId,
    },
    Pong {},
    Error {
        code: ErrorCode,
        message: &'a str,
    },
}

/// What a newcomer needs to know, the payload of `config`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "protocol.md explains each of them")]
pub struct RoomConfig<'a> {
    pub instance: &'a str,
    pub resume: ResumeToken,
    pub resumed: bool,
    pub room: &'a RoomName,
    pub ice_servers: &'a [IceServer],
    pub stun_port: u16,
    pub stations: &'a [String],
    pub limits: ClientLimits,
    #[serde(rename = "host")]
    pub moderator: bool,
    pub locked: bool,
}

/// The limits that a client is told, so that it need not find them out by being refused.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "protocol.md explains each of them")]
pub struct ClientLimits {
    pub room_size: usize,
    pub message_bytes: usize,
    #[serde(rename = "messagesPerSecond")]
    pub messages_per_s: u32,
    pub name_chars: usize,
    pub chat_chars: usize,
    #[serde(rename = "seatSeconds")]
    pub reservation_s: u64,
}

impl ServerMessage<'_> {
    /// The message as it is sent.
    pub fn to_json(&self) -> Arc<str> {
        serde_json::to_string(self).expect("our messages have string keys only and no value that can fail").into()
    }
}

/// A message from another peer as its target gets it. `members` is from
/// [`ClientMessage::Relay`](crate::signal::client_message::ClientMessage::Relay).
pub fn relayed_json(kind: RelayKind, sender: PeerId, members: &str) -> Arc<str> {
    format!(r#"{{"type":"{}","payload":{{"senderId":"{sender}"{members}}}}}"#, kind.type_name()).into()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::signal::client_message::ClientMessage;

    fn id(n: u8) -> PeerId {
        ResumeToken::from_bytes([n; 32]).id()
    }

    fn relay(text: &str) -> Arc<str> {
        let Ok(ClientMessage::Relay { kind, members, .. }) = ClientMessage::parse(text) else { panic!("{text}") };
        relayed_json(kind, id(1), &members)
    }

    #[test]
    fn members_of_a_relayed_payload_are_not_changed() {
        let text = format!(
            r#"{{"type":"offer","targetId":"{}","payload":{{ "sdp" : {{"a": 1.50, "b":"\u0041\/","c":1e400}} , "x":[ ] }}}}"#,
            id(2)
        );
        let relayed = relay(&text);
        assert!(relayed.contains(r#""sdp":{"a": 1.50, "b":"\u0041\/","c":1e400},"x":[ ]"#), "{relayed}");
    }

    #[test]
    fn a_sender_cannot_choose_its_sender_id() {
        for name in ["senderId", "sender\\u0049d", "\\u0073enderId"] {
            let text = format!(
                r#"{{"type":"answer","targetId":"{}","payload":{{"sdp":1,"{name}":"{}","{name}":2}}}}"#,
                id(2),
                id(3)
            );
            let relayed: Value = serde_json::from_str(&relay(&text)).unwrap();
            assert_eq!(relayed["payload"], json!({"senderId": id(1).to_string(), "sdp": 1}));
        }
    }
}
