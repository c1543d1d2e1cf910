//! What is done with bytes from the network, and what must hold whatever they are. `make fuzz` runs each body for a minute
//! under a fuzzer (targets/); `make test` runs them on seeds and seeded mutations of those (tests/it/fuzz.rs).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use roomtone::access::tokens::{Claims, Permission, SigningKey, TokenId};
use roomtone::ids::names::RoomName;
use roomtone::ids::peer::{PeerId, ResumeToken};
use roomtone::ids::session::SessionId;
use roomtone::media::packet::Packet;
use roomtone::rtc::requests::IfMatch;
use roomtone::rtc::session::{Listener, SessionConfig};
use roomtone::rtc::sessions::{Fanout, Output};
use roomtone::rtc::udp::batch::Batch;
use roomtone::signal::messages::{self, ClientMessage};
use roomtone::signal::rooms::{self, JoinRequest, Link, Rooms, ServerInfo};
use roomtone::station::timeline::History;
use roomtone::web::handlers::whep;
use roomtone::web::http::chunked::ChunkedDecoder;
use roomtone::web::http::head::Framing;
use roomtone::web::http::origin::Origin;
use roomtone::web::http::{head, message as http, routes, upgrade};
use roomtone::web::transport::first_bytes::{self, Decision};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output as ClientOutput, Rtc};

/// Takes a stranger's bytes; panics if something does not hold.
pub type Body = fn(&[u8]);

/// Every body by its name.
pub const BODIES: [(&str, Body); 7] = [
    ("first_bytes", first_bytes),
    ("head", head),
    ("message", message),
    ("names", names),
    ("offer", offer),
    ("datagrams", datagrams),
    ("sessions", sessions),
];

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

/// A body of `POST /offer`.
pub fn offer(bytes: &[u8]) {
    let Ok(sdp) = whep::offer_in_json(bytes) else { return };
    let now = Instant::now();
    match Listener::accept(SessionId::random(), &sdp, 0, session_config(), &[server()], None, now) {
        Err(sentence) => assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence}"),
        Ok((listener, answer)) => {
            assert!(answer.starts_with("v=0\r\n") && answer.contains("a=sendonly\r\n"), "{answer}");
            let mut fanout = Fanout::new([History::default()]);
            fanout.admit(listener, now);
            drain(&mut fanout, now);
            fanout.handle_timeout(now + Duration::from_secs(60));
            drain(&mut fanout, now + Duration::from_secs(60));
            assert!(fanout.is_empty(), "who never comes is given up");
        }
    }
}

/// Datagrams from strangers, and in the name of a listener who is on: the stream goes on.
pub fn datagrams(bytes: &[u8]) {
    let mut pair = Pair::connected();
    let before = pair.heard;
    let mut rest = bytes;
    while let [kind, length, tail @ ..] = rest {
        let (datagram, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        rest = tail;
        let source = if kind & 1 == 0 { pair.address } else { SocketAddr::from(([203, 0, 113, *kind], 9)) };
        // Either bytes as they are, or one that the client really sent, with some bytes changed and its end cut off.
        let forged = match (kind >> 1, pair.captured.get(usize::from(*kind >> 2) % pair.captured.len().max(1))) {
            (which, Some(genuine)) if which & 1 == 1 => forged(genuine, datagram),
            _ => datagram.to_vec(),
        };
        pair.fanout.handle_datagram(source, server(), &forged, pair.now);
        pair.pass();
    }
    for _ in 0..5 {
        pair.hear_a_packet();
    }
    assert_eq!(pair.fanout.len(), 1, "the session ended");
    assert_eq!(pair.heard, before + 5, "packets were lost");
}

fn forged(genuine: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = genuine.to_vec();
    let [cut, changes @ ..] = changes else { return bytes };
    bytes.truncate(bytes.len() - usize::from(*cut) % bytes.len().max(1));
    for change in changes.chunks_exact(2) {
        let at = usize::from(change[0]) % bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= change[1];
        }
    }
    bytes
}

/// Whatever happens to sessions, in whatever order: admitted, patched, dismissed, spoken to, kept waiting.
pub fn sessions(bytes: &[u8]) {
    const MOST: usize = 8;
    let mut now = Instant::now();
    let histories = [History::default(), History::default()];
    let mut fanout = Fanout::new(histories.clone());
    let mut ids: Vec<SessionId> = vec![];
    let mut alive: HashMap<SessionId, ()> = HashMap::new();
    let mut rest = bytes;
    while let [op, argument, tail @ ..] = rest {
        rest = tail;
        let nth = usize::from(*argument);
        match op % 7 {
            0 if alive.len() < MOST => {
                let accepted = Listener::accept(
                    SessionId::random(),
                    &plain_offer(),
                    nth % 2,
                    session_config(),
                    &[server()],
                    None,
                    now,
                );
                let (listener, _) = accepted.expect("our own offer is a good one");
                alive.insert(listener.id, ());
                ids.push(listener.id);
                fanout.admit(listener, now);
            }
            1 => {
                if let Some(&id) = ids.get(nth % ids.len().max(1)) {
                    assert_eq!(fanout.dismiss(id, now), alive.contains_key(&id));
                }
            }
            2 => {
                let (fragment, tail) = rest.split_at(rest.len().min(nth));
                rest = tail;
                let fragment = String::from_utf8_lossy(fragment);
                let if_match = [IfMatch::Absent, IfMatch::Any, IfMatch::Tags(vec!["\"x\"".into()])][nth % 3].clone();
                if let Some(&id) = ids.get(nth % ids.len().max(1)) {
                    let _ = fanout.handle_patch(id, &fragment, &if_match, now);
                }
            }
            3 => {
                let (datagram, tail) = rest.split_at(rest.len().min(nth));
                rest = tail;
                fanout.handle_datagram(SocketAddr::from(([203, 0, 113, 1], 9)), server(), datagram, now);
            }
            4 => {
                let packet = Packet { payload: vec![0xfc; nth].into(), rtp_time_samples: 960, captured: now };
                let place = histories[nth % 2].push(packet.clone());
                fanout.handle_packet(nth % 2, place, packet, now);
            }
            5 => {
                now += Duration::from_millis(nth as u64 * 50);
                fanout.handle_timeout(now);
            }
            _ => {}
        }
        for id in drain(&mut fanout, now) {
            assert!(alive.remove(&id).is_some(), "a session ended twice");
        }
        assert_eq!(fanout.len(), alive.len());
    }
    fanout.dismiss_all(now);
    drain(&mut fanout, now);
    assert!(fanout.is_empty());
}

