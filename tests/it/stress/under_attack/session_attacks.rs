//! What a stranger can do to the thread of all sessions from a session of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use str0m::ice::{StunMessage, TransId};

use crate::harness::loopback_client::{connect, post_offer};
use crate::harness::random::Random;
use crate::stress::hostile_clients::{address, valid_offer};
use crate::stress::under_attack::listeners::ListenersUnderAttack;

/// Whom the listeners' packets must not wait for: 3,000 checks a second, each from an address and port of its own.
#[test]
#[ignore = "measures the release build: make attack-test"]
fn checks_of_one_session_from_twenty_thousand_source_ports() {
    const CHECKS: usize = 20_000;
    const PER_SECOND: u64 = 3_000;
    let server = ListenersUnderAttack::start(&[]);
    let port = server.program.port;
    server.assert_withstands(|| {
        let session = OwnSession::open(port, address(0), 0);
        assert!(session.is_answered(port), "a genuine check is answered");
        let begun = Instant::now();
        for n in 0..CHECKS {
            let from = Ipv4Addr::new(127, 2, (n / 200 % 200) as u8, (n % 200) as u8 + 1);
            let socket = UdpSocket::bind((from, 0)).unwrap();
            // Fails when the sender's own buffer is full.
            let _ = socket.send_to(&session.check(), (Ipv4Addr::LOCALHOST, port));
            let due = Duration::from_micros(n as u64 * 1_000_000 / PER_SECOND);
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        println!("{CHECKS} checks in {:?}", begun.elapsed());
    });
}

/// Offers of 60 KB, most of it lines of no meaning, whose sessions restart ICE again and again.
#[test]
#[ignore = "measures the release build: make attack-test"]
fn ice_restarts_of_large_offers_at_full_speed() {
    const SESSIONS: usize = 8;
    const SECONDS: u64 = 8;
    const MEANINGLESS_LINES: usize = 8_000;
    let server = ListenersUnderAttack::start(&[]);
    let port = server.program.port;
    server.assert_withstands(|| {
        let clients: Vec<_> = (0..SESSIONS)
            .map(|n| {
                thread::spawn(move || {
                    let session = OwnSession::open(port, address(n), MEANINGLESS_LINES);
                    session.restart_for(Duration::from_secs(SECONDS), port, address(n), &mut Random(n as u64))
                })
            })
            .collect();
        let mut statuses = BTreeMap::<String, usize>::new();
        for (status, count) in clients.into_iter().flat_map(|client| client.join().unwrap()) {
            *statuses.entry(status).or_default() += count;
        }
        println!("responses to restarts: {statuses:?}");
        assert!(statuses.get("200").is_some_and(|restarts| *restarts >= SESSIONS), "a few restarts are permitted");
    });
}

/// A session that was opened by hand and never connects.
struct OwnSession {
    /// USERNAME of its checks (RFC 8445 §7.2.2): the server's fragment, then its own.
    username: String,
    /// The server's, for MESSAGE-INTEGRITY.
    password: String,
    /// Of its media section.
    mid: String,
    path: String,
}

impl OwnSession {
    fn open(port: u16, from: Ipv4Addr, meaningless_lines: usize) -> OwnSession {
        let offer = valid_offer() + &"a=x:y\r\n".repeat(meaningless_lines);
        let response = post_offer(port, from, &offer).unwrap();
        assert!(response.starts_with("HTTP/1.1 201"), "{response}");
        let username = format!("{}:{}", value(&response, "a=ice-ufrag:"), value(&offer, "a=ice-ufrag:"));
        let password = value(&response, "a=ice-pwd:").to_owned();
        let [mid, path] = [value(&offer, "a=mid:"), value(&response, "Location: ")].map(str::to_owned);
        OwnSession { username, password, mid, path }
    }

    /// A genuine check of a controlling agent that nominates (RFC 8445 §7.1).
    fn check(&self) -> Vec<u8> {
        let message = StunMessage::binding_request(&self.username, TransId::new(), true, 1, 1, true);
        let mut bytes = vec![0; 300];
        let length = message.to_bytes(Some(self.password.as_bytes()), &mut bytes, sha1_hmac).unwrap();
        bytes.truncate(length);
        bytes
    }

    fn is_answered(&self, port: u16) -> bool {
        let socket = UdpSocket::bind((address(0), 0)).unwrap();
        socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket.send(&self.check()).unwrap();
        let mut bytes = [0; 300];
        let length = socket.recv(&mut bytes).unwrap_or(0);
        StunMessage::parse(&bytes[..length]).is_ok_and(|message| message.is_successful_binding_response())
    }

    /// Restarts ICE at full speed, on one connection. Returns how often each status was the response.
    fn restart_for(&self, time: Duration, port: u16, from: Ipv4Addr, random: &mut Random) -> BTreeMap<String, usize> {
        let mut statuses = BTreeMap::new();
        let mut stream = connect(port, from).unwrap();
        let mut responses = BufReader::new(stream.try_clone().unwrap());
        let begun = Instant::now();
        while begun.elapsed() < time {
            let (ufrag, password) = (hex(random, 4), hex(random, 12));
            let mid = &self.mid;
            let body = format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\nm=audio 9 X 0\r\na=mid:{mid}\r\n");
            let request = format!(
                "PATCH {} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nIf-Match: *\r\n\
                 Content-Type: application/trickle-ice-sdpfrag\r\nContent-Length: {}\r\n\r\n{body}",
                self.path,
                body.len()
            );
            let status = stream.write_all(request.as_bytes()).ok().and_then(|()| read_status(&mut responses));
            let Some(status) = status else {
                *statuses.entry("closed".to_owned()).or_default() += 1;
                stream = connect(port, from).unwrap();
                responses = BufReader::new(stream.try_clone().unwrap());
                continue;
            };
            *statuses.entry(status).or_default() += 1;
        }
        statuses
    }
}

/// Reads a whole response. None if the connection is closed.
fn read_status(responses: &mut BufReader<TcpStream>) -> Option<String> {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        if responses.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    if let Some(line) = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-length:")) {
        length = line.split_once(':')?.1.trim().parse().ok()?;
    }
    std::io::copy(&mut responses.take(length), &mut std::io::sink()).ok()?;
    head.split(' ').nth(1).map(str::to_owned)
}

fn hex(random: &mut Random, bytes: usize) -> String {
    random.bytes(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn value<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)).expect(name)
}

fn sha1_hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 20] {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let mut context = hmac::Context::with_key(&key);
    parts.iter().for_each(|part| context.update(part));
    context.sign().as_ref().try_into().unwrap()
}
