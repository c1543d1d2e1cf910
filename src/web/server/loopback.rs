//! The connections' side of the private socket: a few connections to tiny_http, opened before the first client is
//! accepted and shared by all `conn-<n>` threads, each for one request and its response.
//!
//! Few and early, and not one per client: tiny_http's accept thread ends at the first failing `accept`, so it must not
//! have to accept while clients use up the descriptors; and each connection costs three of them. A request is whole
//! before it borrows a connection and its response is whole before the connection is given back, so no client, however
//! slow, can hold one.
//!
//! Each is tried before the next is opened: tiny_http 0.12 counts a thread as idle until it has woken up for the
//! connection it was given, so of several that arrive at once some may be queued behind others that never end.

use std::borrow::Cow;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use socket2::Socket;

use crate::web::http::body::Body;
use crate::web::http::client_address::Client;
use crate::web::http::error_code::ErrorCode;
use crate::web::http::message::{Request, Response};
use crate::web::server::private_socket::PrivateAddress;

/// Carries the secret, the client's address, and whether it speaks TLS, to a handler.
pub(crate) const INTERNAL_FIELD: &str = "Roomtone-Internal";
/// How that field says with TLS and without.
const HTTPS: &str = "https";
const HTTP: &str = "http";
/// How long a request waits for a free connection before it is refused as `busy`.
const BORROW_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer than any handler takes: those that ask the rtc thread give up after 5 s.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Of our own responses' heads, which are far smaller.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Descriptors that must be free before tiny_http is made to accept again: it needs two at that moment, this side one.
const SPARE_DESCRIPTORS: usize = 8;

/// The connections.
pub(crate) struct Loopback {
    address: PrivateAddress,
    secret: Arc<str>,
    /// Connections not in use; None stands for one that broke and is made again when it is needed. It has as many
    /// places as there are connections, so it is never full when one is given back.
    free: (Sender<Option<Socket>>, Receiver<Option<Socket>>),
    /// Held while one is opened and tried.
    opening: Mutex<()>,
}

impl Loopback {
    /// Opens `count` connections, and then removes the socket's name.
    pub fn open(count: usize, address: PrivateAddress, secret: Arc<str>) -> io::Result<Self> {
        let mut loopback = Loopback { address, secret, free: bounded(count), opening: Mutex::new(()) };
        for _ in 0..count {
            let socket = loopback.connect()?;
            loopback.give_back(Some(socket));
        }
        loopback.address.unlink();
        Ok(loopback)
    }

    /// Has a request answered. What goes wrong on the way is a response too.
    pub fn ask(&self, request: &Request) -> Response {
        let Ok(socket) = self.free.1.recv_timeout(BORROW_TIMEOUT) else {
            log::warn!("no handler was free for {} s, so a request was refused", BORROW_TIMEOUT.as_secs());
            return busy();
        };
        let mut borrowed = Borrowed { loopback: self, socket: None };
        let response = socket.map_or_else(|| self.reconnect(), Ok).and_then(|mut socket| {
            let response = exchange(&mut socket, &self.bytes_of(request), &request.method)?;
            borrowed.socket = Some(socket);
            Ok(response)
        });
        response.unwrap_or_else(|error| {
            log::error!("a request could not be passed on: {error}");
            busy()
        })
    }

    /// Wakes tiny_http's accept thread once its server is dropped, so that it ends: the server itself tries to by the
    /// name of the socket, which is removed.
    pub fn wake_accept_thread(&self) {
        let _ = self.address.connect();
    }

    fn give_back(&self, socket: Option<Socket>) {
        // There is a place for each, so this cannot fail while both ends are held by `self`.
        let _ = self.free.0.try_send(socket);
    }

    fn connect(&self) -> io::Result<Socket> {
        // It guards a sequence and no data: nothing is half done if its holder panicked.
        let _one_at_a_time = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let mut socket = self.address.connect()?;
        socket.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
        socket.set_write_timeout(Some(RESPONSE_TIMEOUT))?;
        // Without the secret: a refusal proves as well that the other side reads.
        exchange(&mut socket, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "GET")?;
        Ok(socket)
    }

