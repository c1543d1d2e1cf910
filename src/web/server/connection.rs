//! One client's TCP connection, on its own thread `conn-<n>`: reads requests within limits of size and time, has them
//! answered, writes the responses, and keeps the connection open as HTTP says (RFC 9112 §9.3), or for as long as a
//! WebSocket or a streamed response lasts. It asks `routes` once per request; what the route means for a request
//! decides `dispatch`.

use std::borrow::Cow;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use crate::net::concurrency_limit::Permit;
use crate::observe::sentence::Quoted;
use crate::web::handlers::authorize::Credentials;
use crate::web::handlers::context::Context;
use crate::web::handlers::websocket::{self, Join};
use crate::web::handlers::{dispatch, origin_check};
use crate::web::http::base_url::{self, BaseUrl};
use crate::web::http::body::Body;
use crate::web::http::chunked::ChunkedDecoder;
use crate::web::http::client_address::Client;
use crate::web::http::error_code::ErrorCode;
use crate::web::http::head::{self, Framing, Head, Version};
use crate::web::http::message::{Request, Response, split_target};
use crate::web::http::origin_policy::{Initiator, Verdict};
use crate::web::http::response_head::ResponseHead;
use crate::web::http::routes::{Resource, Route};
use crate::web::http::{chunked, upgrade};
use crate::web::server::callers::CallerLimits;
use crate::web::server::loopback::Loopback;
use crate::web::server::streaming;
use crate::web::transport::first_bytes::{self, Decision};
use crate::web::transport::readiness;
use crate::web::transport::socket::ClientSocket;

/// How much of a response must be taken within the write time-out: a floor of 1.6 KB/s for slow clients, at 10 s.
const WRITE_PIECE_BYTES: usize = 16 * 1024;

/// What all connections share.
pub(crate) struct Shared {
    /// What handlers know of the server.
    pub context: Arc<Context>,
    /// Where requests are passed on.
    pub loopback: Loopback,
    /// Wakes the threads of WebSockets and streamed responses.
    pub readiness: readiness::Handle,
    /// What each client may have at the same time.
    pub callers: CallerLimits,
}

/// Serves a client until it or the server ends the connection.
pub(crate) fn serve(stream: &TcpStream, address: SocketAddr, shared: &Shared) {
    // A response leaves in one or a few large writes, so nothing is gained by waiting for more.
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("{address}: cannot set TCP_NODELAY: {error}");
    }
    // The first head's time begins with the connection, so that the TLS handshake is part of it.
    let first = Instant::now() + shared.context.limits.head_timeout;
    let socket = match ClientSocket::open(stream, shared.context.tls.as_deref(), first) {
        Ok(socket) => socket,
        Err(error) => {
            log::debug!("{address}: no connection was established: {error}");
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    };
    let sender = Client { address, is_secure: socket.is_tls() };
    let version = Version::Http11;
    let mut connection = Connection {
        socket,
        sender,
        client: sender,
        request_permit: None,
        peer_permit: None,
        version,
        shared,
        input: Vec::new(),
        cross_origin: Vec::new(),
    };
    let mut deadline = Some(first);
    loop {
        match connection.serve_request(deadline.take()) {
            Ok(Next::Request) => continue,
            Ok(Next::Close) => {}
            Ok(Next::WebSocket(join)) => connection.serve_websocket(*join),
            Err(end) => connection.end(end),
        }
        break;
    }
    connection.socket.close();
}

struct Connection<'a> {
    socket: ClientSocket<'a>,
    /// The other end of the socket.
    sender: Client,
    /// Who sent the present request: the sender, or a client behind it, if it is a proxy.
    client: Client,
    /// Counts the present request to its client, if a proxy sent it.
    request_permit: Option<Permit>,
    /// Counts the WebSocket to its client.
    peer_permit: Option<Permit>,
    /// Of the present request.
    version: Version,
    shared: &'a Shared,
    /// Arrived, but not yet used.
    input: Vec<u8>,
    /// Fields that say which pages of other origins may read the response to the present request, whatever it is.
    cross_origin: Vec<(&'static str, Cow<'static, str>)>,
}