/// Who is gone. Stops: nothing makes the fanout talk for ever.
fn drain(fanout: &mut Fanout, now: Instant) -> Vec<SessionId> {
    let mut gone = vec![];
    let mut batch = Batch::default();
    for _ in 0..10_000 {
        match fanout.poll_output(now, &mut batch) {
            Output::Wait(_) => return gone,
            Output::Gone { listener, .. } => gone.push(listener),
            _ => {}
        }
    }
    panic!("the fanout has something to say for ever")
}

fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 8088))
}

fn session_config() -> &'static SessionConfig {
    static CONFIG: OnceLock<SessionConfig> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let dtls = str0m::crypto::from_feature_flags().dtls_provider;
        let certificate = dtls.generate_certificate().expect("a certificate can be made");
        SessionConfig { certificate, stereo: true, fec: false, min_packet_ms: 10, seal: true }
    })
}

fn client_engine(now: Instant) -> Rtc {
    Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false).build(now)
}

fn plain_offer() -> String {
    static OFFER: OnceLock<String> = OnceLock::new();
    let made = OFFER.get_or_init(|| {
        let mut rtc = client_engine(Instant::now());
        let mut change = rtc.sdp_api();
        change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        change.apply().expect("there is something to offer").0.to_sdp_string()
    });
    made.clone()
}

/// A listener who is on, over a network without delay, in virtual time.
struct Pair {
    now: Instant,
    fanout: Fanout,
    history: History,
    rtc: Rtc,
    address: SocketAddr,
    position: u64,
    heard: usize,
    /// PeerEvent the client sent so far.
    captured: Vec<Vec<u8>>,
}

impl Pair {
    fn connected() -> Pair {
        let now = Instant::now();
        let address = SocketAddr::from(([198, 51, 100, 1], 5000));
        let mut rtc = client_engine(now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).expect("an address"));
        let mut change = rtc.sdp_api();
        change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
        let (offer, pending) = change.apply().expect("there is something to offer");
        let accepted =
            Listener::accept(SessionId::random(), &offer.to_sdp_string(), 0, session_config(), &[server()], None, now);
        let (listener, answer) = accepted.expect("our own offer is a good one");
        let answer = SdpAnswer::from_sdp_string(&answer).expect("our own answer");
        rtc.sdp_api().accept_answer(pending, answer).expect("our own answer");
        let history = History::default();
        let mut fanout = Fanout::new([history.clone()]);
        fanout.admit(listener, now);
        let mut pair = Pair { now, fanout, history, rtc, address, position: 0, heard: 0, captured: vec![] };
        for _ in 0..200 {
            pair.hear_a_packet();
            if pair.heard >= 3 {
                return pair;
            }
        }
        panic!("never connected");
    }

    fn hear_a_packet(&mut self) {
        let packet =
            Packet { payload: vec![0xfc, 0xff, 0xfe].into(), rtp_time_samples: self.position, captured: self.now };
        self.position += 960;
        let place = self.history.push(packet.clone());
        self.fanout.handle_packet(0, place, packet, self.now);
        self.pass();
        for _ in 0..4 {
            self.now += Duration::from_millis(5);
            self.fanout.handle_timeout(self.now);
            let _ = self.rtc.handle_input(Input::Timeout(self.now));
            self.pass();
        }
    }

    /// Carries datagrams to and fro until both are silent.
    fn pass(&mut self) {
        let mut batch = Batch::default();
        for _ in 0..1_000 {
            let mut silent = true;
            loop {
                match self.fanout.poll_output(self.now, &mut batch) {
                    Output::Transmit(t) => self.arrive(t.source, t.destination, &t.contents, &mut silent),
                    Output::Batch => {
                        for (route, bytes) in batch.iter() {
                            self.arrive(route.source, route.destination, bytes, &mut silent);
                        }
                    }
                    Output::Wait(_) => break,
                    _ => {}
                }
            }
            self.listen(&mut silent);
            if silent {
                return;
            }
        }
        panic!("they have something to say for ever")
    }

    fn arrive(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8], silent: &mut bool) {
        let Ok(contents) = bytes.try_into() else { return };
        if destination == self.address {
            *silent = false;
            let receive = Receive { proto: Protocol::Udp, source, destination, contents };
            let _ = self.rtc.handle_input(Input::Receive(self.now, receive));
            self.listen(silent);
        }
    }

    fn listen(&mut self, silent: &mut bool) {
        while let Ok(output) = self.rtc.poll_output() {
            match output {
                ClientOutput::Timeout(_) => return,
                ClientOutput::Transmit(t) => {
                    *silent = false;
                    self.captured.push(t.contents.to_vec());
                    self.fanout.handle_datagram(t.source, t.destination, &t.contents, self.now);
                }
                ClientOutput::Event(Event::RtpPacket(_)) => self.heard += 1,
                ClientOutput::Event(_) => {}
            }
        }
    }
}
