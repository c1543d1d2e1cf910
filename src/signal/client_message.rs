//! The messages of a room as JSON text: reading a browser's, writing ours. Pure. The protocol itself is described, with
//! an example of each message, in the README. PeerEvent browsers say to one another (`sdp`, `candidate` and whatever is
//! beside them) is passed on as it came and never looked at.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ids::names::RoomName;
use crate::ids::peer::{PeerId, ResumeToken};

/// Characters of a display name.
pub const NAME_CHARS: usize = 64;
/// Characters of one chat message.
pub const CHAT_CHARS: usize = 2_000;
/// Characters of a MediaStream's id: browsers make UUIDs of 36, or `{…}` around one.
const STREAM_ID_CHARS: usize = 64;

/// PeerEvent a browser said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// For one other peer.
    Relay {
        /// PeerEvent kind of message.
        kind: Relay,
        /// For whom.
        target: PeerId,
        /// The payload's members as JSON, each with a comma in front.
        members: String,
    },
    /// The first peer-state after each connection; says also that this client knows how to resume.
    Hello(PeerState),
    /// PeerEvent the others shall see.
    State(PeerState),
    /// For all in the room.
    Chat(String),
    /// It will not come back.
    Leave,
    /// A host's: whether newcomers stay outside.
    Lock(bool),
    /// A host's: this peer must go.
    Remove(PeerId),
    /// A host's: this peer's microphone off.
    Mute(PeerId),
    /// A host's: everybody must go.
    EndRoom,
    /// Nothing that can be used, and why.
    Wrong(ProtocolError),
}

/// PeerEvent is passed between two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relay {
    /// An SDP offer.
    Offer,
    /// An SDP answer.
    Answer,
    /// An ICE candidate.
    IceCandidate,
}

impl Relay {
    fn word(self) -> &'static str {
        match self {
            Relay::Offer => "offer",
            Relay::Answer => "answer",
            Relay::IceCandidate => "ice-candidate",
        }
    }
}

/// How a peer wants to be seen, always as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerState {
    /// Display name, at most [`NAME_CHARS`].
    pub name: String,
    /// Its microphone is muted.
    pub muted: bool,
    /// Its camera is on.
    pub camera: bool,
    /// The id of the MediaStream that is its screen, if it shows one.
    pub screen: Option<String>,
}

/// An `error`: a stable code and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    /// Its code.
    pub code: ErrorCode,
    /// PeerEvent to tell a person.
    pub message: String,
}

/// Codes of `error`; they never change their meaning. the README says when each is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the protocol's table says what each means")]
pub enum ErrorCode {
    BadJson,
    BadMessage,
    UnknownType,
    UnknownTarget,
    TooLarge,
    NotText,
    TooManyMessages,
    TooSlow,
    RoomFull,
    Replaced,
    GoingAway,
    NotAllowed,
    Removed,
    RoomLocked,
    RoomEnded,
}

/// Where a browser may learn its public address (STUN) or be relayed (TURN): an RTCIceServer of the WebRTC API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IceServer {
    /// One or more URLs (RFC 7064, RFC 7065).
    pub urls: Vec<String>,
    /// For TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For TURN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// PeerEvent we say.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", content = "payload", rename_all = "kebab-case", rename_all_fields = "camelCase")]
#[allow(missing_docs, reason = "the README says what each means")]
pub enum ServerMessage<'a> {
    InitPeers {
        id: PeerId,
        peer_ids: &'a [PeerId],
    },
    Config(Config<'a>),
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
    Error {
        code: ErrorCode,
        message: &'a str,
    },
}

/// PeerEvent a newcomer needs to know.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the README says what each means")]
pub struct Config<'a> {
    pub instance: &'a str,
    pub resume: ResumeToken,
    pub resumed: bool,
    pub room: &'a RoomName,
    pub ice_servers: &'a [IceServer],
    pub stun_port: u16,
    pub stations: &'a [String],
    pub limits: ConfigLimits,
    pub host: bool,
    pub locked: bool,
}

