//! The door's side of the private loopback socket: a few connections to tiny_http, opened before the public ever gets in
//! and shared by all `conn-<n>` threads, each for one request and its answer.
//!
//! Few and early, and not one per client: tiny_http's accept thread ends at the first failing `accept`, so it must not
//! have to accept while strangers use up the descriptors; and each connection costs three of them. A request is whole
//! before it borrows a connection and its answer is whole before the connection goes back, so no client, however slow,
//! can hold one.
//!
//! Each is tried before the next is opened: tiny_http 0.12 counts a thread as idle until it has woken up for the connection
//! it was given, so of several that arrive at once some may be queued behind others that never end.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::web::http::client_address::Caller;
use crate::web::http::head::Head;
use crate::web::http::message::{Answer, ErrorCode};

/// Carries the secret, the client's address, and whether it speaks TLS, from the door to a handler.
pub(crate) const INTERNAL_FIELD: &str = "Roomtone-Door";
/// How that field says with TLS and without.
pub(crate) const HTTPS: &str = "https";
const HTTP: &str = "http";
/// How long a request waits for a free connection before it is told to come again.
const BORROW_PATIENCE: Duration = Duration::from_secs(10);
/// Longer than any handler takes: those that ask the rtc thread give up after 5 s.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);
/// Our own answers' heads; a limit all the same.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Descriptors that must be free before tiny_http is made to accept again: it needs two at that moment, the door one.
const HEADROOM: usize = 8;

/// The connections.
pub(crate) struct Loopback {
    address: SocketAddr,
    secret: Arc<str>,
    /// Connections not in use; an empty place stands for one that broke and is made anew when it is needed. As many
    /// places as connections, so it is never full when one comes back.
    free: (Sender<Option<TcpStream>>, Receiver<Option<TcpStream>>),
    /// Held while one is opened and tried.
    opening: Mutex<()>,
}

impl Loopback {
    /// Opens `count` connections.
    pub fn open(count: usize, address: SocketAddr, secret: Arc<str>) -> io::Result<Self> {
        let loopback = Loopback { address, secret, free: bounded(count), opening: Mutex::new(()) };
        for _ in 0..count {
            let stream = loopback.connect()?;
            loopback.give_back(Some(stream));
        }
        Ok(loopback)
    }

    /// Has a request answered. PeerEvent goes wrong on the way is an answer too.
    pub fn ask(&self, head: &Head, body: &[u8], caller: Caller) -> Answer {
        let Ok(place) = self.free.1.recv_timeout(BORROW_PATIENCE) else {
            log::warn!("no handler was free for {} s, so a request was turned away", BORROW_PATIENCE.as_secs());
            return busy();
        };
        let mut borrowed = Borrowed { loopback: self, stream: None };
        let reply = place.map_or_else(|| self.reconnect(), Ok).and_then(|mut stream| {
            let answer = exchange(&mut stream, &self.request(head, body, caller), &head.method)?;
            borrowed.stream = Some(stream);
            Ok(answer)
        });
        reply.unwrap_or_else(|error| {
            log::error!("a request could not be handed on: {error}");
            busy()
        })
    }

    fn give_back(&self, stream: Option<TcpStream>) {
        // There is a place for each, so this cannot fail while both ends are held by `self`.
        let _ = self.free.0.try_send(stream);
    }

    fn connect(&self) -> io::Result<TcpStream> {
        // It guards a sequence and no data: nothing is half done if its holder panicked.
        let _one_at_a_time = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
        stream.set_write_timeout(Some(ANSWER_PATIENCE))?;
        // Without the secret: that it is refused is proof enough that somebody reads.
        exchange(&mut stream, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET")?;
        Ok(stream)
    }

    fn reconnect(&self) -> io::Result<TcpStream> {
        let spare: Vec<_> = (0..HEADROOM)
            .map(|_| socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None))
            .collect::<Result<_, _>>()?;
        drop(spare);
        self.connect()
    }

    fn request(&self, head: &Head, body: &[u8], caller: Caller) -> Vec<u8> {
        let scheme = if caller.secure { HTTPS } else { HTTP };
        let mut bytes = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n{INTERNAL_FIELD}: {} {} {scheme}\r\nContent-Length: {}\r\n",
            head.method,
            head.target,
            head.host,
            self.secret,
            caller.address,
            body.len()
        );
        for (name, value) in &head.headers {
            bytes += &format!("{name}: {value}\r\n");
        }
        bytes += "\r\n";
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

/// A place in the row of connections that is filled again whatever happens.
struct Borrowed<'a> {
    loopback: &'a Loopback,
    stream: Option<TcpStream>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.loopback.give_back(self.stream.take());
    }
}

fn busy() -> Answer {
    Answer::error(ErrorCode::Busy, "The server is behind; please try again.").retry_after(1)
}

fn exchange(stream: &mut TcpStream, request: &[u8], method: &str) -> io::Result<Answer> {
    stream.write_all(request)?;
    let mut bytes = Vec::with_capacity(4096);
    let (mut answer, head_length, length) = loop {
        read_some(stream, &mut bytes)?;
        if let Some(head) = read_head(&bytes)? {
            break head;
        }
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(io::Error::other("the head of an answer has no end"));
        }
    };
    // RFC 9110 §6.4.1: these have none, whatever Content-Length says.
    let length = if method == "HEAD" || matches!(answer.status, 204 | 304) { 0 } else { length };
    let mut body = bytes.split_off(head_length);
    body.reserve_exact(length.saturating_sub(body.len()));
    while body.len() < length {
        read_some(stream, &mut body)?;
    }
    if body.len() > length {
        return Err(io::Error::other("an answer is longer than it says"));
    }
    answer.body = Cow::Owned(body);
    Ok(answer)
}

/// The answer without its body, the length of its head, and its Content-Length; None if there is more of the head to
/// come.
fn read_head(bytes: &[u8]) -> io::Result<Option<(Answer, usize, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head_length) = response.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let mut answer = Answer::new(response.code.unwrap_or(500));
    let mut length = None;
    for field in response.headers.iter() {
        let value = String::from_utf8_lossy(field.value).into_owned();
        if field.name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok();
        }
        // PeerEvent tiny_http says of itself and of this hop is not for clients.
        if !["server", "connection"].iter().any(|name| field.name.eq_ignore_ascii_case(name)) {
            answer.headers.push((Cow::Owned(field.name.to_owned()), value));
        }
    }
    let length = length.ok_or_else(|| io::Error::other("an answer has no Content-Length"))?;
    Ok(Some((answer, head_length, length)))
}

fn read_some(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
