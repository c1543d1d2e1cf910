//! The bytes that the bench sends and receives: lines of the echo, and WebSocket frames (RFC 6455 §5.2). What is timed carries
//! the time at which it was sent.

use std::io::{self, Write};
use std::thread;
use std::time::Instant;

use mio::net::TcpStream;

/// What a timed message carries beside its time: about as much as an ICE candidate.
const PADDING: &str = "candidate:1 1 UDP 2130706431 192.0.2.1 50000 typ host generation 0 ufrag abcd network-cost 999";

/// One line, HTTP head or frame of a stream.
pub enum Piece<'a> {
    /// `init-peers`, with the peer's own id.
    InitPeers { id: String },
    /// An echo or a relayed offer, sent at that time.
    Stamped { sent_ns: u64 },
    /// A ping to answer.
    Ping { payload: &'a [u8] },
    /// Anything else.
    Other,
}

/// The first piece and its length; None if it has not arrived as a whole.
pub fn read(bytes: &[u8]) -> Option<(Piece<'_>, usize)> {
    if bytes.starts_with(b"echo") {
        let end = bytes.iter().position(|b| *b == b'\n')?;
        return Some((Piece::Stamped { sent_ns: digits(&bytes[5..]) }, end + 1));
    }
    if bytes.starts_with(b"HTTP/1.1 101") {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        return Some((Piece::Other, end + 4));
    }
    let [first, length, rest @ ..] = bytes else { return None };
    let (head, length) = match (length, rest) {
        (126, [high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        (126, _) => return None,
        (length, _) => (2, usize::from(*length)),
    };
    let payload = bytes.get(head..head + length)?;
    let piece = if *first == 0x89 {
        Piece::Ping { payload }
    } else if *first == 0x81 && payload.starts_with(br#"{"type":"init-peers","payload":{"id":""#) {
        Piece::InitPeers { id: String::from_utf8_lossy(&payload[38..70]).into_owned() }
    } else if *first == 0x81 && payload.starts_with(br#"{"type":"offer""#) {
        // The sender's id comes first.
        let at = payload.windows(7).position(|seven| seven == br#""sdp":""#).expect("an offer of ours") + 7;
        Piece::Stamped { sent_ns: digits(&payload[at..]) }
    } else {
        Piece::Other
    };
    Some((piece, head + length))
}

/// An offer to another peer, sent now.
pub fn offer(target: &str) -> String {
    format!(r#"{{"type":"offer","targetId":"{target}","payload":{{"sdp":"{:020}","more":"{PADDING}"}}}}"#, now_ns())
}

/// A line for the echo, sent now.
pub fn echo_line() -> Vec<u8> {
    format!("echo {:020} {PADDING}{PADDING}\n", now_ns()).into_bytes()
}

/// A frame as a browser sends it, masked with zeros. `first` is its first byte.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ 0..=125) => bytes.push(0x80 | short),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend((payload.len() as u16).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

/// Writes all bytes to a stream that does not block.
pub fn write_all(mut stream: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::yield_now(),
            // The reader sees the end of the stream too, and reports it.
            Err(_) => return,
        }
    }
}

/// Nanoseconds since the first call.
pub fn now_ns() -> u64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

fn digits(bytes: &[u8]) -> u64 {
    bytes[..20].iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}
