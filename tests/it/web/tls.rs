//! TLS on the public port: real TLS clients, proxies, and hostile clients.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use roomtone::web::http::client_address::TrustedProxies;
use roomtone::web::transport::limits::Limits;
use roomtone::web::transport::tls::Tls;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned};
use rustls::{SupportedProtocolVersion, crypto::aws_lc_rs};
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::harness::http_client::code;
use crate::harness::server::{Server, Setup};
use crate::harness::wait::{PATIENCE, SHORT, wait_until};
use crate::web::whep::{SDP, offer};

/// A server with a certificate in two files.
pub struct Secure {
    pub server: Server,
    files: tempfile::TempDir,
    certificate: CertificateDer<'static>,
}

impl Secure {
    fn open() -> Secure {
        Secure::start(Setup::default())
    }

    pub fn start(setup: Setup) -> Secure {
        let files = tempfile::tempdir().unwrap();
        let certificate = write_certificate(&files);
        let tls = Tls::from_files(files.path().join("cert.pem"), files.path().join("key.pem")).unwrap();
        let server = Server::start(Setup { tls: Some(Arc::new(tls)), ..setup });
        Secure { server, files, certificate }
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn config(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        config(&self.certificate, version)
    }

    pub fn client(&self, version: &'static SupportedProtocolVersion) -> Client {
        connect(self.address(), &self.config(version))
    }
}

pub type Client = StreamOwned<ClientConnection, TcpStream>;

fn write_certificate(folder: &tempfile::TempDir) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn config(trusted: &CertificateDer<'static>, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> Client {
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), tcp(address))
}

/// Sends a `GET`; the status and the head of the response.
fn ask(stream: &mut (impl Read + Write), path: &str, fields: &str) -> io::Result<(u16, String)> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 192.0.2.1\r\n{fields}\r\n")?;
    let mut reply = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece)?;
        reply.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&reply).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            continue;
        };
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap_or("0");
        if body.len() >= length.parse().unwrap() {
            return Ok((head["HTTP/1.1 ".len()..][..3].parse().unwrap(), head.to_owned()));
        }
    }
}

fn join<S: Read + Write>(stream: S, room: &str) -> WebSocket<S> {
    let url = format!("ws://localhost/ws?room={room}");
    tungstenite::client(url, stream).map_err(|error| error.to_string()).expect("the server upgrades").0
}

