//! PeerEvent is done with a stranger's bytes, and what must hold whatever they are. `make fuzz` runs each body for a minute
//! under a fuzzer (targets/); `make test` runs them on seeds and seeded mutations of those (tests/it/fuzz.rs).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use roomtone::access::tokens::{Claims, Permission, SigningKey, TokenId};
use roomtone::ids::names::{RoomName, StationName};
use roomtone::ids::peer::{PeerId, ResumeToken};
use roomtone::ids::session::SessionId;
use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::rtc::profile::{OpusTrack, Profile, Role};
use roomtone::rtc::requests::IfMatch;
use roomtone::rtc::session::Session;
use roomtone::rtc::sessions::{Output, Sessions};
use roomtone::rtc::udp::batch::Batch;
use roomtone::rtc::udp::classify::Datagram;
use roomtone::signal::client_message::ClientMessage;
use roomtone::signal::events::{self, ConnectionId, JoinRequest, ServerInfo};
use roomtone::signal::limits::RoomLimits;
use roomtone::signal::rooms::Rooms;
use roomtone::station::timeline::{self, Capacity, Timeline, TimelineWriter};
use roomtone::web::handlers::whep;
use roomtone::web::http::body::Chunked;
use roomtone::web::http::head::Framing;
use roomtone::web::http::origin::Origin;
use roomtone::web::http::{head, upgrade};
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output as ClientOutput, Rtc};

/// Takes a stranger's bytes; panics if something does not hold.
pub type Body = fn(&[u8]);

/// Every body by its name.
pub const BODIES: [(&str, Body); 6] = [
    ("head", head),
    ("message", message),
    ("names", names),
    ("offer", offer),
    ("datagrams", datagrams),
    ("sessions", sessions),
];

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

/// A message of a client in a room with two peers.
pub fn message(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let now = Instant::now();
    let mut rooms = Rooms::new(RoomLimits::default(), ServerInfo::default());
    for n in 0..2 {
        let (connection, token) = (ConnectionId(n), ResumeToken::from_bytes([n as u8; 32]));
        let (room, moderator) = (RoomName::default(), n == 0);
        rooms.join(JoinRequest { connection, room, token, moderator, stations: vec![] }, now);
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
        let (_, host) = text.split_once("://").expect("an origin has a scheme");
        assert!(origin.is_of(host), "an origin is of its own host");
    }
}

/// A body of `POST /offer`.
pub fn offer(bytes: &[u8]) {
    let Ok(sdp) = whep::described_offer(bytes) else { return };
    let now = Instant::now();
    match Session::accept(SessionId::random(0), &sdp, profile(), &[server()], None, now) {
        Err(sentence) => assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence}"),
        Ok((session, answer)) => {
            assert!(answer.starts_with("v=0\r\n") && answer.contains("a=sendonly\r\n"), "{answer}");
            let (mut sessions, _writers) = sessions_with_tracks(1, now);
            sessions.admit(session, TrackId::new(0), now);
            drain(&mut sessions, now);
            sessions.handle_timeout(now + Duration::from_secs(60));
            drain(&mut sessions, now + Duration::from_secs(60));
            assert!(sessions.is_empty(), "a client that never comes is given up");
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
        pair.sessions.handle_datagram(&datagram_of(source, &forged), pair.now);
        pair.pass();
    }
    for _ in 0..5 {
        pair.hear_a_packet();
    }
    assert_eq!(pair.sessions.len(), 1, "the session ended");
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
    let (mut sessions, mut writers) = sessions_with_tracks(2, now);
    let mut ids: Vec<SessionId> = vec![];
    let mut alive: HashMap<SessionId, ()> = HashMap::new();
    let mut rest = bytes;
    while let [op, argument, tail @ ..] = rest {
        rest = tail;
        let nth = usize::from(*argument);
        match op % 7 {
            0 if alive.len() < MOST => {
                let accepted = Session::accept(SessionId::random(0), &plain_offer(), profile(), &[server()], None, now);
                let (session, _) = accepted.expect("our own offer is a good one");
                alive.insert(session.id, ());
                ids.push(session.id);
                sessions.admit(session, TrackId::new(nth as u64 % 2), now);
            }
            1 => {
                if let Some(&id) = ids.get(nth % ids.len().max(1)) {
                    assert_eq!(sessions.close(id, now), alive.contains_key(&id));
                }
            }
            2 => {
                let (fragment, tail) = rest.split_at(rest.len().min(nth));
                rest = tail;
                let fragment = String::from_utf8_lossy(fragment);
                let if_match = [IfMatch::Absent, IfMatch::Any, IfMatch::Tags(vec!["\"x\"".into()])][nth % 3].clone();
                if let Some(&id) = ids.get(nth % ids.len().max(1)) {
                    let _ = sessions.handle_patch(id, &fragment, &if_match, now);
                }
            }
            3 => {
                let (datagram, tail) = rest.split_at(rest.len().min(nth));
                rest = tail;
                let source = SocketAddr::from(([203, 0, 113, 1], 9));
                sessions.handle_datagram(&datagram_of(source, datagram), now);
            }
            4 => {
                let packet = Packet { payload: vec![0xfc; nth].into(), rtp_time_samples: 960, captured: now };
                let index = writers[nth % 2].push(&packet);
                sessions.handle_packet(TrackId::new(nth as u64 % 2), index, packet, now);
            }
            5 => {
                now += Duration::from_millis(nth as u64 * 50);
                sessions.handle_timeout(now);
            }
            _ => {}
        }
        for id in drain(&mut sessions, now) {
            assert!(alive.remove(&id).is_some(), "a session ended twice");
        }
        assert_eq!(sessions.len(), alive.len());
    }
    sessions.close_all(now);
    drain(&mut sessions, now);
    assert!(sessions.is_empty());
}

