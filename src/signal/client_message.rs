//! Reads the messages of a room's clients. Pure. The protocol is described, with an example of each message, in
//! `protocol.md`. What peers send to one another (`sdp`, `candidate` and any member beside them) is passed on as it came
//! and never read.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::ids::peer::PeerId;
use crate::signal::peer_state::PeerState;
use crate::signal::protocol_error::{ErrorCode, ProtocolError};

/// Characters of one chat message.
pub const CHAT_CHARS: usize = 2_000;

/// A message from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// For one other peer.
    Relay {
        /// Which kind of message.
        kind: RelayKind,
        /// The peer it is for.
        target: PeerId,
        /// The payload's members as JSON, each with a comma in front.
        members: String,
    },
    /// The first peer-state after each connection. It also says that this client can resume.
    Hello(PeerState),
    /// The peer's state, for the others.
    State(PeerState),
    /// A chat message for everybody in the room.
    Chat(String),
    /// The client will not come back.
    Leave,
    /// The client asks for a `pong`. It is answered by the connection's thread, and no room learns of it.
    Ping,
    /// A command for moderators only.
    Moderate(ModeratorCommand),
}

/// What a moderator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModeratorCommand {
    /// Lock the room for newcomers, or unlock it.
    Lock(bool),
    /// Remove this peer from the room.
    Remove(PeerId),
    /// Mute this peer's microphone.
    Mute(PeerId),
    /// Remove everybody from the room.
    EndRoom,
}

/// The kinds of messages that are relayed from peer to peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayKind {
    /// An SDP offer.
    Offer,
    /// An SDP answer.
    Answer,
    /// An ICE candidate.
    IceCandidate,
}

impl RelayKind {
    /// The message's `type`.
    pub fn type_name(self) -> &'static str {
        match self {
            RelayKind::Offer => "offer",
            RelayKind::Answer => "answer",
            RelayKind::IceCandidate => "ice-candidate",
        }
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    r#type: String,
    #[serde(rename = "targetId")]
    target_id: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct ChatPayload {
    text: String,
}

#[derive(Deserialize)]
struct LockPayload {
    locked: bool,
}

impl ClientMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// What to tell the client, if the message cannot be used.
    pub fn parse(text: &str) -> Result<ClientMessage, ProtocolError> {
        let envelope: Envelope<'_> = from_json(text, "A message is an object with type and payload")?;
        let payload = envelope.payload.map_or("{}", RawValue::get);
        let target = || envelope.target_id.as_deref().and_then(PeerId::parse).ok_or_else(ProtocolError::unknown_target);
        let relay = |kind| {
            let target = target()?;
            let Members(members) = from_json(payload, "The payload is an object")?;
            Ok(ClientMessage::Relay { kind, target, members })
        };
        match envelope.r#type.as_str() {
            "offer" => relay(RelayKind::Offer),
            "answer" => relay(RelayKind::Answer),
            "ice-candidate" => relay(RelayKind::IceCandidate),
            "hello" => PeerState::parse(payload).map(ClientMessage::Hello),
            "peer-state" => PeerState::parse(payload).map(ClientMessage::State),
            "chat" => chat(payload).map(ClientMessage::Chat),
            "leave" => Ok(ClientMessage::Leave),
            "ping" => Ok(ClientMessage::Ping),
            "lock" => {
                let LockPayload { locked } = from_json(payload, "A lock says whether the room is locked")?;
                Ok(ClientMessage::Moderate(ModeratorCommand::Lock(locked)))
            }
            "remove" => Ok(ClientMessage::Moderate(ModeratorCommand::Remove(target()?))),
            "mute" => Ok(ClientMessage::Moderate(ModeratorCommand::Mute(target()?))),
            "end-room" => Ok(ClientMessage::Moderate(ModeratorCommand::EndRoom)),
            _ => Err(ProtocolError {
                code: ErrorCode::UnknownType,
                message: "This type of message is not known.".into(),
            }),
        }
    }
}

fn from_json<'a, T: Deserialize<'a>>(text: &'a str, expected: &str) -> Result<T, ProtocolError> {
    serde_json::from_str(text).map_err(|error| ProtocolError::from_json(&error, expected))
}

