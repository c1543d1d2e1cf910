//! `protocol.md` against the code: its examples are what is read and written, and its tables name every error.

use roomtone::ids::names::RoomName;
use roomtone::ids::peer::{PeerId, ResumeToken};
use roomtone::net::ice_server::IceServer;
use roomtone::signal::client_message::{CHAT_CHARS, ClientMessage, ModeratorCommand, RelayKind};
use roomtone::signal::limits::RoomLimits;
use roomtone::signal::peer_state::{NAME_CHARS, PeerState};
use roomtone::signal::protocol_error::{ErrorCode, ProtocolError};
use roomtone::signal::server_message::{ClientLimits, RoomConfig, ServerMessage, relayed_json};

const PROTOCOL: &str = include_str!("../../../src/signal/protocol.md");

const CANDIDATE: &str = r#"{"candidate":"candidate:1 1 UDP 1 192.0.2.1 9 typ host","sdpMid":"0"}"#;

fn id(n: u8) -> PeerId {
    ResumeToken::from_bytes([n; 32]).id()
}

/// The text between a heading of the second level and the next one.
fn section(heading: &str) -> &'static str {
    let section = PROTOCOL.split(heading).nth(1).expect("the heading is there");
    section.split("\n## ").next().unwrap()
}

fn examples(heading: &str) -> Vec<&'static str> {
    section(heading).lines().filter(|line| line.starts_with("{\"type\"")).collect()
}