fn receive<S: Read + Write>(socket: &mut WebSocket<S>) -> Value {
    loop {
        match socket.read().expect("the server speaks") {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Two in a room, with their ids.
fn two_peers<S: Read + Write>(first: S, second: S) -> [(WebSocket<S>, String); 2] {
    let id = |init: Value| init["payload"]["id"].as_str().unwrap().to_owned();
    let mut first = join(first, "two");
    let first_id = id(receive(&mut first));
    assert_eq!(receive(&mut first)["type"], "config");
    let mut second = join(second, "two");
    let second_id = id(receive(&mut second));
    assert_eq!(receive(&mut second)["type"], "config");
    // Peers that were in this room before may leave only now.
    while receive(&mut first)["type"] != "new-peer" {}
    [(first, first_id), (second, second_id)]
}

fn to(target: &str, number: usize, padding: usize) -> String {
    let payload = json!({"sdp": number, "padding": "x".repeat(padding)});
    json!({"type": "offer", "targetId": target, "payload": payload}).to_string()
}

fn number(message: &Value) -> u64 {
    message["payload"]["sdp"].as_u64().unwrap_or_else(|| panic!("{message}"))
}

#[test]
fn tls_and_plain_http_are_answered_on_one_port() {
    let secure = Secure::open();
    for (version, spoken) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let mut client = secure.client(version);
        for _ in 0..3 {
            assert_eq!(ask(&mut client, "/healthz", "").unwrap().0, 200);
        }
        assert_eq!(client.conn.protocol_version(), Some(spoken));
        assert_eq!(client.conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
    }
    assert_eq!(ask(&mut tcp(secure.address()), "/healthz", "").unwrap().0, 200);
}

#[test]
fn a_connection_ends_with_a_close_notify() {
    let secure = Secure::open();
    let mut client = secure.client(&TLS13);
    ask(&mut client, "/healthz", "Connection: close\r\n").unwrap();
    assert_eq!(client.read(&mut [0; 8]).unwrap(), 0, "no close_notify would be an error here");
}

#[test]
fn a_returning_client_resumes_with_a_ticket() {
    let secure = Secure::open();
    for version in [&TLS12, &TLS13] {
        let config = secure.config(version);
        let mut kinds = vec![];
        for _ in 0..2 {
            let mut client = connect(secure.address(), &config);
            ask(&mut client, "/healthz", "").unwrap();
            kinds.push(client.conn.handshake_kind().unwrap());
        }
        assert_ne!(kinds[0], HandshakeKind::Resumed);
        assert_eq!(kinds[1], HandshakeKind::Resumed);
    }
}

#[test]
fn peers_meet_over_tls() {
    let secure = Secure::open();
    for version in [&TLS12, &TLS13] {
        let [(mut first, first_id), (mut second, second_id)] =
            two_peers(secure.client(version), secure.client(version));
        for nth in 0..20 {
            second.send(Message::text(to(&first_id, nth, nth * 1_000))).unwrap();
            assert_eq!(number(&receive(&mut first)), nth as u64);
            first.send(Message::text(to(&second_id, nth, nth * 3_000))).unwrap();
            assert_eq!(number(&receive(&mut second)), nth as u64);
        }
        first.close(None).unwrap();
        while first.read().is_ok() {}
        assert_eq!(receive(&mut second)["type"], "peer-disconnect");
    }
}

#[test]
fn a_peer_that_does_not_read_can_still_send_and_loses_nothing() {
    let secure = Secure::open();
    for version in [&TLS12, &TLS13] {
        let [(mut deaf, deaf_id), (mut other, other_id)] = two_peers(secure.client(version), secure.client(version));
        // Several times what Linux may keep on the way, but no more than may wait for a peer.
        for nth in 0..60 {
            other.send(Message::text(to(&deaf_id, nth, 60_000))).unwrap();
        }
        // The server's writes to this peer are blocked by now; what it says arrives all the same.
        for nth in 0..50 {
            deaf.send(Message::text(to(&other_id, nth, 60_000))).unwrap();
            assert_eq!(number(&receive(&mut other)), nth as u64);
        }
        for nth in 0..60 {
            assert_eq!(number(&receive(&mut deaf)), nth);
        }
    }
}

#[test]
fn many_messages_in_one_record_all_arrive_at_once() {
    let secure = Secure::open();
    let [(mut first, _), (mut second, second_id)] = two_peers(secure.client(&TLS13), secure.client(&TLS13));
    let mut bytes = vec![];
    for nth in 0..100 {
        bytes.extend(frame(&to(&second_id, nth, 10)));
    }
    assert!(bytes.len() < 16_384, "or it is no longer one record: {}", bytes.len());
    first.get_mut().write_all(&bytes).unwrap();
    first.get_mut().flush().unwrap();
    for nth in 0..100 {
        assert_eq!(number(&receive(&mut second)), nth);
    }
}

#[test]
fn one_message_over_hundreds_of_records_is_one_message() {
    let secure = Secure::open();
    let [(mut first, _), (mut second, second_id)] = two_peers(secure.client(&TLS13), secure.client(&TLS13));
    let mut records = vec![];
    let client = first.get_mut();
    for byte in frame(&to(&second_id, 7, 500)) {
        client.conn.writer().write_all(&[byte]).unwrap();
        while client.conn.wants_write() {
            client.conn.write_tls(&mut records).unwrap();
        }
    }
    // Torn apart at any place, and in the middle of records.
    for (nth, piece) in records.chunks(997).enumerate() {
        client.sock.write_all(piece).unwrap();
        if nth % 4 == 0 {
            thread::sleep(Duration::from_millis(2));
        }
    }
    assert_eq!(number(&receive(&mut second)), 7);
}

/// A text message as a client sends it (RFC 6455 §5.2), masked with zeros.
fn frame(text: &str) -> Vec<u8> {
    let mut bytes = vec![0x81];
    match text.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(text.as_bytes());
    bytes
}

#[test]
fn a_new_certificate_is_used_and_a_bad_one_is_not_while_connections_stay_open() {
    let secure = Secure::open();
    let mut old = secure.client(&TLS13);
    assert_eq!(ask(&mut old, "/healthz", "").unwrap().0, 200);
    let fresh = write_certificate(&secure.files);
    // Files are looked at once a second.
    wait_until("the new certificate is shown", || {
        let mut client = connect(secure.address(), &config(&fresh, &TLS13));
        ask(&mut client, "/healthz", "").is_ok()
    });
    fs::write(secure.files.path().join("cert.pem"), "nonsense").unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1_300) {
        let mut client = connect(secure.address(), &config(&fresh, &TLS13));
        assert_eq!(ask(&mut client, "/healthz", "").unwrap().0, 200);
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(ask(&mut old, "/healthz", "").unwrap().0, 200);
}

/// Reads until the server closes; what it sent.
pub fn until_end(mut stream: TcpStream) -> Vec<u8> {
    let mut said = vec![];
    let end = stream.read_to_end(&mut said);
    let reset = end.is_err_and(|error| error.kind() != io::ErrorKind::ConnectionReset);
    assert!(!reset, "the connection stays open");
    said
}

#[test]
fn bytes_that_only_look_like_tls_get_an_alert_and_are_closed() {
    let secure =
        Secure::start(Setup { limits: Limits { head_timeout: SHORT, ..Limits::default() }, ..Setup::default() });
    // A record of a version and length that are not; one that holds no ClientHello; HTTP behind the first byte.
    let cases: [&[u8]; 4] = [
        b"\x16\xff\xff\xff\xff garbage",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
        b"\x16GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &[0x16; 70_000],
    ];
    for garbage in cases {
        let mut stream = tcp(secure.address());
        let _ = stream.write_all(garbage);
        let said = until_end(stream);
        // A fatal alert (RFC 8446 §6), and nothing in the clear.
        assert!(said.is_empty() || (said[0] == 21 && said.len() == 7 && said[5] == 2), "{said:?}");
    }
    wait_until("they are gone", || secure.server.metrics.connections.read() == 0);
}

#[test]
fn the_handshake_and_the_first_head_share_one_time_limit() {
    let secure =
        Secure::start(Setup { limits: Limits { head_timeout: SHORT, ..Limits::default() }, ..Setup::default() });
    let mut hello = vec![];
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(secure.config(&TLS13), name).unwrap().write_tls(&mut hello).unwrap();
    let begun = Instant::now();
    let mut halves = vec![];
    for length in [1, 5, 100, hello.len() - 1, hello.len()] {
        let mut stream = tcp(secure.address());
        stream.write_all(&hello[..length]).unwrap();
        halves.push(stream);
    }
    // A handshake, and then half a head: the time is one.
    let mut client = secure.client(&TLS13);
    client.write_all(b"GET / HTT").unwrap();
    halves.into_iter().for_each(|stream| drop(until_end(stream)));
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
    assert!(begun.elapsed() >= SHORT);
    wait_until("they are gone", || secure.server.metrics.connections.read() == 0);
}

#[test]
fn a_client_that_stops_reading_is_dropped_over_tls_too() {
    let limits = Limits { write_timeout: SHORT, ..Limits::default() };
    let secure = Secure::start(Setup { limits, ..Setup::default() });
    // More than both kernels' buffers take.
    fs::write(secure.server.www().join("large.txt"), vec![b'x'; 48 * 1024 * 1024]).unwrap();
    let mut client = secure.client(&TLS13);
    client.write_all(b"GET /large.txt HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    wait_until("the connection is counted", || secure.server.metrics.connections.read() == 1);
    wait_until("the connection is dropped", || secure.server.metrics.connections.read() == 0);
}

#[test]
fn a_flood_of_key_updates_ends_the_connection_and_nothing_else() {
    let secure = Secure::open();
    let mut client = secure.client(&TLS13);
    ask(&mut client, "/healthz", "").unwrap();
    let flooded = (0..1_000).try_for_each(|_| {
        client.conn.refresh_traffic_keys().map_err(io::Error::other)?;
        while client.conn.wants_write() {
            client.conn.write_tls(&mut client.sock)?;
        }
        Ok::<(), io::Error>(())
    });
    let ended = flooded.and_then(|()| ask(&mut client, "/healthz", "").map(drop));
    assert!(ended.is_err());
    wait_until("it is gone", || secure.server.metrics.connections.read() == 0);
    assert_eq!(ask(&mut secure.client(&TLS13), "/healthz", "").unwrap().0, 200);
}

#[test]
fn without_tls_a_client_that_speaks_it_is_refused() {
    let server = Server::open();
    let mut stream = tcp(server.address());
    stream.write_all(b"\x16\x03\x01\x00\x05hello").unwrap();
    assert!(until_end(stream).starts_with(b"HTTP/1.1 400"));
}

#[test]
fn only_a_rooms_page_without_tls_is_redirected_to_https() {
    let secure = Secure::open();
    let (status, head) = ask(&mut tcp(secure.address()), "/room/a?b", "").unwrap();
    assert_eq!(status, 307);
    assert!(
        head.contains("Location: https://192.0.2.1/room/a?b") && head.contains("Cache-Control: no-store"),
        "{head}"
    );
    assert_eq!(ask(&mut tcp(secure.address()), "/listen", "").unwrap().0, 200);
    assert_eq!(ask(&mut secure.client(&TLS13), "/room/a", "").unwrap().0, 200);
    // This host's own browser: the harness asks for `localhost`.
    assert_eq!(secure.server.ask("GET", "/room/a", "", b"").status, 200);
    // Without TLS there is nowhere to go.
    assert_eq!(ask(&mut tcp(Server::open().address()), "/room/a", "").unwrap().0, 200);
}

#[test]
fn forwarding_headers_are_believed_of_trusted_proxies_only() {
    let forwarded = "X-Forwarded-For: 198.51.100.7\r\nX-Forwarded-Proto: https\r\n";
    let untrusting = Secure::open();
    assert_eq!(ask(&mut tcp(untrusting.address()), "/room/a", forwarded).unwrap().0, 307);
    let proxies = TrustedProxies::parse(&["127.0.0.0/8".to_owned()]).unwrap();
    let behind = Secure::start(Setup { proxies, ..Setup::default() });
    assert_eq!(ask(&mut tcp(behind.address()), "/room/a", forwarded).unwrap().0, 200);
    // Each proxy may append the scheme that it was reached by; the browser spoke the first one.
    let twice = forwarded.replace("https", "https, http");
    assert_eq!(ask(&mut tcp(behind.address()), "/room/a", &twice).unwrap().0, 200);
    let standard = "Forwarded: for=198.51.100.7;proto=https, for=127.0.0.9;proto=http\r\n";
    assert_eq!(ask(&mut tcp(behind.address()), "/room/a", standard).unwrap().0, 200);
    let unsafe_there = forwarded.replace("https", "http");
    assert_eq!(ask(&mut tcp(behind.address()), "/room/a", &unsafe_there).unwrap().0, 307);
}

#[test]
fn the_listeners_of_one_address_are_limited_before_an_offer_is_read() {
    let limits = Limits { max_listeners_per_address: 1, max_connections_per_address: 2, ..Limits::default() };
    let proxies = TrustedProxies::parse(&["127.0.0.1".to_owned()]).unwrap();
    let server = Server::start(Setup { limits, proxies, ..Setup::default() });
    let listen = |from: &str, sdp: &str| {
        let fields = format!("{SDP}X-Forwarded-For: {from}\r\n");
        server.ask("POST", "/whep", &fields, sdp.as_bytes())
    };
    let first = listen("198.51.100.7", &offer());
    assert_eq!(first.status, 201);
    let second = listen("198.51.100.7", "nonsense");
    assert_eq!(second.error(), code(429, "too-many-from-address"));
    assert!(second.field("retry-after").is_some());
    assert_eq!(listen("198.51.100.8", "nonsense").error(), code(400, "bad-offer"), "nor does a bad offer count");
    assert_eq!(listen("198.51.100.8", &offer()).status, 201);
    assert_eq!(server.ask("DELETE", &first.location("/whep").unwrap(), "", b"").status, 200);
    wait_until("the place is free", || listen("198.51.100.7", &offer()).status == 201);
    // A proxy speaks for many: the connections' limit is not for its address.
    let held: Vec<TcpStream> = (0..5).map(|_| tcp(server.address())).collect();
    wait_until("they are in", || server.metrics.connections.read() >= 5);
    drop(held);
}