/// The sessions that are gone. It ends: no input makes the sessions send for ever.
fn drain(sessions: &mut Sessions, now: Instant) -> Vec<SessionId> {
    let mut gone = vec![];
    let mut batch = Batch::default();
    for _ in 0..10_000 {
        match sessions.poll_output(now, &mut batch) {
            Output::Wait(_) => return gone,
            Output::Gone { session, .. } => gone.push(session),
            _ => {}
        }
    }
    panic!("the sessions never stop sending")
}

fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 8088))
}

fn datagram_of(source: SocketAddr, bytes: &[u8]) -> Datagram<'_> {
    Datagram { protocol: Protocol::Udp, source, destination: server(), bytes }
}

/// Sessions that may receive so many tracks, numbered from 0, and the tracks' timelines.
fn sessions_with_tracks(count: u64, now: Instant) -> (Sessions, Vec<TimelineWriter>) {
    let mut sessions = Sessions::default();
    let writers = (0..count).map(|nth| {
        let capacity = Capacity::new(Duration::ZERO, Duration::from_millis(20), 128_000);
        let (writer, timeline): (TimelineWriter, Timeline) = timeline::new(capacity, now);
        sessions.add_track(TrackId::new(nth), timeline);
        writer
    });
    let writers = writers.collect();
    (sessions, writers)
}

fn profile() -> &'static Profile {
    static PROFILE: OnceLock<Profile> = OnceLock::new();
    PROFILE.get_or_init(|| {
        let dtls = str0m::crypto::from_feature_flags().dtls_provider;
        let certificate = dtls.generate_certificate().expect("a certificate can be made");
        let role = Role::Listener(OpusTrack { stereo: true, fec: false, min_packet_ms: 10 });
        Profile { certificate, role, seal: true }
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
    sessions: Sessions,
    timeline: TimelineWriter,
    rtc: Rtc,
    address: SocketAddr,
    position: u64,
    heard: usize,
    /// What the client sent so far.
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
        let accepted = Session::accept(SessionId::random(0), &offer.to_sdp_string(), profile(), &[server()], None, now);
        let (session, answer) = accepted.expect("our own offer is a good one");
        let answer = SdpAnswer::from_sdp_string(&answer).expect("our own answer");
        rtc.sdp_api().accept_answer(pending, answer).expect("our own answer");
        let (mut sessions, mut writers) = sessions_with_tracks(1, now);
        sessions.admit(session, TrackId::new(0), now);
        let timeline = writers.remove(0);
        let mut pair = Pair { now, sessions, timeline, rtc, address, position: 0, heard: 0, captured: vec![] };
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
        let index = self.timeline.push(&packet);
        self.sessions.handle_packet(TrackId::new(0), index, packet, self.now);
        self.pass();
        for _ in 0..4 {
            self.now += Duration::from_millis(5);
            self.sessions.handle_timeout(self.now);
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
                match self.sessions.poll_output(self.now, &mut batch) {
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
                    self.sessions.handle_datagram(&datagram_of(t.source, &t.contents), self.now);
                }
                ClientOutput::Event(Event::RtpPacket(_)) => self.heard += 1,
                ClientOutput::Event(_) => {}
            }
        }
    }
}