    fn reconnect(&self) -> io::Result<Socket> {
        let spare: Vec<_> = (0..SPARE_DESCRIPTORS).map(|_| self.address.socket()).collect::<Result<_, _>>()?;
        drop(spare);
        self.connect()
    }

    fn bytes_of(&self, request: &Request) -> Vec<u8> {
        let mut bytes = format!(
            "{} {} HTTP/1.1\r\nHost: {}\r\n{INTERNAL_FIELD}: {}\r\nContent-Length: {}\r\n",
            request.method,
            request.target,
            request.host,
            internal_value(&self.secret, request.client),
            request.body.len()
        );
        for (name, value) in &request.headers {
            bytes += &format!("{name}: {value}\r\n");
        }
        bytes += "\r\n";
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(&request.body);
        bytes
    }
}

/// A place among the connections that is filled again whatever happens.
struct Borrowed<'a> {
    loopback: &'a Loopback,
    socket: Option<Socket>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.loopback.give_back(self.socket.take());
    }
}

/// The value of the internal field.
fn internal_value(secret: &str, client: Client) -> String {
    let scheme = if client.is_secure { HTTPS } else { HTTP };
    format!("{secret} {} {scheme}", client.address)
}

/// The client that an internal field names; None without the right secret.
pub(crate) fn client_of(internal_value: &str, secret: &str) -> Option<Client> {
    let (given, client) = internal_value.split_once(' ')?;
    // Looks at every byte whatever it finds, so that the time it takes reveals nothing of the secret.
    let differences = given.bytes().zip(secret.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b));
    if given.len() != secret.len() || differences != 0 {
        return None;
    }
    let (address, scheme) = client.split_once(' ')?;
    Some(Client { address: address.parse().ok()?, is_secure: scheme == HTTPS })
}

fn busy() -> Response {
    Response::error(ErrorCode::Busy, "The server is behind; please try again.").retry_after(1)
}

fn exchange(socket: &mut Socket, request: &[u8], method: &str) -> io::Result<Response> {
    socket.write_all(request)?;
    let mut bytes = Vec::with_capacity(4096);
    let (mut response, head_length, length) = loop {
        read_some(socket, &mut bytes)?;
        if let Some(head) = read_head(&bytes)? {
            break head;
        }
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(io::Error::other("the head of a response has no end"));
        }
    };
    // RFC 9110 §6.4.1: these have none, whatever Content-Length says.
    let length = if method == "HEAD" || matches!(response.status, 204 | 304) { 0 } else { length };
    let mut body = bytes.split_off(head_length);
    body.reserve_exact(length.saturating_sub(body.len()));
    while body.len() < length {
        read_some(socket, &mut body)?;
    }
    if body.len() > length {
        return Err(io::Error::other("a response is longer than its Content-Length"));
    }
    response.body = Body::Bytes(Cow::Owned(body));
    Ok(response)
}

/// The response without its body, the length of its head, and its Content-Length; None if the head is not complete.
fn read_head(bytes: &[u8]) -> io::Result<Option<(Response, usize, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head_length) = parsed.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let mut response = Response::new(parsed.code.unwrap_or(500));
    let mut length = None;
    for field in parsed.headers.iter() {
        let value = String::from_utf8_lossy(field.value).into_owned();
        if field.name.eq_ignore_ascii_case("content-length") {
            length = value.parse().ok();
        }
        // What tiny_http says of itself and of this connection is not for clients.
        if !["server", "connection"].iter().any(|name| field.name.eq_ignore_ascii_case(name)) {
            response.headers.push((Cow::Owned(field.name.to_owned()), value));
        }
    }
    let length = length.ok_or_else(|| io::Error::other("a response has no Content-Length"))?;
    Ok(Some((response, head_length, length)))
}

fn read_some(socket: &mut Socket, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match socket.read(&mut buffer) {
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

#[cfg(test)]
impl Loopback {
    /// As if the other side had closed all connections.
    pub fn break_connections(&self) {
        for socket in self.free.1.try_iter().collect::<Vec<_>>() {
            let _ = socket.as_ref().map(|socket| socket.shutdown(std::net::Shutdown::Both));
            self.give_back(socket);
        }
    }
}