/// The text of a JSON string.
fn serialized(code: ErrorCode) -> String {
    serde_json::to_value(code).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn every_example_of_a_client_message_is_understood() {
    let parsed: Vec<_> = examples("\n## Messages from the client").into_iter().map(ClientMessage::parse).collect();
    let relay = |kind, members: &str| ClientMessage::Relay { kind, target: id(0), members: members.into() };
    let state = |muted, screen: Option<&str>| PeerState {
        name: "Ada".into(),
        muted,
        camera: true,
        screen: screen.map(str::to_owned),
    };
    let expected = [
        relay(RelayKind::Offer, r#","sdp":{"type":"offer","sdp":"v=0"}"#),
        relay(RelayKind::Answer, r#","sdp":{"type":"answer","sdp":"v=0"}"#),
        relay(RelayKind::IceCandidate, &format!(r#","candidate":{CANDIDATE}"#)),
        ClientMessage::Hello(state(false, None)),
        ClientMessage::State(state(true, Some("9f5cd6f1-2b3c-4a75-8f34-52ea5bd5a1d0"))),
        ClientMessage::Chat("Hello".into()),
        ClientMessage::Ping,
        ClientMessage::Leave,
        ClientMessage::Moderate(ModeratorCommand::Lock(true)),
        ClientMessage::Moderate(ModeratorCommand::Remove(id(0))),
        ClientMessage::Moderate(ModeratorCommand::Mute(id(0))),
        ClientMessage::Moderate(ModeratorCommand::EndRoom),
    ];
    assert_eq!(parsed, expected.map(Ok));
}

#[test]
fn every_example_of_a_server_message_is_what_the_server_writes() {
    let room = RoomName::default();
    let turn = IceServer {
        urls: vec!["turn:turn.example.net".into()],
        username: Some("user".into()),
        credential: Some("secret".into()),
    };
    let limits = RoomLimits::default();
    let config = RoomConfig {
        instance: "0123456789abcdef",
        resume: ResumeToken::from_bytes([0; 32]),
        resumed: false,
        room: &room,
        ice_servers: &[turn],
        stun_port: 8088,
        stations: &["main".into()],
        limits: ClientLimits {
            room_size: limits.room_size,
            message_bytes: limits.message_bytes,
            messages_per_s: limits.messages_per_s,
            name_chars: NAME_CHARS,
            chat_chars: CHAT_CHARS,
            reservation_s: limits.reservation.as_secs(),
        },
        moderator: false,
        locked: false,
    };
    let state = PeerState { name: "Ada".into(), muted: false, camera: true, screen: None };
    let unknown_target = ProtocolError::unknown_target();
    let written = [
        ServerMessage::InitPeers { id: id(0), peer_ids: &[id(1)] }.to_json(),
        ServerMessage::Config(config).to_json(),
        ServerMessage::NewPeer { id: id(1) }.to_json(),
        ServerMessage::PeerDisconnect { id: id(1) }.to_json(),
        relayed_json(RelayKind::Offer, id(1), r#","sdp":{"type":"offer","sdp":"v=0"}"#),
        relayed_json(RelayKind::Answer, id(1), r#","sdp":{"type":"answer","sdp":"v=0"}"#),
        relayed_json(RelayKind::IceCandidate, id(1), &format!(r#","candidate":{CANDIDATE}"#)),
        ServerMessage::PeerState { id: id(1), state: &state }.to_json(),
        ServerMessage::Chat { seq: 7, sender_id: id(1), name: "Ada", text: "Hello", age_ms: 1_500 }.to_json(),
        ServerMessage::RoomState { locked: true }.to_json(),
        ServerMessage::Mute { id: id(1) }.to_json(),
        ServerMessage::Pong {}.to_json(),
        ServerMessage::Error { code: unknown_target.code, message: &unknown_target.message }.to_json(),
    ];
    assert_eq!(written.map(|text| text.to_string()).to_vec(), examples("\n## Messages from the server"));
}

#[test]
fn every_error_code_is_in_the_table_and_no_other() {
    // A new code does not compile here until it is listed.
    let is_listed = |code: ErrorCode| match code {
        ErrorCode::BadJson
        | ErrorCode::BadMessage
        | ErrorCode::UnknownType
        | ErrorCode::UnknownTarget
        | ErrorCode::TooLarge
        | ErrorCode::NotText
        | ErrorCode::TooManyMessages
        | ErrorCode::TooSlow
        | ErrorCode::RoomFull
        | ErrorCode::Replaced
        | ErrorCode::GoingAway
        | ErrorCode::NotAllowed
        | ErrorCode::Removed
        | ErrorCode::RoomLocked
        | ErrorCode::RoomEnded => true,
    };
    let codes = [
        ErrorCode::BadJson,
        ErrorCode::BadMessage,
        ErrorCode::UnknownType,
        ErrorCode::UnknownTarget,
        ErrorCode::TooLarge,
        ErrorCode::NotText,
        ErrorCode::TooManyMessages,
        ErrorCode::TooSlow,
        ErrorCode::RoomFull,
        ErrorCode::Replaced,
        ErrorCode::GoingAway,
        ErrorCode::NotAllowed,
        ErrorCode::Removed,
        ErrorCode::RoomLocked,
        ErrorCode::RoomEnded,
    ];
    assert!(codes.into_iter().all(is_listed));
    let rows = section("\n## Errors").lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.collect::<Vec<_>>(), codes.map(serialized));
}

#[test]
fn every_limit_in_the_table_is_the_default() {
    let limits = RoomLimits::default();
    let table = section("\n## Limits").replace(',', "");
    let has = |row: String| assert!(table.contains(&row), "{row} is not in the table");
    has(format!("| peers in a room | {} ", limits.room_size));
    has(format!("| peers on the server | {} ", limits.max_peers));
    has(format!("| one message | {} KiB |", limits.message_bytes / 1024));
    has(format!("| peers of one address | {} ", limits.max_peers_per_address));
    has(format!("| messages of all peers of one address | {} per second ", limits.address_messages_per_s));
    let RoomLimits { messages_per_s, message_burst, .. } = limits;
    has(format!("| messages from one client | {messages_per_s} per second on average {message_burst} at once |"));
    let queued_kib = limits.queued_bytes / 1024;
    has(format!("| messages kept for a disconnected peer | {} and {queued_kib} KiB; ", limits.queued_messages));
    let (scarce_kib, in_all_mib) = (limits.scarce_bytes / 1024, limits.queued_bytes_in_all / 1024 / 1024);
    has(format!("; {scarce_kib} KiB while more than {in_all_mib} MiB are kept for all |"));
    let chat_kib = limits.chat_bytes / 1024;
    has(format!("| chat history of a room | {} messages and {chat_kib} KiB of text; ", limits.chat_messages));
    has(format!("; less while there are more than {} rooms |", limits.chat_bytes_in_all / limits.chat_bytes));
    has(format!("| a name the id of a screen | {NAME_CHARS} characters |"));
    has(format!("| a chat message | {CHAT_CHARS} characters |"));
    let (ping, silence) = (limits.ping_interval.as_secs(), limits.silence_timeout.as_secs());
    has(format!("The server pings every {ping} s. If it has received nothing for {silence} s"));
    let reservation = format!("reserves its place for {} s", limits.reservation.as_secs());
    assert!(PROTOCOL.contains(&reservation), "{reservation}");
}