/// What follows a request.
enum Next<'a> {
    /// Another request.
    Request,
    /// The end of the connection.
    Close,
    /// A WebSocket, for the rest of the connection.
    WebSocket(Box<Join<'a>>),
}

/// Why a connection ends early.
enum End {
    /// The client left, or does not take what it is sent, or has been idle: no response would reach it.
    Closed,
    /// The client gets this response.
    Refused(Response),
}

impl From<Response> for End {
    fn from(response: Response) -> Self {
        End::Refused(response)
    }
}

/// Why nothing arrived.
enum ReadError {
    TimedOut,
    Closed,
}

impl<'a> Connection<'a> {
    /// Serves one request. Not inlined, because the stack of a WebSocket's thread is to hold nothing of the request.
    #[inline(never)]
    fn serve_request(&mut self, first: Option<Instant>) -> Result<Next<'a>, End> {
        let shared = self.shared;
        let context = &*shared.context;
        self.cross_origin.clear();
        self.request_permit = None;
        self.version = Version::Http11;
        let mut head = self.read_head(first)?;
        self.version = head.version;
        self.client = context.proxies.client(self.sender, &head.forwarding);
        // A page that has let its own name point to the proxy can write any other field, but not `Host`: that one must be ours too.
        let forwarded = context.proxies.host(self.sender, &head.forwarding);
        if let Some(host) =
            forwarded.filter(|host| context.origins.has_name(host) && context.origins.has_name(&head.host))
        {
            head.host = host.to_owned();
        }
        let route = dispatch::find(context, &mut head.target);
        let prefix = self.prefix(&head);
        let query = split_target(&head.target).1;
        let credentials = Credentials { headers: &head.headers, query, client: self.client.address.ip() };
        let verdict = context.origins.judge(&credentials, &head.host, context.tls.as_deref());
        self.cross_origin = context.origins.response_fields(verdict, route.is_open_to_all_origins, &credentials);
        if context.proxies.trust(self.sender.address.ip()) {
            self.request_permit = Some(shared.callers.request(self.client.address.ip())?);
        }
        if route.resource == Resource::WebSocket {
            return self.accept_websocket(&head, &route, verdict).map(|join| Next::WebSocket(Box::new(join)));
        }
        let body = self.read_body(&head)?;
        let Head { method, target, host, headers, keep_alive, .. } = head;
        let request = Request { method, target, host, headers, body, client: self.client, prefix };
        let response = dispatch::respond(context, &route, &request, verdict, || shared.loopback.ask(&request));
        // Behind a ticket comes a WebSocket, on a connection of its own. This one would only be kept open beside it.
        let keep_alive = keep_alive && !(route.resource == Resource::Access && request.method == "POST");
        context.connection_metrics.requests.add(1);
        // Queries are not logged: they may hold a token.
        let (method, path) = (Quoted(&request.method), Quoted(request.path()));
        log::debug!("{}: {method} {path} -> {}", self.client.address, response.status);
        let may_follow = self.send(response, request.method == "HEAD", keep_alive)?;
        Ok(if may_follow { Next::Request } else { Next::Close })
    }

    /// What a proxy has in front of the path: what it says, else what the operator says of the host that was asked.
    fn prefix(&self, head: &Head) -> String {
        let context = &self.shared.context;
        let forwarded =
            context.proxies.prefix(self.sender, &head.forwarding).filter(|prefix| base_url::is_path(prefix));
        let public = context.public_url.as_ref().filter(|url| url.origin().is_of(&head.host));
        forwarded.or(public.map(BaseUrl::path)).unwrap_or_default().to_owned()
    }

    /// Accepts the handshake of a WebSocket, if it is permitted to join the room.
    fn accept_websocket(&mut self, head: &Head, route: &Route, verdict: Verdict) -> Result<Join<'a>, End> {
        let context: &'a Context = &self.shared.context;
        if verdict.initiator == Initiator::Misdirected {
            return Err(context.origins.misdirected(&head.method, &head.host, &head.headers).into());
        }
        if !route.has(&head.method) {
            return Err(route.method_not_allowed().into());
        }
        let upgrade = upgrade::read(head)?;
        if origin_check::is_refused(verdict, route.checks_origin) {
            return Err(context.origins.foreign(verdict, &head.headers).into());
        }
        let (ip, is_through_proxy) = (self.client.address.ip(), self.request_permit.is_some());
        self.peer_permit = Some(self.shared.callers.peer(ip, is_through_proxy, Instant::now())?);
        let query = split_target(&head.target).1;
        let credentials = Credentials { headers: &head.headers, query, client: self.client.address.ip() };
        let join = Join::authorize(&context.authorizer, &upgrade, &credentials)?;
        context.connection_metrics.requests.add(1);
        self.write(upgrade.accepted().as_bytes())?;
        Ok(join)
    }

    /// Joins a room. From here on, this thread, the socket and what has arrived on it belong to the WebSocket.
    fn serve_websocket(&mut self, join: Join<'_>) {
        let context = &*self.shared.context;
        self.cross_origin = Vec::new();
        let input = std::mem::take(&mut self.input);
        let served = websocket::serve(&mut self.socket, input, join, self.client, context, &self.shared.readiness);
        if let Err(error) = served {
            log::debug!("{}: the WebSocket ended: {error}", self.client.address);
        }
    }

    /// Sends the last response, if there is one.
    fn end(&mut self, end: End) {
        if let End::Refused(response) = end {
            self.shared.context.connection_metrics.requests.add(1);
            log::debug!("{}: refused with {}", self.client.address, response.status);
            if self.send_bytes(&response, false, false).is_ok() {
                self.socket.linger();
            }
        }
    }

    /// The first head has its deadline already; that of a later one begins with its first byte, before which the client
    /// may be idle for a while.
    fn read_head(&mut self, first: Option<Instant>) -> Result<Head, End> {
        let limits = &self.shared.context.limits;
        if first.is_none() && self.input.is_empty() {
            self.input.shrink_to(0);
            self.fill(Instant::now() + limits.idle_timeout).map_err(|_| End::Closed)?;
        }
        let deadline = first.unwrap_or_else(|| Instant::now() + limits.head_timeout);
        let mut searched = 0;
        loop {
            // RFC 9112 §2.2: an empty line before the request line is ignored.
            // All at once: a client can send them without end.
            let empty = self.input.chunks_exact(2).take_while(|line| line == b"\r\n").count();
            if empty > 0 {
                self.input.drain(..2 * empty);
                searched = 0;
            }
            if let Some(head) = self.take_head(&mut searched)? {
                return Ok(head);
            }
            self.fill(deadline).map_err(|error| match error {
                ReadError::TimedOut if !self.input.is_empty() => {
                    Response::error(ErrorCode::HeadTimeout, "The request head did not arrive in time.").into()
                }
                _ => End::Closed,
            })?;
        }
    }

    /// Takes a head out of the input, if all of it has arrived. `searched` bytes have been searched for its end before.
    fn take_head(&mut self, searched: &mut usize) -> Result<Option<Head>, End> {
        match first_bytes::decide(&self.input, self.socket.is_tls()) {
            Decision::Http => {}
            Decision::NeedMore => return Ok(None),
            Decision::Stun { is_framed } => {
                // Nothing serves it, and its client would not understand HTTP.
                log::debug!("{}: sends STUN over TCP (framed: {is_framed}), which is not served", self.sender.address);
                return Err(End::Closed);
            }
            Decision::Tls | Decision::Unknown => {
                return Err(Response::error(ErrorCode::BadRequest, "This is not an HTTP request.").into());
            }
        }
        let limit_bytes = self.shared.context.limits.head_bytes;
        let end = head::find_end(&self.input, *searched)?;
        *searched = self.input.len();
        match end {
            Some(end) if end <= limit_bytes => {
                let head = head::parse(&self.input[..end])?;
                self.input.drain(..end);
                Ok(Some(head))
            }
            None if *searched < limit_bytes => Ok(None),
            _ => {
                let message = format!("A request head may have {limit_bytes} bytes at most.");
                Err(Response::error(ErrorCode::HeadTooLarge, message).into())
            }
        }
    }

    fn read_body(&mut self, head: &Head) -> Result<Vec<u8>, End> {
        let limit_bytes = self.shared.context.limits.body_bytes;
        let deadline = Instant::now() + self.shared.context.limits.body_timeout;
        match head.framing {
            Framing::Empty => Ok(Vec::new()),
            Framing::Length(length) => {
                let length = usize::try_from(length).ok().filter(|&length| length <= limit_bytes);
                let length = length.ok_or_else(|| chunked::too_large(limit_bytes))?;
                self.send_continue(head)?;
                while self.input.len() < length {
                    self.fill_body(deadline)?;
                }
                let rest = self.input.split_off(length);
                Ok(std::mem::replace(&mut self.input, rest))
            }
            Framing::Chunked => {
                self.send_continue(head)?;
                let mut chunked = ChunkedDecoder::new(limit_bytes);
                while !chunked.push(&mut self.input)? {
                    self.fill_body(deadline)?;
                }
                Ok(chunked.into_body())
            }
        }
    }

    /// RFC 9110 §10.1.1; not needed if the client has begun to send the body without waiting.
    fn send_continue(&mut self, head: &Head) -> Result<(), End> {
        if head.wants_continue && self.input.is_empty() {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        Ok(())
    }

    fn fill_body(&mut self, deadline: Instant) -> Result<(), End> {
        self.fill(deadline).map_err(|error| match error {
            ReadError::TimedOut => {
                Response::error(ErrorCode::BodyTimeout, "The request body did not arrive in time.").into()
            }
            ReadError::Closed => End::Closed,
        })
    }

    /// Waits for something to arrive.
    fn fill(&mut self, deadline: Instant) -> Result<(), ReadError> {
        let mut buffer = [0; 8 * 1024];
        match self.socket.read(&mut buffer, deadline) {
            Ok(0) => Err(ReadError::Closed),
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(ReadError::TimedOut),
            Err(_) => Err(ReadError::Closed),
        }
    }

    /// Sends a response. True if another request may follow.
    fn send(&mut self, response: Response, is_head: bool, keep_alive: bool) -> Result<bool, End> {
        if matches!(response.body, Body::Stream(_)) && !is_head {
            return self.send_stream(response);
        }
        self.send_bytes(&response, is_head, keep_alive)?;
        if !keep_alive && !self.input.is_empty() {
            self.socket.linger();
        }
        Ok(keep_alive)
    }

    fn send_bytes(&mut self, response: &Response, is_head: bool, keep_alive: bool) -> Result<(), End> {
        let mut bytes = self.head_of(response, keep_alive);
        let body: &[u8] = if is_head { &[] } else { response.body.bytes() };
        // One write for what is small; what is large is not copied for it.
        let (with_head, rest) = body.split_at(body.len().min(WRITE_PIECE_BYTES.saturating_sub(bytes.len())));
        bytes.extend_from_slice(with_head);
        self.write(&bytes)?;
        self.write(rest)
    }

    /// Sends a streamed response, which is the last of its connection.
    fn send_stream(&mut self, response: Response) -> Result<bool, End> {
        let _permit = match self.shared.callers.stream(self.client.address.ip()) {
            Ok(permit) => permit,
            Err(refusal) => return self.send(refusal, false, false),
        };
        let head = self.head_of(&response, false);
        let Body::Stream(mut body) = response.body else { return Ok(false) };
        let (is_chunked, timeout) = (self.version == Version::Http11, self.shared.context.limits.write_timeout);
        let sent = streaming::send(&mut self.socket, &self.shared.readiness, head, &mut *body, is_chunked, timeout);
        if let Err(error) = sent {
            log::debug!("{}: the streamed response ended early: {error}", self.client.address);
        }
        Ok(false)
    }

    fn head_of(&self, response: &Response, keep_alive: bool) -> Vec<u8> {
        let (cross_origin, version) = (self.cross_origin.as_slice(), self.version);
        ResponseHead { response, cross_origin, version, keep_alive, now: SystemTime::now() }.to_bytes()
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), End> {
        for piece in bytes.chunks(WRITE_PIECE_BYTES) {
            let deadline = Instant::now() + self.shared.context.limits.write_timeout;
            self.socket.write_all(piece, deadline).map_err(|error| {
                log::debug!("{}: a response was not taken: {error}", self.client.address);
                End::Closed
            })?;
        }
        Ok(())
    }
}
