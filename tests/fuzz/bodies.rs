//! What is done with bytes from the network or from files, and what must hold whatever they are. `make fuzz` runs each body for a minute
//! under a fuzzer (targets/); `make test` runs them on seeds and seeded mutations of those (tests/it/fuzz.rs).

mod client;
pub mod rtc;
mod state_files;
mod web;

use std::net::Ipv4Addr;
use std::time::Instant;

use roomtone::access::tokens::{Claims, Permission, SigningKey, TokenId};
use roomtone::ids::names::{RoomName, StationName};
use roomtone::ids::peer::{PeerId, ResumeToken};
use roomtone::ids::session::SessionId;
use roomtone::signal::client_message::ClientMessage;
use roomtone::signal::events::{self, ConnectionId, JoinRequest, ServerInfo};
use roomtone::signal::limits::RoomLimits;
use roomtone::signal::rooms::Rooms;
use roomtone::web::http::chunked::ChunkedDecoder;
use roomtone::web::http::head::Framing;
use roomtone::web::http::origin::Origin;
use roomtone::web::http::{head, message as http, routes, upgrade};
use roomtone::web::transport::first_bytes::{self, Decision};

/// Takes bytes from the network or from files; panics if something does not hold.
type Body = fn(&[u8]);

/// Every body by its name.
const BODIES: [(&str, Body); 11] = [
    ("first_bytes", first_bytes),
    ("client", client::client),
    ("head", head),
    ("connection", web::connection::connection),
    ("message", message),
    ("names", names),
    ("offer", rtc::offer::offer),
    ("fragment", rtc::fragment::fragment),
    ("datagrams", rtc::datagrams::datagrams),
    ("sessions", rtc::sessions::sessions),
    ("state_files", state_files::state_files),
];

/// Runs the body of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, body) = BODIES.iter().find(|(body, _)| *body == name).expect("the name of a body");
    body(bytes);
}

/// What a TCP connection speaks: once it is decided, more bytes do not change it.
pub fn first_bytes(bytes: &[u8]) {
    for is_inside_tls in [false, true] {
        let mut decided = Decision::NeedMore;
        for length in 0..=bytes.len().min(64) {
            let decision = first_bytes::decide(&bytes[..length], is_inside_tls);
            assert!(decided == Decision::NeedMore || decided == decision, "{decided:?}, then {decision:?}");
            assert!(!(is_inside_tls && decision == Decision::Tls), "TLS inside TLS");
            decided = decision;
        }
        // An empty line may repeat without end; anything else is known after a frame's header and a magic cookie.
        assert!(decided != Decision::NeedMore || bytes.len() < 10 || bytes[0] == b'\r');
        // What a request begins with is left to the reader of heads, and nothing else is.
        if matches!(head::find_end(bytes, 0), Ok(Some(_))) {
            assert!(bytes[0] == b'\r' || !matches!(decided, Decision::Tls | Decision::Stun { .. }), "{decided:?}");
        }
    }
}

/// A connection's bytes, as they are read: head, then body.
pub fn head(bytes: &[u8]) {
    let whole = head::find_end(bytes, 0);
    // However the bytes arrive, the head ends at the same place or is refused.
    let mut seen = 0;
    let mut piecewise = Ok(None);
    for length in (0..=bytes.len()).step_by(1 + bytes.len() / 16).chain([bytes.len()]) {
        piecewise = head::find_end(&bytes[..length], seen);
        seen = length;
        if !matches!(piecewise, Ok(None)) {
            break;
        }
    }
    match (&whole, &piecewise) {
        (Ok(a), Ok(b)) => assert_eq!(a, b),
        (Err(_), Err(_)) => {}
        // Bytes behind the end may be anything, and a refusal may come of them only if they were there.
        (Err(_), Ok(Some(_))) | (Ok(Some(_)), Err(_)) => {
            panic!("{whole:?} but {piecewise:?} when it arrives in pieces")
        }
        _ => panic!("{whole:?} but {piecewise:?} when it arrives in pieces"),
    }
    let Ok(Some(end)) = whole else { return };
    let Ok(head) = head::parse(&bytes[..end]) else { return };
    assert!(head.target.starts_with('/') || head.target == "*");
    assert!(head.target.bytes().all(|b| b.is_ascii_graphic()));
    assert!(head.host.bytes().all(|b| b.is_ascii_graphic()));
    for (name, value) in &head.headers {
        assert!(!name.bytes().chain(value.bytes()).any(|b| b.is_ascii_control() && b != b'\t'), "{name}: {value}");
    }
    let _ = upgrade::read(&head);
    let (path, query) = http::split_target(&head.target);
    let route = routes::find(path);
    assert!(!route.methods.is_empty());
    let _ = route.permission(&head.method, query);
    if head.framing == Framing::Chunked {
        chunks(&bytes[end..]);
    }
}

