//! The door and what is behind it, asked by plain TCP clients: every rule of HTTP that a stranger could bend.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use roomtone::audio::encoder::Encoding;
use roomtone::ids::names::StationName;
use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::net::ice_server::IceServer;
use roomtone::observe::registry::Registry;
use roomtone::observe::service::Running;
use roomtone::os::file_limits;
use roomtone::rtc::engine::handle::{Handle as EngineHandle, TrackSetup};
use roomtone::rtc::engine::{self, EngineSetup};
use roomtone::rtc::metrics::RtcMetrics;
use roomtone::rtc::profile::OpusTrack;
use roomtone::rtc::udp::socket;
use roomtone::signal::events::ServerInfo;
use roomtone::signal::hub::{self, HubSetup};
use roomtone::signal::limits::RoomLimits;
use roomtone::signal::metrics::RoomMetrics;
use roomtone::station::directory::Directory;
use roomtone::station::metrics::StationMetrics;
use roomtone::station::station::Station;
use roomtone::station::timeline::{self, Capacity};
use roomtone::web::handlers::authorize::Gate;
use roomtone::web::handlers::context::{Limits, Site};
use roomtone::web::handlers::pages::Assets;
use roomtone::web::http::client_address::Proxies;
use roomtone::web::server::acceptor::{Door, DoorHandle, DoorSettings, bind};
use roomtone::web::transport::metrics::ConnectionMetrics;
use roomtone::web::transport::tls::Tls;
use serde_json::Value;

/// No answer takes that long on a machine that is not on fire.
const PATIENCE: Duration = Duration::from_secs(30);
/// Short, but long enough for a busy machine to send what a test wants to be in time.
const SHORT: Duration = Duration::from_millis(400);

/// Sessions that a house takes.
pub const MAX_LISTENERS: usize = 2;

/// A running server with a folder of pages and two stations, of which only the first is on air.
pub struct House {
    pub door: DoorHandle,
    pub metrics: ConnectionMetrics,
    www: tempfile::TempDir,
    _engine: Running<EngineHandle>,
    pub hub: Running<hub::Handle>,
    /// The UDP port.
    pub media: SocketAddr,
    pub room_metrics: RoomMetrics,
}

/// What a house is built by.
#[derive(Default)]
pub struct Plan {
    pub limits: Limits,
    pub rooms: RoomLimits,
    pub tls: Option<Arc<Tls>>,
    pub proxies: Proxies,
    /// Open to everybody, if None.
    pub gate: Option<Gate>,
}

/// All clients of a test have one address.
fn crowded() -> Limits {
    Limits { max_connections_per_address: 12_000, connections_per_s: 100_000, ..Limits::default() }
}

impl House {
    pub fn open() -> House {
        House::with(crowded())
    }

    fn with(limits: Limits) -> House {
        House::with_rooms(limits, RoomLimits::default())
    }

    pub fn with_rooms(limits: Limits, rooms: RoomLimits) -> House {
        House::built(Plan { limits, rooms, ..Plan::default() })
    }

    pub fn with_gate(gate: Gate) -> House {
        House::built(Plan { gate: Some(gate), ..Plan::default() })
    }

    pub fn built(plan: Plan) -> House {
        let Plan { limits, rooms, tls, proxies, gate } = plan;
        let gate = gate.unwrap_or_else(|| Gate::open().unwrap());
        let www = tempfile::tempdir().unwrap();
        fs::write(www.path().join("index.html"), "<!doctype html><p>index").unwrap();
        fs::write(www.path().join("listen.html"), "<!doctype html><p>listen").unwrap();
        fs::write(www.path().join("room.html"), "<!doctype html><p>room").unwrap();
        let registry = Registry::default();
        let metrics = ConnectionMetrics::register(&registry);
        let stations = Directory::default();
        let listener = bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
        let (engine, media) = start_engine(&stations, &registry, limits.max_listeners_per_address);
        let (reports, _) = crossbeam_channel::bounded(8);
        let room_metrics = RoomMetrics::register(&registry);
        let server = ServerInfo { instance: "0123456789abcdef".into(), ice_servers: vec![ice_server()], stun_port: 9 };
        let hub = hub::start(HubSetup { limits: rooms, server, metrics: room_metrics.clone() }, reports).unwrap();
        let site = Site {
            started: Instant::now(),
            stations,
            rtc: engine.handle.clone(),
            metrics: registry,
            rooms: hub.handle.clone(),
            ice_servers: vec![ice_server()],
            door_metrics: metrics.clone(),
            gate: Arc::new(gate),
            assets: Assets::Folder(www.path().to_owned()),
            limits,
            max_listeners: MAX_LISTENERS,
            tls,
            proxies,
        };
        let door = Door::start(listener, site, DoorSettings::default(), crossbeam_channel::bounded(8).0).unwrap();
        House { door, metrics, www, _engine: engine, media, hub, room_metrics }
    }

