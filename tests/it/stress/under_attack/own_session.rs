//! A WebRTC session that is opened by hand and never connects.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use roomtone::rtc::udp::stun_writer::hmac_sha1;
use str0m::ice::{StunMessage, TransId};

use crate::harness::loopback_client::{connect, post_offer, session_path};
use crate::harness::random::Random;
use crate::stress::hostile_clients::{address, valid_offer};

/// A session that was opened by hand and never connects.
pub struct OwnSession {
    /// USERNAME of its checks (RFC 8445 §7.2.2): the server's fragment, then its own.
    username: String,
    /// The server's, for MESSAGE-INTEGRITY.
    password: String,
    /// Of its media section.
    mid: String,
    path: String,
}

impl OwnSession {
    pub fn open(port: u16, from: Ipv4Addr, meaningless_lines: usize) -> OwnSession {
        OwnSession::open_with(port, from, meaningless_lines, "actpass")
    }

    /// The same with this role in DTLS (RFC 5763 §5).
    pub fn open_with(port: u16, from: Ipv4Addr, meaningless_lines: usize, setup: &str) -> OwnSession {
        let offer = valid_offer().replace("a=setup:actpass", &format!("a=setup:{setup}"));
        let offer = offer + &"a=x:y\r\n".repeat(meaningless_lines);
        let response = post_offer(port, from, &offer).unwrap();
        assert!(response.starts_with("HTTP/1.1 201"), "{response}");
        let username = format!("{}:{}", value(&response, "a=ice-ufrag:"), value(&offer, "a=ice-ufrag:"));
        let password = value(&response, "a=ice-pwd:").to_owned();
        let mid = value(&offer, "a=mid:").to_owned();
        let path = session_path(value(&response, "Location: "));
        OwnSession { username, password, mid, path }
    }

    /// A genuine check of a controlling agent that nominates (RFC 8445 §7.1).
    pub fn check(&self) -> Vec<u8> {
        let message = StunMessage::binding_request(&self.username, TransId::new(), true, 1, 1, true);
        let mut bytes = vec![0; 300];
        let length = message.to_bytes(Some(self.password.as_bytes()), &mut bytes, hmac_sha1).unwrap();
        bytes.truncate(length);
        bytes
    }

    pub fn is_answered(&self, port: u16) -> bool {
        let socket = UdpSocket::bind((address(0), 0)).unwrap();
        socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket.send(&self.check()).unwrap();
        let mut bytes = [0; 300];
        let length = socket.recv(&mut bytes).unwrap_or(0);
        StunMessage::parse(&bytes[..length]).is_ok_and(|message| message.is_successful_binding_response())
    }

    /// Restarts ICE at full speed, on one connection. Returns how often each status was the response.
    pub fn restart_for(
        &self,
        time: Duration,
        port: u16,
        from: Ipv4Addr,
        random: &mut Random,
    ) -> BTreeMap<String, usize> {
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
