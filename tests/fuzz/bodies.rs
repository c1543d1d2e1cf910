//! What is done with bytes from the network, and what must hold whatever they are. `make fuzz` runs each body for a minute
//! under a fuzzer (targets/); `make test` runs them on seeds and seeded mutations of those (tests/it/fuzz.rs).

mod rtc;

use std::time::Instant;

use roomtone::access::tokens::{Claims, Permission, SigningKey, TokenId};
use roomtone::ids::names::RoomName;
use roomtone::ids::peer::{PeerId, ResumeToken};
use roomtone::ids::session::SessionId;
use roomtone::signal::messages::{self, ClientMessage};
use roomtone::signal::rooms::{self, JoinRequest, Link, Rooms, ServerInfo};
use roomtone::web::http::body::Chunked;
use roomtone::web::http::head::Framing;
use roomtone::web::http::origin::Origin;
use roomtone::web::http::{head, upgrade};

/// Takes bytes from the network; panics if something does not hold.
type Body = fn(&[u8]);

/// Every body by its name.
const BODIES: [(&str, Body); 6] = [
    ("head", head),
    ("message", message),
    ("names", names),
    ("offer", rtc::offer::offer),
    ("datagrams", rtc::datagrams::datagrams),
    ("sessions", rtc::sessions::sessions),
];

/// Runs the body of this name.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, body) = BODIES.iter().find(|(body, _)| *body == name).expect("the name of a body");
    body(bytes);
}

/// A connection's first bytes, as the door reads them: head, then body.
pub fn head(bytes: &[u8]) {
    let whole = head::find_end(bytes, 0);
    // However the bytes arrive, the head ends at the same place or is refused.
    let mut seen = 0;
    let mut dribbled = Ok(None);
    for length in (0..=bytes.len()).step_by(1 + bytes.len() / 16).chain([bytes.len()]) {
        dribbled = head::find_end(&bytes[..length], seen);
        seen = length;
        if !matches!(dribbled, Ok(None)) {
            break;
        }
    }
    match (&whole, &dribbled) {
        (Ok(a), Ok(b)) => assert_eq!(a, b),
        (Err(_), Err(_)) => {}
        // Bytes behind the end may be anything, and a refusal may come of them only if they were there.
        (Err(_), Ok(Some(_))) | (Ok(Some(_)), Err(_)) => panic!("{whole:?} but {dribbled:?} when it dribbles in"),
        _ => panic!("{whole:?} but {dribbled:?} when it dribbles in"),
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
    if head.framing == Framing::Chunked {
        chunks(&bytes[end..]);
    }
}

/// However chunks are cut, they make the same body.
fn chunks(bytes: &[u8]) {
    const LIMIT: usize = 1000;
    let mut inbox = bytes.to_vec();
    let mut at_once = Chunked::new(LIMIT);
    let complete = at_once.push(&mut inbox);
    let mut dribbled = Chunked::new(LIMIT);
    let mut waiting = vec![];
    let mut result = Ok(false);
    for byte in bytes {
        waiting.push(*byte);
        result = dribbled.push(&mut waiting);
        if !matches!(result, Ok(false)) {
            break;
        }
    }
    assert_eq!(complete.clone().ok(), result.ok());
    if complete == Ok(true) {
        let body = at_once.into_body();
        assert!(body.len() <= LIMIT);
        assert_eq!(body, dribbled.into_body());
    }
}

/// PeerEvent a browser says in a room with another in it.
pub fn message(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let now = Instant::now();
    let mut rooms = Rooms::new(rooms::Limits::default(), ServerInfo::default());
    for n in 0..2 {
        let token = ResumeToken::from_bytes([n as u8; 32]);
        rooms
            .open(JoinRequest { link: Link(n), room: RoomName::default(), token, host: n == 0, stations: vec![] }, now);
    }
    // The other's id in the message's place for it, so that relaying is reached.
    let text = text.replace("OTHER", &ResumeToken::from_bytes([1; 32]).id().to_string());
    let said = messages::parse(&text);
    let wrong = matches!(said, ClientMessage::Wrong(_));
    while !matches!(rooms.poll_output(now), rooms::Output::Wait(_)) {}
    rooms.say(Link(0), said, now);
    let mut told = 0;
    loop {
        match rooms.poll_output(now) {
            rooms::Output::Wait(_) => break,
            rooms::Output::Send { text, .. } => {
                let told_text: serde_json::Value = serde_json::from_str(&text).expect("what is passed on is JSON");
                assert!(told_text["type"].is_string() && told_text["payload"].is_object(), "{text}");
                told += 1;
            }
            _ => {}
        }
        assert!(told <= 4, "one message makes many");
    }
    assert!(!wrong || told == 1, "who says nonsense is told so, and nobody else");
}

/// Names and secrets: what is taken is written as it was read.
pub fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(room) = RoomName::parse(text) {
        assert_eq!(room.as_str(), text);
        assert!(text.len() <= 64 && text.bytes().all(|b| b.is_ascii_graphic()));
    }
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
    // Of all tokens there are, only those signed by the very key are read.
    let keys = [[1; SigningKey::BYTES], [2; SigningKey::BYTES]].map(|bytes| SigningKey::new(&bytes));
    assert!(keys[0].read(text).is_none(), "nobody can guess a signature");
    let room = RoomName::parse(text).unwrap_or_default();
    let grant = Claims {
        id: TokenId::new(bytes.len() as u64),
        permission: Permission::Room(room),
        expires_s: None,
        uses: Some(1),
    };
    let signed = keys[0].sign(&grant);
    assert_eq!(keys[0].read(&signed), Some(grant));
    assert!(keys[1].read(&signed).is_none());
    if let Some(origin) = Origin::parse(text) {
        let (_, host) = text.split_once("://").expect("an origin has a scheme");
        assert!(origin.is_of(host), "an origin is its own");
    }
}
