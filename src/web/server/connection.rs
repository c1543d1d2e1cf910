//! One client's TCP connection, on its own thread `conn-<n>`: reads requests within limits of size and time, has them
//! answered, writes the answers, and keeps the connection for as long as HTTP says so (RFC 9112 §9.3). It knows no paths
//! and takes no decision that a handler could take.

use std::borrow::Cow;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use crate::ids::peer::ResumeToken;
use crate::web::handlers::authorize::{Gate, Shown, Wish};
use crate::web::handlers::context::Limits;
use crate::web::handlers::websocket::{self, Guest, Lobby};
use crate::web::http::body::{self, Chunked};
use crate::web::http::client_address::{Caller, Proxies};
use crate::web::http::head::{self, Framing, Head};
use crate::web::http::message::{Answer, ErrorCode};
use crate::web::http::redirect;
use crate::web::http::upgrade::{self, Upgrade};
use crate::web::server::loopback::Loopback;
use crate::web::transport::metrics::ConnectionMetrics;
use crate::web::transport::socket::Wire;
use crate::web::transport::tls::Tls;

/// How much of an answer must leave within the write time-out: a floor of 1.6 KB/s for slow readers, at 10 s.
const WRITE_PIECE_BYTES: usize = 16 * 1024;

/// Fields of every answer.
const COMMON_FIELDS: &str = "X-Content-Type-Options: nosniff\r\nServer: roomtone\r\n";

/// PeerEvent all connections share.
pub(crate) struct Inside {
    /// PeerEvent is put up with.
    pub limits: Limits,
    /// For connections that begin with TLS.
    pub tls: Option<Arc<Tls>>,
    /// Whose word about clients counts.
    pub proxies: Proxies,
    /// Where requests go.
    pub loopback: Loopback,
    /// Who may come in.
    pub gate: Arc<Gate>,
    /// PeerEvent is counted.
    pub metrics: ConnectionMetrics,
    /// Where WebSockets go.
    pub rooms: Lobby,
}

/// Talks with a client until one of both has had enough.
pub(crate) fn converse(stream: &TcpStream, peer: SocketAddr, inside: &Inside) {
    // An answer leaves in one or a few large writes, nothing is gained by waiting for more.
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("{peer}: cannot set TCP_NODELAY: {error}");
    }
    // The first head's time begins with the connection, so that shaking hands is part of it.
    let first = Instant::now() + inside.limits.head_timeout;
    let wire = match Wire::open(stream, inside.tls.as_deref(), first) {
        Ok(wire) => wire,
        Err(error) => {
            log::debug!("{peer}: no connection came about: {error}");
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    };
    let peer = Caller { address: peer, secure: wire.is_secure() };
    let mut conversation = Conversation { wire, peer, caller: peer, inside, inbox: Vec::new(), sharing: Vec::new() };
    let mut deadline = Some(first);
    while let Ok(true) = conversation.turn(deadline.take()).or_else(|end| conversation.end(end)) {}
    conversation.wire.close();
}