/// However chunks are cut, they make the same body.
fn chunks(bytes: &[u8]) {
    const LIMIT: usize = 1000;
    let mut input = bytes.to_vec();
    let mut at_once = ChunkedDecoder::new(LIMIT);
    let complete = at_once.push(&mut input);
    let mut piecewise = ChunkedDecoder::new(LIMIT);
    let mut waiting = vec![];
    let mut result = Ok(false);
    for byte in bytes {
        waiting.push(*byte);
        result = piecewise.push(&mut waiting);
        if !matches!(result, Ok(false)) {
            break;
        }
    }
    assert_eq!(complete.as_ref().ok(), result.as_ref().ok());
    if complete == Ok(true) {
        let body = at_once.into_body();
        assert!(body.len() <= LIMIT);
        assert_eq!(body, piecewise.into_body());
    }
}

/// A message of a client in a room with two peers.
pub fn message(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let now = Instant::now();
    let mut rooms = Rooms::new(RoomLimits::default(), ServerInfo::default());
    for n in 0..2 {
        let (connection, token) = (ConnectionId(n), ResumeToken::from_bytes([n as u8; 32]));
        let (room, moderator) = (RoomName::default(), n == 0);
        rooms.join(
            JoinRequest { connection, client: Ipv4Addr::LOCALHOST.into(), room, token, moderator, stations: vec![] },
            now,
        );
    }
    // OTHER stands for the other peer's id, so that relaying is reached.
    let text = text.replace("OTHER", &ResumeToken::from_bytes([1; 32]).id().to_string());
    let message = ClientMessage::parse(&text);
    let is_invalid = message.is_err();
    while !matches!(rooms.poll_output(now), events::Output::Wait(_)) {}
    rooms.handle_message(ConnectionId(0), message, now);
    let mut sent = 0;
    loop {
        match rooms.poll_output(now) {
            events::Output::Wait(_) => break,
            events::Output::Send { text, .. } => {
                let json: serde_json::Value = serde_json::from_str(&text).expect("what is sent is JSON");
                assert!(json["type"].is_string() && json["payload"].is_object(), "{text}");
                sent += 1;
            }
            _ => {}
        }
        assert!(sent <= 4, "one message causes too many");
    }
    assert!(!is_invalid || sent == 1, "only the sender of an invalid message is told");
}

/// Names, ids and tokens: what is accepted is written as it was read.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(room) = RoomName::parse(text) {
        assert_eq!(room.as_str(), text);
        assert!(text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic()));
    }
    assert_eq!(StationName::parse(text).is_some(), RoomName::parse(text).is_some());
    if let Some(id) = PeerId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    if let Some(token) = ResumeToken::parse(text) {
        assert_eq!(ResumeToken::parse(text), Some(token));
        assert_eq!(token.id(), token.id());
    }
    if let Some(id) = SessionId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    // Only tokens that this key has signed are accepted.
    let keys = [[1; SigningKey::BYTES], [2; SigningKey::BYTES]].map(|bytes| SigningKey::new(&bytes));
    assert!(keys[0].verify(text).is_none(), "nobody can guess a signature");
    let room = RoomName::parse(text).unwrap_or_default();
    let claims = Claims {
        id: TokenId::new(bytes.len() as u64),
        permission: Permission::Room(room),
        expires_s: None,
        uses: Some(1),
    };
    let signed = keys[0].sign(&claims);
    assert_eq!(keys[0].verify(&signed), Some(claims));
    assert!(keys[1].verify(&signed).is_none());
    if let Some(origin) = Origin::parse(text) {
        let (scheme, host) = text.split_once("://").expect("an origin has a scheme");
        let is_of_a_server = ["http", "https"].iter().any(|it| scheme.eq_ignore_ascii_case(it));
        assert_eq!(origin.is_of(host), is_of_a_server, "an origin is of its own host, if it has one");
        assert_eq!(Origin::parse(&origin.to_string()), Some(origin), "an origin is written as it was read");
    }
}