    /// The folder of pages.
    pub fn www(&self) -> &std::path::Path {
        self.www.path()
    }

    fn client(&self) -> Client {
        Client::connect(self.door.address())
    }

    /// Asks on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, fields: &str, body: &[u8]) -> Reply {
        let mut client = self.client();
        client.ask(method, path, fields, body);
        client.reply(method)
    }

    /// Sends bytes as they are, reads one reply, and checks that the connection is closed after it.
    fn refused(&self, bytes: &[u8]) -> Reply {
        let mut client = self.client();
        client.send(bytes);
        let reply = client.reply("GET");
        assert_eq!(reply.field("connection"), Some("close"), "{}", reply.head);
        client.expect_end();
        reply
    }
}

fn ice_server() -> IceServer {
    IceServer { urls: vec!["turn:turn.example.net".into()], username: Some("u".into()), credential: Some("c".into()) }
}

/// An engine with two stations, of which the first is on air.
fn start_engine(stations: &Directory, registry: &Registry, per_address: usize) -> (Running<EngineHandle>, SocketAddr) {
    let socket = socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    let media = socket.local_addr().unwrap();
    let setup = EngineSetup {
        sockets: vec![socket],
        max_sessions: MAX_LISTENERS,
        max_sessions_per_address: per_address,
        seal: true,
        metrics: RtcMetrics::register(registry),
    };
    let (reports, _) = crossbeam_channel::bounded(8);
    let engine = engine::start(setup, reports).unwrap();
    for (nth, label) in ["main", "other"].into_iter().enumerate() {
        let capacity = Capacity::new(Duration::ZERO, Duration::from_millis(20), 128_000);
        let (mut writer, timeline) = timeline::new(capacity, Instant::now());
        let (name, track) = (StationName::parse(label).unwrap(), TrackId::new(nth as u64));
        let station =
            Station::new(name, track, Encoding::default(), timeline.clone(), StationMetrics::register(registry, label));
        let setup = TrackSetup {
            id: track,
            opus: OpusTrack { stereo: true, fec: false, min_packet_ms: 20 },
            timeline,
            listeners: station.metrics.listeners.clone(),
            packets_dropped: station.metrics.packets_dropped.clone(),
        };
        let sender = engine.handle.add_track(setup).unwrap();
        if nth == 0 {
            let payload = vec![0xfc, 0xff, 0xfe].into();
            let packet = Packet { payload, rtp_time_samples: 0, captured: Instant::now() };
            sender.send(writer.push(&packet), &packet);
        }
        assert!(stations.insert(station));
    }
    (engine, media)
}

struct Client {
    stream: TcpStream,
    inbox: Vec<u8>,
}

pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Client { stream, inbox: Vec::new() }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    fn ask(&mut self, method: &str, path: &str, fields: &str, body: &[u8]) {
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}{fields}\r\n").into_bytes();
        bytes.extend_from_slice(body);
        self.send(&bytes);
    }

    fn read(&mut self) -> usize {
        let mut buffer = [0; 65536];
        let count = self.stream.read(&mut buffer).expect("the server answers in time");
        self.inbox.extend_from_slice(&buffer[..count]);
        count
    }

    fn reply(&mut self, method: &str) -> Reply {
        let end = loop {
            if let Some(at) = self.inbox.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert_ne!(self.read(), 0, "no answer: {:?}", String::from_utf8_lossy(&self.inbox));
        };
        let head = String::from_utf8(self.inbox.drain(..end).collect()).unwrap();
        let status = head.strip_prefix("HTTP/1.1 ").unwrap()[..3].parse().unwrap();
        let mut reply = Reply { status, head, body: Vec::new() };
        let length: usize = reply.field("content-length").map_or(0, |length| length.parse().unwrap());
        let length = if method == "HEAD" { 0 } else { length };
        while self.inbox.len() < length {
            assert_ne!(self.read(), 0, "the body ends early");
        }
        reply.body = self.inbox.drain(..length).collect();
        reply
    }

    /// Of the answer to a harmless question, or of the refusal that came before it could be asked.
    fn first_status(mut self) -> u16 {
        let _ = self.stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        self.reply("GET").status
    }

    /// The server has closed, and has sent nothing that was not read.
    fn expect_end(&mut self) {
        assert!(self.inbox.is_empty(), "{:?}", String::from_utf8_lossy(&self.inbox));
        assert_eq!(self.read(), 0, "{:?}", String::from_utf8_lossy(&self.inbox));
    }
}