/// PeerEvent a client may do, so that it need not find out by being refused.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the README says what each means")]
pub struct ConfigLimits {
    pub room_size: usize,
    pub message_bytes: usize,
    pub messages_per_second: u32,
    pub name_chars: usize,
    pub chat_chars: usize,
    pub seat_seconds: u64,
}

impl ServerMessage<'_> {
    /// As it goes over the wire.
    pub fn text(&self) -> Arc<str> {
        serde_json::to_string(self).expect("our messages have string keys only and no value that can fail").into()
    }
}

/// A peer's words as their target gets them. `members` is from [`ClientMessage::Relay`].
pub fn relayed(kind: Relay, sender: PeerId, members: &str) -> Arc<str> {
    format!(r#"{{"type":"{}","payload":{{"senderId":"{sender}"{members}}}}}"#, kind.word()).into()
}

/// Reads a browser's message.
pub fn parse(text: &str) -> ClientMessage {
    read(text).unwrap_or_else(ClientMessage::Wrong)
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

fn read(text: &str) -> Result<ClientMessage, ProtocolError> {
    let envelope: Envelope<'_> = from_json(text, "A message is an object with type and payload")?;
    let payload = envelope.payload.map_or("{}", RawValue::get);
    let target = || envelope.target_id.as_deref().and_then(PeerId::parse).ok_or_else(unknown_target);
    let relay = |kind| {
        let target = target()?;
        let Members(members) = from_json(payload, "The payload is an object")?;
        Ok(ClientMessage::Relay { kind, target, members })
    };
    match envelope.r#type.as_str() {
        "offer" => relay(Relay::Offer),
        "answer" => relay(Relay::Answer),
        "ice-candidate" => relay(Relay::IceCandidate),
        "hello" => state(payload).map(ClientMessage::Hello),
        "peer-state" => state(payload).map(ClientMessage::State),
        "chat" => chat(payload).map(ClientMessage::Chat),
        "leave" => Ok(ClientMessage::Leave),
        "lock" => {
            let LockPayload { locked } = from_json(payload, "A lock says whether the room is locked")?;
            Ok(ClientMessage::Lock(locked))
        }
        "remove" => target().map(ClientMessage::Remove),
        "mute" => target().map(ClientMessage::Mute),
        "end-room" => Ok(ClientMessage::EndRoom),
        _ => Err(ProtocolError {
            code: ErrorCode::UnknownType,
            message: "No message of that type is known here.".into(),
        }),
    }
}

/// PeerEvent somebody is told who addressed nobody.
pub fn unknown_target() -> ProtocolError {
    ProtocolError { code: ErrorCode::UnknownTarget, message: "No such peer is in this room.".into() }
}

fn from_json<'a, T: Deserialize<'a>>(text: &'a str, expected: &str) -> Result<T, ProtocolError> {
    serde_json::from_str(text).map_err(|error| {
        let code = if error.is_data() { ErrorCode::BadMessage } else { ErrorCode::BadJson };
        ProtocolError { code, message: format!("{expected}: {error}.") }
    })
}

fn state(payload: &str) -> Result<PeerState, ProtocolError> {
    let mut state: PeerState = from_json(payload, "A peer-state has name, muted, camera and screen")?;
    state.name = printable(&state.name).trim().to_owned();
    if state.name.chars().count() > NAME_CHARS {
        return Err(bad_message(format!("A name has {NAME_CHARS} characters at most.")));
    }
    if state.screen.as_ref().is_some_and(|id| id.chars().count() > STREAM_ID_CHARS) {
        return Err(bad_message(format!("A stream's id has {STREAM_ID_CHARS} characters at most.")));
    }
    Ok(state)
}

fn chat(payload: &str) -> Result<String, ProtocolError> {
    let ChatPayload { text } = from_json(payload, "A chat has a text")?;
    if text.trim().is_empty() || text.chars().count() > CHAT_CHARS {
        return Err(bad_message(format!("A chat's text has 1 to {CHAT_CHARS} characters.")));
    }
    Ok(text)
}

fn bad_message(message: String) -> ProtocolError {
    ProtocolError { code: ErrorCode::BadMessage, message }
}

/// Names are shown on one line.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// An object's members as JSON, in their order and as they came, except `senderId`: who speaks is not for the speaker to
/// say, and of two members of a name browsers take the last.
struct Members(String);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
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

        deserializer.deserialize_map(Reader)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PROTOCOL: &str = include_str!("../../README.md");

    fn id(n: u8) -> PeerId {
        ResumeToken::from_bytes([n; 32]).id()
    }

    /// The examples under a heading of the protocol's description.
    fn examples(heading: &str) -> Vec<&'static str> {
        let section = PROTOCOL.split(heading).nth(1).and_then(|rest| rest.split("\n### ").next()).unwrap();
        section.lines().filter(|line| line.starts_with("{\"type\"")).collect()
    }

    fn fault(text: &str) -> ErrorCode {
        match parse(text) {
            ClientMessage::Wrong(fault) => fault.code,
            said => panic!("{text}: {said:?}"),
        }
    }

    #[test]
    fn every_example_of_what_a_browser_says_is_understood() {
        let said: Vec<ClientMessage> = examples("\n### From the browser").into_iter().map(parse).collect();
        let relay = |kind, members: &str| ClientMessage::Relay { kind, target: id(0), members: members.into() };
        let state = |muted, screen: Option<&str>| PeerState {
            name: "Ada".into(),
            muted,
            camera: true,
            screen: screen.map(str::to_owned),
        };
        let candidate = r#"{"candidate":"candidate:1 1 UDP 1 192.0.2.1 9 typ host","sdpMid":"0"}"#;
        let expected = [
            relay(Relay::Offer, r#","sdp":{"type":"offer","sdp":"v=0"}"#),
            relay(Relay::Answer, r#","sdp":{"type":"answer","sdp":"v=0"}"#),
            relay(Relay::IceCandidate, &format!(r#","candidate":{candidate}"#)),
            ClientMessage::Hello(state(false, None)),
            ClientMessage::State(state(true, Some("9f5cd6f1-2b3c-4a75-8f34-52ea5bd5a1d0"))),
            ClientMessage::Chat("Hello".into()),
            ClientMessage::Leave,
            ClientMessage::Lock(true),
            ClientMessage::Remove(id(0)),
            ClientMessage::Mute(id(0)),
            ClientMessage::EndRoom,
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn every_example_of_what_a_browser_is_told_is_written_so() {
        let room = RoomName::default();
        let turn = IceServer {
            urls: vec!["turn:turn.example.net".into()],
            username: Some("user".into()),
            credential: Some("secret".into()),
        };
        let config = Config {
            instance: "0123456789abcdef",
            resume: ResumeToken::from_bytes([0; 32]),
            resumed: false,
            room: &room,
            ice_servers: &[turn],
            stun_port: 8088,
            stations: &["main".into()],
            limits: ConfigLimits {
                room_size: 16,
                message_bytes: 65_536,
                messages_per_second: 50,
                name_chars: NAME_CHARS,
                chat_chars: CHAT_CHARS,
                seat_seconds: 20,
            },
            host: false,
            locked: false,
        };
        let state = PeerState { name: "Ada".into(), muted: false, camera: true, screen: None };
        let candidate = r#"{"candidate":"candidate:1 1 UDP 1 192.0.2.1 9 typ host","sdpMid":"0"}"#;
        let told = [
            ServerMessage::InitPeers { id: id(0), peer_ids: &[id(1)] }.text(),
            ServerMessage::Config(config).text(),
            ServerMessage::NewPeer { id: id(1) }.text(),
            ServerMessage::PeerDisconnect { id: id(1) }.text(),
            relayed(Relay::Offer, id(1), r#","sdp":{"type":"offer","sdp":"v=0"}"#),
            relayed(Relay::Answer, id(1), r#","sdp":{"type":"answer","sdp":"v=0"}"#),
            relayed(Relay::IceCandidate, id(1), &format!(r#","candidate":{candidate}"#)),
            ServerMessage::PeerState { id: id(1), state: &state }.text(),
            ServerMessage::Chat { seq: 7, sender_id: id(1), name: "Ada", text: "Hello", age_ms: 1_500 }.text(),
            ServerMessage::RoomState { locked: true }.text(),
            ServerMessage::Mute { id: id(1) }.text(),
            ServerMessage::Error { code: ErrorCode::UnknownTarget, message: &unknown_target().message }.text(),
        ];
        assert_eq!(told.map(|text| text.to_string()).to_vec(), examples("\n### To the browser"));
    }

    #[test]
    fn what_peers_say_to_one_another_passes_as_it_came() {
        let text = format!(
            r#"{{"type":"offer","targetId":"{}","payload":{{ "sdp" : {{"a": 1.50, "b":"\u0041\/","c":1e400}} , "x":[ ] }}}}"#,
            id(2)
        );
        let ClientMessage::Relay { kind, members, .. } = parse(&text) else { panic!("{text}") };
        let passed = relayed(kind, id(1), &members);
        assert!(passed.contains(r#""sdp":{"a": 1.50, "b":"\u0041\/","c":1e400},"x":[ ]"#), "{passed}");
    }

    #[test]
    fn nobody_can_say_who_they_are() {
        for name in ["senderId", "sender\\u0049d", "\\u0073enderId"] {
            let text = format!(
                r#"{{"type":"answer","targetId":"{}","payload":{{"sdp":1,"{name}":"{}","{name}":2}}}}"#,
                id(2),
                id(3)
            );
            let ClientMessage::Relay { kind, members, .. } = parse(&text) else { panic!("{text}") };
            let passed: Value = serde_json::from_str(&relayed(kind, id(1), &members)).unwrap();
            assert_eq!(passed["payload"], json!({"senderId": id(1).to_string(), "sdp": 1}));
        }
    }

    #[test]
    fn each_kind_of_nonsense_has_its_code() {
        let deep = format!("{{\"type\":\"offer\",\"payload\":{}", "[".repeat(60_000));
        for text in ["", "{", "hello", "{\"type\":\"chat\",\"payload\":{\"text\":\"a\"}} x", &deep] {
            assert_eq!(fault(text), ErrorCode::BadJson, "{}", &text[..text.len().min(80)]);
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
            &format!(r#"{{"type":"hello","payload":{{"screen":"{}"}}}}"#, "x".repeat(STREAM_ID_CHARS + 1)),
        ] {
            assert_eq!(fault(text), ErrorCode::BadMessage, "{text}");
        }
        assert_eq!(fault(r#"{"type":"dance","payload":[1]}"#), ErrorCode::UnknownType);
        assert_eq!(fault(r#"{"type":"offer","payload":{}}"#), ErrorCode::UnknownTarget);
        assert_eq!(fault(r#"{"type":"remove","payload":{}}"#), ErrorCode::UnknownTarget);
        assert_eq!(fault(r#"{"type":"mute","targetId":"x"}"#), ErrorCode::UnknownTarget);
        assert_eq!(fault(r#"{"type":"offer","targetId":"2","payload":{}}"#), ErrorCode::UnknownTarget);
    }

    #[test]
    fn limits_are_inclusive_and_names_are_one_line() {
        let chat = format!(r#"{{"type":"chat","payload":{{"text":"{}"}}}}"#, "ä".repeat(CHAT_CHARS));
        assert!(matches!(parse(&chat), ClientMessage::Chat(_)));
        let name = "ä".repeat(NAME_CHARS);
        let hello = format!(r#"{{"type":"hello","payload":{{"name":" {name}\u0000\n","more":1}}}}"#);
        assert_eq!(parse(&hello), ClientMessage::Hello(PeerState { name, ..PeerState::default() }));
        assert_eq!(parse(r#"{"type":"leave"}"#), ClientMessage::Leave);
    }
}