/// An answer as it goes over the wire, up to its body.
pub(crate) fn wire_head(answer: &Answer, sharing: &[(&str, Cow<'_, str>)], keep_alive: bool) -> Vec<u8> {
    let reason = tiny_http::StatusCode(answer.status).default_reason_phrase();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n{COMMON_FIELDS}", answer.status);
    for (name, value) in sharing {
        head += &format!("{name}: {value}\r\n");
    }
    // RFC 9110 §8.6: no length where there can be no body; RFC 9112 §6.3: a length everywhere else.
    let bodiless = matches!(answer.status, 204 | 304);
    for (name, value) in &answer.headers {
        if !(bodiless && name.eq_ignore_ascii_case("content-length")) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    if !bodiless && answer.find("content-length").is_none() {
        head += &format!("Content-Length: {}\r\n", answer.body.len());
    }
    if !keep_alive {
        head += "Connection: close\r\n";
    }
    head += "\r\n";
    head.into_bytes()
}

struct Conversation<'a> {
    wire: Wire<'a>,
    /// The other end of the socket.
    peer: Caller,
    /// Who asks the present question: the peer, or somebody behind a proxy.
    caller: Caller,
    inside: &'a Inside,
    /// Arrived, but not yet used.
    inbox: Vec<u8>,
    /// Fields that say which pages may read the answer to the present request, whatever it will be.
    sharing: Vec<(&'static str, Cow<'static, str>)>,
}

/// Why a conversation ends before its time.
enum End {
    /// The client left, or does not take what it is given, or has been idle: no word helps.
    Gone,
    /// The client is told why.
    Refused(Answer),
}

impl From<Answer> for End {
    fn from(answer: Answer) -> Self {
        End::Refused(answer)
    }
}

/// Why nothing arrived.
enum Missing {
    Late,
    Gone,
}

impl Conversation<'_> {
    /// One request and its answer. True if there may be another.
    fn turn(&mut self, first: Option<Instant>) -> Result<bool, End> {
        self.sharing.clear();
        let head = self.read_head(first)?;
        let proto = head.forwarded_proto.as_deref();
        self.caller = self.inside.proxies.caller(self.peer, &head.forwarded_for, proto);
        // Queries go into no log: they may hold a token.
        let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
        self.sharing = self.inside.gate.sharing(path, &head.headers);
        if let Some(asked) = upgrade::read(&head)? {
            return self.enter_room(&head, query, &asked);
        }
        let body = self.read_body(&head)?;
        let elsewhere = (self.inside.tls.is_some() && !self.caller.secure).then(|| redirect::to_https(&head)).flatten();
        let answer = elsewhere.unwrap_or_else(|| self.inside.loopback.ask(&head, &body, self.caller));
        self.inside.metrics.requests.add(1);
        log::debug!("{}: {} {path} -> {}", self.caller.address, head.method, answer.status);
        self.send(&answer, head.method == "HEAD", head.keep_alive)?;
        if !head.keep_alive && !self.inbox.is_empty() {
            self.wire.linger();
        }
        Ok(head.keep_alive)
    }

    /// From here on this thread, the socket and what has arrived on it are a room's.
    fn enter_room(&mut self, head: &Head, query: &str, asked: &Upgrade) -> Result<bool, End> {
        let gate = &self.inside.gate;
        let shown = Shown { headers: &head.headers, query, client: self.caller.address.ip() };
        gate.check_origin(&shown, &head.host)?;
        let token = asked.resume.map_or_else(ResumeToken::random, Ok).map_err(|error| {
            log::error!("{error}");
            Answer::error(ErrorCode::Internal, "Something went wrong here.")
        })?;
        let pass = gate.check(&Wish::Room(&asked.room), &shown, Some(token.id()))?;
        let entry = gate.enter(&pass, Some(token.id()))?;
        let guest = Guest { room: asked.room.clone(), token, pass, entry };
        self.inside.metrics.requests.add(1);
        self.write(asked.accepted().as_bytes())?;
        let inbox = std::mem::take(&mut self.inbox);
        if let Err(error) = websocket::attend(&mut self.wire, inbox, guest, self.caller, &self.inside.rooms) {
            log::debug!("{}: the WebSocket ended: {error}", self.caller.address);
        }
        Ok(false)
    }

    /// Says the last word, if there is one. Never goes on.
    fn end(&mut self, end: End) -> Result<bool, ()> {
        if let End::Refused(answer) = end {
            self.inside.metrics.requests.add(1);
            log::debug!("{}: refused with {}", self.caller.address, answer.status);
            if self.send(&answer, false, false).is_ok() {
                self.wire.linger();
            }
        }
        Err(())
    }

    /// The first head has its deadline already; the time of a later one begins with its first byte, before which the
    /// client may be idle for a while.
    fn read_head(&mut self, first: Option<Instant>) -> Result<Head, End> {
        let limits = &self.inside.limits;
        if first.is_none() && self.inbox.is_empty() {
            self.inbox.shrink_to(0);
            self.fill(Instant::now() + limits.idle_timeout).map_err(|_| End::Gone)?;
        }
        let deadline = first.unwrap_or_else(|| Instant::now() + limits.head_timeout);
        let mut seen = 0;
        loop {
            // RFC 9112 §2.2: an empty line before the request line is ignored.
            while self.inbox.starts_with(b"\r\n") {
                self.inbox.drain(..2);
                seen = 0;
            }
            let end = if self.inbox == b"\r" { None } else { head::find_end(&self.inbox, seen)? };
            seen = self.inbox.len();
            match end {
                Some(end) if end <= limits.head_bytes => {
                    let head = head::parse(&self.inbox[..end])?;
                    self.inbox.drain(..end);
                    return Ok(head);
                }
                None if seen < limits.head_bytes => {}
                _ => {
                    let message = format!("A request head may have {} bytes at most.", limits.head_bytes);
                    return Err(Answer::error(ErrorCode::HeadTooLarge, message).into());
                }
            }
            self.fill(deadline).map_err(|missing| match missing {
                Missing::Late if !self.inbox.is_empty() => {
                    Answer::error(ErrorCode::HeadTimeout, "The request head did not arrive in time.").into()
                }
                _ => End::Gone,
            })?;
        }
    }

    fn read_body(&mut self, head: &Head) -> Result<Vec<u8>, End> {
        let limit_bytes = self.inside.limits.body_bytes;
        let deadline = Instant::now() + self.inside.limits.body_timeout;
        match head.framing {
            Framing::Empty => Ok(Vec::new()),
            Framing::Length(length) => {
                let length = usize::try_from(length).ok().filter(|&length| length <= limit_bytes);
                let length = length.ok_or_else(|| body::too_large(limit_bytes))?;
                self.say_continue(head)?;
                while self.inbox.len() < length {
                    self.fill_body(deadline)?;
                }
                let rest = self.inbox.split_off(length);
                Ok(std::mem::replace(&mut self.inbox, rest))
            }
            Framing::Chunked => {
                self.say_continue(head)?;
                let mut chunked = Chunked::new(limit_bytes);
                while !chunked.push(&mut self.inbox)? {
                    self.fill_body(deadline)?;
                }
                Ok(chunked.into_body())
            }
        }
    }

    /// RFC 9110 §10.1.1; not needed if the client has begun to send the body without waiting.
    fn say_continue(&mut self, head: &Head) -> Result<(), End> {
        if head.wants_continue && self.inbox.is_empty() {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        Ok(())
    }

    fn fill_body(&mut self, deadline: Instant) -> Result<(), End> {
        self.fill(deadline).map_err(|missing| match missing {
            Missing::Late => Answer::error(ErrorCode::BodyTimeout, "The request body did not arrive in time.").into(),
            Missing::Gone => End::Gone,
        })
    }

    /// Waits for something to arrive.
    fn fill(&mut self, deadline: Instant) -> Result<(), Missing> {
        let mut buffer = [0; 8 * 1024];
        match self.wire.read(&mut buffer, deadline) {
            Ok(0) => Err(Missing::Gone),
            Ok(count) => {
                self.inbox.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Missing::Late),
            Err(_) => Err(Missing::Gone),
        }
    }

    fn send(&mut self, answer: &Answer, is_head: bool, keep_alive: bool) -> Result<(), End> {
        let mut bytes = wire_head(answer, &self.sharing, keep_alive);
        let body: &[u8] = if is_head { &[] } else { &answer.body };
        // One write for what is small; what is large is not copied for it.
        let (with_head, rest) = body.split_at(body.len().min(WRITE_PIECE_BYTES.saturating_sub(bytes.len())));
        bytes.extend_from_slice(with_head);
        self.write(&bytes)?;
        self.write(rest)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        for piece in bytes.chunks(WRITE_PIECE_BYTES) {
            let deadline = Instant::now() + self.inside.limits.write_timeout;
            self.wire.write_all(piece, deadline).map_err(|error| {
                log::debug!("{}: an answer was not taken: {error}", self.caller.address);
                End::Gone
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_body_has_no_length() {
        let head = String::from_utf8(wire_head(&Answer::new(204).header("Content-Length", "0"), &[], true)).unwrap();
        assert!(head.starts_with("HTTP/1.1 204 No Content\r\nX-Content-Type-Options: nosniff\r\n"), "{head}");
        assert!(!head.contains("Content-Length") && !head.contains("Connection"), "{head}");
    }

    #[test]
    fn every_other_answer_has_one_length() {
        let head = String::from_utf8(wire_head(&Answer::new(200).header("Content-Length", "7"), &[], false)).unwrap();
        assert_eq!(head.matches("Content-Length: 7\r\n").count(), 1, "{head}");
        let head = String::from_utf8(wire_head(&Answer::new(200), &[], false)).unwrap();
        assert!(head.contains("Content-Length: 0\r\n") && head.contains("Connection: close\r\n"), "{head}");
    }
}