impl Reply {
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.field("content-type"), Some("application/json"), "{}", self.head);
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Status and code of an error, which has what every error has.
    pub fn error(&self) -> (u16, String) {
        assert_eq!(self.field("x-content-type-options"), Some("nosniff"), "{}", self.head);
        let error = &self.json()["error"];
        assert!(error["message"].as_str().unwrap().ends_with('.'), "{error}");
        (self.status, error["code"].as_str().unwrap().to_owned())
    }
}

pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen");
        thread::sleep(Duration::from_millis(2));
    }
}

pub fn code(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

#[test]
fn the_page_is_served_with_type_tag_and_strict_headers() {
    let house = House::open();
    let page = house.ask("GET", "/listen?x=1", "", b"");
    assert_eq!((page.status, page.body.as_slice()), (200, b"<!doctype html><p>listen".as_slice()));
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.field("x-content-type-options"), Some("nosniff"));
    assert!(page.field("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert!(page.field("permissions-policy").unwrap().contains("microphone=(self)"));
    assert_eq!(page.field("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.field("cross-origin-opener-policy"), Some("same-origin"));
    assert_eq!(page.field("cross-origin-resource-policy"), Some("same-origin"));
    assert_eq!(page.field("set-cookie"), None);
    assert_eq!(page.head.matches("Server:").count(), 1, "{}", page.head);

    let tag = page.field("etag").unwrap();
    let again = house.ask("GET", "/listen", &format!("If-None-Match: {tag}\r\n"), b"");
    assert_eq!((again.status, again.field("etag"), again.body.len()), (304, Some(tag), 0));
}

#[test]
fn a_head_request_has_the_length_but_not_the_body() {
    let house = House::open();
    let mut client = house.client();
    client.ask("HEAD", "/", "", b"");
    let reply = client.reply("HEAD");
    assert_eq!((reply.status, reply.field("content-length")), (200, Some("23")));
    // A body would be taken for the head of the next answer.
    client.ask("GET", "/healthz", "", b"");
    assert_eq!(client.reply("GET").body, b"ok");
}

#[test]
fn every_answer_of_whep_may_be_read_by_other_origins_and_no_other() {
    let house = House::open();
    let elsewhere = "Origin: http://elsewhere\r\n";
    let too_large = "Content-Length: 100000\r\n";
    for (method, path, fields) in [
        ("POST", "/whep", ""),
        ("OPTIONS", "/whep/main", ""),
        ("GET", "/whep/nobody", ""),
        ("POST", "/whep", too_large),
    ] {
        let reply = house.ask(method, path, &format!("{elsewhere}{fields}"), b"");
        assert_eq!(reply.field("access-control-allow-origin"), Some("*"), "{method} {path}");
        let exposed = reply.field("access-control-expose-headers");
        assert_eq!(exposed, Some("Location, Link, ETag, Accept-Patch, Retry-After"), "{method} {path}");
        assert_eq!(reply.head.matches("Access-Control-Allow-Origin").count(), 1, "{method} {path}");
    }
    for (method, path) in
        [("GET", "/"), ("GET", "/nothing"), ("GET", "/offer"), ("GET", "/healthz"), ("GET", "/api/status")]
    {
        let reply = house.ask(method, path, elsewhere, b"");
        assert_eq!(reply.field("access-control-allow-origin"), None, "{method} {path}");
    }
}

#[test]
fn options_says_what_may_be_done() {
    let house = House::open();
    let cases = [
        ("/", "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/api/status", "GET, HEAD, OPTIONS"),
        ("/offer", "POST, OPTIONS"),
        ("/whep", "GET, HEAD, POST, OPTIONS"),
        ("/whep/other", "GET, HEAD, POST, OPTIONS"),
        ("/whep/main/00112233445566778899aabbccddeeff", "GET, HEAD, PATCH, DELETE, OPTIONS"),
    ];
    for (path, allowed) in cases {
        let fields = "Origin: http://a\r\nAccess-Control-Request-Method: PATCH\r\n";
        let reply = house.ask("OPTIONS", path, fields, b"");
        assert_eq!(
            (reply.status, reply.field("allow"), reply.field("content-length")),
            (204, Some(allowed), None),
            "{path}"
        );
        assert_eq!(reply.field("access-control-allow-methods"), Some(allowed), "{path}");
        assert_eq!(reply.field("access-control-allow-headers"), Some("content-type, if-match, authorization"));
        assert!(reply.field("access-control-max-age").is_some());
    }
    assert_eq!(house.ask("OPTIONS", "/whep", "", b"").field("accept-post"), Some("application/sdp"));
    assert_eq!(house.ask("OPTIONS", "*", "", b"").status, 204);
    assert_eq!(house.ask("OPTIONS", "/nothing", "", b"").status, 404);
}

#[test]
fn an_unknown_path_is_404_and_a_wrong_method_405_with_what_is_allowed() {
    let house = House::open();
    assert_eq!(house.ask("GET", "/nothing", "", b"").error(), code(404, "unknown-path"));
    assert_eq!(house.ask("GET", "/ws", "", b"").error(), code(426, "upgrade-required"));
    assert_eq!(house.ask("POST", "/nothing", "", b"x").error(), code(404, "unknown-path"));
    assert_eq!(house.ask("POST", "/whep/nobody", "", b"x").error(), code(404, "unknown-station"));
    let session = "/whep/main/00112233445566778899aabbccddeeff";
    for (method, path, allowed) in [
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("GET", "/offer", "POST, OPTIONS"),
        ("PUT", "/whep", "GET, HEAD, POST, OPTIONS"),
        ("POST", session, "GET, HEAD, PATCH, DELETE, OPTIONS"),
        ("BREW", "/healthz", "GET, HEAD, OPTIONS"),
    ] {
        let reply = house.ask(method, path, "", b"");
        assert_eq!(reply.error(), code(405, "method-not-allowed"), "{method} {path}");
        assert_eq!(reply.field("allow"), Some(allowed), "{method} {path}");
    }
}

#[test]
fn whep_is_there_and_takes_sdp_only() {
    let house = House::open();
    let got = house.ask("GET", "/whep", "", b"");
    assert_eq!((got.status, got.body.len()), (200, 0));
    let head = house.ask("HEAD", "/whep/other", "", b"");
    assert_eq!((head.status, head.field("content-type")), (200, Some("application/sdp")));

    let wrong = house.ask("POST", "/whep", "Content-Type: text/plain\r\n", b"v=0");
    assert_eq!((wrong.error(), wrong.field("accept-post")), (code(415, "wrong-type"), Some("application/sdp")));
    assert_eq!(house.ask("POST", "/whep", "", b"v=0").error(), code(415, "wrong-type"));
    let sdp = "Content-Type: Application/SDP; charset=utf-8\r\n";
    assert_eq!(house.ask("POST", "/whep", sdp, b"").error(), code(400, "empty-body"));
    assert_eq!(house.ask("POST", "/whep", sdp, b"\xff").error(), code(400, "bad-offer"));
}

#[test]
fn a_session_takes_fragments_only_and_a_malformed_one_is_nowhere() {
    let house = House::open();
    let session = "/whep/main/00112233445566778899aabbccddeeff";
    let wrong = house.ask("PATCH", session, "Content-Type: application/sdp\r\n", b"x");
    assert_eq!(wrong.error(), code(415, "wrong-type"));
    assert_eq!(wrong.field("accept-patch"), Some("application/trickle-ice-sdpfrag"));
    assert_eq!(house.ask("GET", session, "", b"").status, 200);
    assert_eq!(house.ask("DELETE", session, "", b"").error(), code(404, "unknown-listener"));
    for nowhere in
        ["/whep/main/xyz", "/whep/main/00112233445566778899AABBCCDDEEFF", "/whep/no/00112233445566778899aabbccddeeff"]
    {
        assert_eq!(house.ask("GET", nowhere, "", b"").error(), code(404, "unknown-listener"), "{nowhere}");
    }
}

#[test]
fn an_offer_as_json_must_be_json_of_an_offer() {
    let house = House::open();
    let json = "Content-Type: application/json\r\n";
    let offer = br#"{"sdp": "v=0", "type": "offer"}"#;
    assert_eq!(
        house.ask("POST", "/offer", "Content-Type: application/sdp\r\n", offer).error(),
        code(415, "wrong-type")
    );
    assert_eq!(house.ask("POST", "/offer", json, b"").error(), code(400, "empty-body"));
    assert_eq!(house.ask("POST", "/offer", json, b"{\"sdp\": 1}").error(), code(400, "bad-json"));
    assert_eq!(house.ask("POST", "/offer", json, b"\xff\xfe").error(), code(400, "bad-json"));
    let answer = br#"{"sdp": "v=0", "type": "answer"}"#;
    assert_eq!(house.ask("POST", "/offer", json, answer).error(), code(400, "bad-offer"));
}

#[test]
fn the_status_is_json_without_anybodys_address() {
    let house = House::open();
    let reply = house.ask("GET", "/api/status", "", b"");
    assert_eq!(reply.field("cache-control"), Some("no-store"));
    let status = reply.json();
    assert_eq!(status["name"], "roomtone");
    assert_eq!(status["stations"][0]["name"], "main");
    assert_eq!(status["stations"][0]["level"]["left_dbfs"], Value::Null);
    assert_eq!(status["stations"][0]["encoding"]["packet_ms"], 20.0);
    assert_eq!(status["stations"][1]["listeners"], 0);
    assert_eq!(status["door"]["connections"], 1);
    assert_eq!(status["limits"]["head_bytes"], 16384);
    assert!(!String::from_utf8_lossy(&reply.body).contains("127.0.0.1"));
}

#[test]
fn a_head_over_16_kib_is_answered_431() {
    let house = House::open();
    let head = |bytes: usize| {
        let bare = "GET /healthz HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(bytes - bare))
    };
    let mut client = house.client();
    client.send(head(16 * 1024).as_bytes());
    assert_eq!(client.reply("GET").status, 200, "16 KiB are allowed");
    assert_eq!(house.refused(head(16 * 1024 + 1).as_bytes()).error(), code(431, "head-too-large"));
    // One that never ends is not read for ever.
    assert_eq!(house.refused(&[b'x'; 200_000]).error(), code(431, "head-too-large"));
}

#[test]
fn a_body_over_64_kib_is_answered_413() {
    let house = House::open();
    let sdp = "Content-Type: text/plain\r\n";
    assert_eq!(house.ask("POST", "/whep", sdp, &[b'x'; 65536]).status, 415, "64 KiB are allowed");
    let with_length = |length: &str| format!("POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    for length in ["65537", "1000000000000", "99999999999999999999999999"] {
        assert_eq!(house.refused(with_length(length).as_bytes()).error(), code(413, "body-too-large"), "{length}");
    }
    let mut whole = with_length("100000").into_bytes();
    whole.extend_from_slice(&[b'x'; 100_000]);
    assert_eq!(house.refused(&whole).error(), code(413, "body-too-large"));
    let chunked = b"POST /whep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n";
    assert_eq!(house.refused(chunked).error(), code(413, "body-too-large"));
}

#[test]
fn a_client_that_is_still_sending_gets_to_read_why_it_is_refused() {
    let house = House::open();
    let mut client = house.client();
    client.send(b"POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
    assert_eq!(client.reply("POST").error(), code(413, "body-too-large"));
    for _ in 0..50 {
        client.send(&[b'x'; 10_000]);
    }
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.expect_end();
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_and_the_connection_closed() {
    let house = House::open();
    // A body for either reading, and what must never be taken for a request.
    let smuggled = "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    for fields in [
        "Host: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
        "Host: a\r\nContent-Length: 3\r\nContent-Length: 5",
        "Host: a\r\nContent-Length: 3,5",
        "Host: a\r\nContent-Length: -1",
        "Host: a\r\nContent-Length: 0x3",
        "Host: a\r\nTransfer-Encoding: chunked, chunked, identity",
        "Host: a\r\nTransfer-Encoding:\x0bchunked",
        "Host: a\r\nTransfer-Encoding : chunked",
        "Host: a\r\nX: y\r\n Content-Length: 3",
        "Host: a\nContent-Length: 3",
        "Host: a\r\nHost: b",
        "X: no host",
    ] {
        let reply = house.refused(format!("POST /whep HTTP/1.1\r\n{fields}\r\n\r\n{smuggled}").as_bytes());
        assert_eq!(reply.error(), code(400, "bad-request"), "{fields:?}");
    }
    for chunks in ["zz\r\n", "3\nabc\n0\n\n", "3\r\nabcd\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n"] {
        let head = "POST /whep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(
            house.refused(format!("{head}{chunks}{smuggled}").as_bytes()).error(),
            code(400, "bad-request"),
            "{chunks:?}"
        );
    }
}

#[test]
fn what_is_not_http_1_is_told_so() {
    let house = House::open();
    assert_eq!(house.refused(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n").error(), code(505, "unknown-version"));
    assert_eq!(house.refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").error(), code(505, "unknown-version"));
    assert_eq!(house.refused(b"\x16\x03\x01\x02\x00\x01\x00").error(), code(400, "bad-request"));
    assert_eq!(house.refused(b"hello\r\n\r\n").error(), code(400, "bad-request"));
    assert_eq!(house.refused(b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n").error(), code(400, "bad-request"));
    let coding = b"POST /whep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    assert_eq!(house.refused(coding).error(), code(501, "unknown-coding"));
}

#[test]
fn a_connection_is_kept_for_the_next_request_and_requests_may_be_pipelined() {
    let house = House::open();
    let mut client = house.client();
    let chunked = "POST /whep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let lengthy = "POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let get = "\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "GET http://a/healthz HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n";
    client.send(format!("{chunked}{get}{lengthy}{get}{last}").as_bytes());
    let statuses: Vec<u16> = (0..5).map(|_| client.reply("GET").status).collect();
    assert_eq!(statuses, [415, 200, 415, 200, 200]);
    client.expect_end();
    wait_until("the last answer is counted", || house.metrics.requests.read() == 5);
    assert_eq!(house.metrics.accepted.read(), 1);
}

#[test]
fn an_http_1_0_client_gets_its_answer_and_the_end() {
    let house = House::open();
    let mut client = house.client();
    client.send(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(client.reply("GET").body, b"ok");
    client.expect_end();
}

#[test]
fn a_client_that_waits_for_100_continue_is_told_to_go_on() {
    let house = House::open();
    let mut client = house.client();
    client.send(b"POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.reply("POST").status, 100);
    client.send(b"abc");
    assert_eq!(client.reply("POST").error(), code(415, "wrong-type"));
    let too_large = b"POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(house.refused(too_large).error(), code(413, "body-too-large"));
    let other = b"POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: miracles\r\n\r\n";
    assert_eq!(house.refused(other).error(), code(417, "expectation-failed"));
}

#[test]
fn a_client_cannot_pass_for_the_door() {
    let house = House::open();
    let fields = "Roomtone-Door: 00000000000000000000000000000000 192.0.2.1:1\r\n";
    assert_eq!(house.ask("GET", "/healthz", fields, b"").body, b"ok");
}

#[test]
fn a_head_that_dribbles_in_is_cut_off_in_time() {
    let house = House::with(Limits { head_timeout: SHORT, ..Limits::default() });
    let mut client = house.client();
    let begun = Instant::now();
    // A byte now and then must not buy more time.
    let mut writer = client.stream.try_clone().unwrap();
    let dribble = thread::spawn(move || {
        for byte in b"GET / HTTP/1.1\r\nHost: ".iter().chain([b'x'; 1000].iter()) {
            if writer.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(SHORT / 10);
        }
        panic!("the server reads for ever");
    });
    assert_eq!(client.reply("GET").error(), code(408, "head-timeout"));
    let after = begun.elapsed();
    assert!(after >= SHORT && after < SHORT * 5, "after {after:?}");
    client.stream.shutdown(Shutdown::Both).unwrap();
    dribble.join().unwrap();
}

#[test]
fn a_client_that_says_nothing_is_closed_without_a_word() {
    let house = House::with(Limits { head_timeout: SHORT, ..Limits::default() });
    house.client().expect_end();
}

#[test]
fn between_requests_a_client_may_be_idle_for_longer_than_a_head_may_take() {
    let house = House::with(Limits { head_timeout: SHORT, idle_timeout: SHORT * 4, ..Limits::default() });
    let mut client = house.client();
    client.ask("GET", "/healthz", "", b"");
    assert_eq!(client.reply("GET").status, 200);
    thread::sleep(SHORT * 2);
    client.ask("GET", "/healthz", "", b"");
    assert_eq!(client.reply("GET").status, 200);
    let begun = Instant::now();
    client.expect_end();
    assert!(begun.elapsed() >= SHORT * 3, "closed after {:?}", begun.elapsed());
}

#[test]
fn a_body_that_does_not_arrive_is_answered_408() {
    let house = House::with(Limits { body_timeout: SHORT, ..Limits::default() });
    let with_length = b"POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    assert_eq!(house.refused(with_length).error(), code(408, "body-timeout"));
    let chunked = b"POST /whep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    assert_eq!(house.refused(chunked).error(), code(408, "body-timeout"));
}

#[test]
fn a_client_that_stops_reading_is_dropped() {
    let house = House::with(Limits { write_timeout: SHORT, ..Limits::default() });
    // More than both kernels' buffers take.
    fs::write(house.www.path().join("large.txt"), vec![b'x'; 32 * 1024 * 1024]).unwrap();
    let mut client = house.client();
    client.ask("GET", "/large.txt", "", b"");
    wait_until("the connection is counted", || house.metrics.connections.read() == 1);
    wait_until("the connection is dropped", || house.metrics.connections.read() == 0);
    // One that reads gets all of it.
    assert_eq!(house.ask("GET", "/large.txt", "", b"").body.len(), 32 * 1024 * 1024);
}

#[test]
fn over_the_limit_of_connections_newcomers_are_told_to_come_again() {
    let house = House::with(Limits { max_connections: 3, ..Limits::default() });
    let held: Vec<Client> = (0..3).map(|_| house.client()).collect();
    wait_until("three are in", || house.metrics.connections.read() == 3);
    let mut fourth = house.client();
    let reply = fourth.reply("GET");
    assert_eq!(reply.error(), code(503, "too-many-connections"));
    assert!(reply.field("retry-after").is_some());
    fourth.expect_end();
    assert_eq!(house.metrics.refused.read(), 1);
    drop(held);
    wait_until("they have left", || house.metrics.connections.read() == 0);
    assert_eq!(house.ask("GET", "/healthz", "", b"").status, 200);
}

#[test]
fn one_address_may_have_so_many_connections_and_open_so_many_a_second() {
    let house = House::with(Limits { max_connections_per_address: 3, ..Limits::default() });
    let held: Vec<Client> = (0..3).map(|_| house.client()).collect();
    wait_until("three are in", || house.metrics.connections.read() == 3);
    let mut fourth = house.client();
    let reply = fourth.reply("GET");
    assert_eq!(reply.error(), code(429, "too-many-from-address"));
    assert!(reply.field("retry-after").is_some());
    fourth.expect_end();
    drop(held);
    wait_until("they have left", || house.metrics.connections.read() == 0);
    assert_eq!(house.ask("GET", "/healthz", "", b"").status, 200);

    let house = House::with(Limits { connections_per_s: 1, ..Limits::default() });
    let statuses: Vec<u16> = (0..7).map(|_| house.client().first_status()).collect();
    assert_eq!(statuses[..5], [200; 5], "a burst is fine");
    assert!(statuses[5..].contains(&429), "{statuses:?}");
    wait_until("it is let in again", || house.client().first_status() == 200);
}

#[test]
fn every_limit_is_told() {
    let limits = House::open().ask("GET", "/api/status", "", b"").json()["limits"].clone();
    for name in ["connections", "connections_per_address", "connections_per_s", "listeners", "listeners_per_address"] {
        assert!(limits[name].as_u64().is_some(), "{name}: {limits}");
    }
    assert_eq!((&limits["head_bytes"], &limits["head_s"]), (&16_384.into(), &10.0.into()));
    assert_eq!((&limits["body_bytes"], &limits["body_s"]), (&65_536.into(), &10.0.into()));
    assert_eq!((&limits["idle_s"], &limits["write_s"]), (&60.0.into(), &10.0.into()));
}

#[test]
fn two_thousand_clients_that_send_one_byte_and_wait_stop_nobody() {
    let limit = file_limits::raise_limit().map_or(1024, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    // Both ends are in this process, and other tests need some too.
    let count = 2000.min(limit.saturating_sub(1000) / 2);
    assert!(count > 0, "this process may open {limit} files only");
    let house = House::open();
    let mut slow = Vec::new();
    for _ in 0..count {
        let mut client = house.client();
        client.send(b"G");
        slow.push(client);
    }
    wait_until("all are in", || house.metrics.connections.read() == count as u64);
    let begun = Instant::now();
    assert_eq!(house.ask("GET", "/healthz", "", b"").body, b"ok");
    assert!(begun.elapsed() < Duration::from_secs(2), "answered after {:?}", begun.elapsed());
}

#[test]
fn stopping_is_prompt_and_closes_everything() {
    let house = House::open();
    let mut idle = house.client();
    idle.ask("GET", "/healthz", "", b"");
    idle.reply("GET");
    let mut silent = house.client();
    wait_until("both are in", || house.metrics.connections.read() == 2);
    let (address, begun) = (house.door.address(), Instant::now());
    house.door.stop();
    assert!(begun.elapsed() < Duration::from_secs(1), "stopped after {:?}", begun.elapsed());
    idle.expect_end();
    silent.expect_end();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn by_default_the_door_is_open_to_ipv4_and_ipv6() {
    let listener = bind(None, 0).unwrap();
    let address = listener.local_addr().unwrap();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, address.port())).is_ok());
    if address.is_ipv6() {
        assert!(TcpStream::connect((std::net::Ipv6Addr::LOCALHOST, address.port())).is_ok());
    }
    assert_eq!(bind(None, address.port()).unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

/// Set in the process that [`running_out_of_descriptors_does_not_end_the_accept_loop`] starts.
#[cfg(unix)]
const STARVING: &str = "ROOMTONE_TEST_STARVING";

#[cfg(unix)]
#[test]
fn running_out_of_descriptors_does_not_end_the_accept_loop() {
    // In a process of its own: this one's other tests need theirs.
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 400 && exec \"$0\" --exact http::a_house_that_starves_on_demand --ignored --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env(STARVING, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut orders = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut hear = |word: &str| loop {
        let line = lines.next().expect("the other process lives");
        // The harness writes the test's name in front of the first line.
        if let Some((_, rest)) = line.split_once(word) {
            return rest.trim().to_owned();
        }
    };
    let address: SocketAddr = hear("listening at").parse().unwrap();
    for _ in 0..3 {
        writeln!(orders, "starve").unwrap();
        hear("starving");
        let mut waiting: Vec<Client> = (0..20).map(|_| Client::connect(address)).collect();
        for client in &mut waiting {
            client.ask("GET", "/healthz", "", b"");
        }
        // Nobody can be accepted now, and the loop meets that error again and again.
        waiting[0].stream.set_read_timeout(Some(SHORT)).unwrap();
        assert!(waiting[0].stream.read(&mut [0; 1]).is_err());
        waiting[0].stream.set_read_timeout(Some(PATIENCE)).unwrap();
        writeln!(orders, "eat").unwrap();
        hear("eaten");
        for client in &mut waiting {
            assert_eq!(client.reply("GET").body, b"ok");
        }
    }
    drop(orders);
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
#[ignore = "the other half of running_out_of_descriptors_does_not_end_the_accept_loop"]
fn a_house_that_starves_on_demand() {
    if std::env::var_os(STARVING).is_none() {
        return;
    }
    let house = House::open();
    println!("listening at {}", house.door.address());
    let mut hoard = Vec::new();
    for order in std::io::stdin().lines() {
        match order.unwrap().as_str() {
            "starve" => {
                // Those who leave later would leave descriptors behind.
                wait_until("earlier clients have left", || house.metrics.connections.read() == 0);
                while let Ok(file) = fs::File::open("/dev/null") {
                    hoard.push(file);
                }
                println!("starving");
            }
            _ => {
                hoard.clear();
                println!("eaten");
            }
        }
    }
}