fn chat(payload: &str) -> Result<String, ProtocolError> {
    let ChatPayload { text } = from_json(payload, "A chat has a text")?;
    if text.trim().is_empty() || text.chars().count() > CHAT_CHARS {
        return Err(ProtocolError::bad_message(format!("A chat's text has 1 to {CHAT_CHARS} characters.")));
    }
    Ok(text)
}

/// An object's members as JSON, in their order and as they came, except `senderId`: the server says who the sender is, not
/// the sender, and of two members of one name browsers take the last.
struct Members(String);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = String::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if name != "senderId" {
                        let name = serde_json::to_string(&name).map_err(serde::de::Error::custom)?;
                        members.extend([",", name.as_str(), ":", value.get()]);
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::peer::ResumeToken;
    use crate::signal::peer_state::NAME_CHARS;

    fn id(n: u8) -> PeerId {
        ResumeToken::from_bytes([n; 32]).id()
    }

    fn error_code(text: &str) -> ErrorCode {
        match ClientMessage::parse(text) {
            Err(error) => error.code,
            Ok(message) => panic!("{text}: {message:?}"),
        }
    }

    #[test]
    fn each_kind_of_unusable_message_has_its_code() {
        let deep = format!("{{\"type\":\"offer\",\"payload\":{}", "[".repeat(60_000));
        for text in ["", "{", "hello", "{\"type\":\"chat\",\"payload\":{\"text\":\"a\"}} x", &deep] {
            assert_eq!(error_code(text), ErrorCode::BadJson, "{}", &text[..text.len().min(80)]);
        }
        let target = id(2);
        for text in [
            "1",
            "[]",
            "{}",
            r#"{"type":1}"#,
            r#"{"type":"chat"}"#,
            r#"{"type":"chat","payload":{"text":1}}"#,
            r#"{"type":"chat","payload":{"text":" \n"}}"#,
            r#"{"type":"hello","payload":{"name":1}}"#,
            r#"{"type":"lock"}"#,
            r#"{"type":"lock","payload":{"locked":1}}"#,
            &format!(r#"{{"type":"offer","targetId":"{target}","payload":"v=0"}}"#),
            &format!(r#"{{"type":"chat","payload":{{"text":"{}"}}}}"#, "ä".repeat(CHAT_CHARS + 1)),
            &format!(r#"{{"type":"hello","payload":{{"name":"{}"}}}}"#, "ä".repeat(NAME_CHARS + 1)),
            &format!(r#"{{"type":"hello","payload":{{"screen":"{}"}}}}"#, "x".repeat(65)),
        ] {
            assert_eq!(error_code(text), ErrorCode::BadMessage, "{text}");
        }
        assert_eq!(error_code(r#"{"type":"dance","payload":[1]}"#), ErrorCode::UnknownType);
        assert_eq!(error_code(r#"{"type":"offer","payload":{}}"#), ErrorCode::UnknownTarget);
        assert_eq!(error_code(r#"{"type":"remove","payload":{}}"#), ErrorCode::UnknownTarget);
        assert_eq!(error_code(r#"{"type":"mute","targetId":"x"}"#), ErrorCode::UnknownTarget);
        assert_eq!(error_code(r#"{"type":"offer","targetId":"2","payload":{}}"#), ErrorCode::UnknownTarget);
    }

    #[test]
    fn limits_are_inclusive_and_a_payload_may_be_left_out() {
        let chat = format!(r#"{{"type":"chat","payload":{{"text":"{}"}}}}"#, "ä".repeat(CHAT_CHARS));
        assert!(matches!(ClientMessage::parse(&chat), Ok(ClientMessage::Chat(_))));
        let name = "ä".repeat(NAME_CHARS);
        let hello = format!(r#"{{"type":"hello","payload":{{"name":" {name}\u0000\n","more":1}}}}"#);
        let expected = ClientMessage::Hello(PeerState { name, ..PeerState::default() });
        assert_eq!(ClientMessage::parse(&hello), Ok(expected));
        assert_eq!(ClientMessage::parse(r#"{"type":"leave"}"#), Ok(ClientMessage::Leave));
    }
}
