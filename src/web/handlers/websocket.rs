//! A peer's WebSocket, on its connection's thread: passes messages from the browser to the hub, and from the hub to the
//! browser. The thread sleeps until its socket is ready, the hub has something, or a ping is due; it does not read what
//! peers send to one another and decides nothing about rooms.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::Level;
use tungstenite::error::CapacityError;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Message, Role, WebSocketConfig};
use tungstenite::{Bytes, Error, WebSocket};

use crate::access::tokens::Permission;
use crate::ids::names::RoomName;
use crate::ids::peer::ResumeToken;
use crate::net::token_bucket::{Rate, TokenBucket};
use crate::os::threads;
use crate::signal::client_message::ClientMessage;
use crate::signal::events::CloseReason;
use crate::signal::heartbeat::{Heartbeat, HeartbeatAction};
use crate::signal::hub;
use crate::signal::limits::RoomLimits;
use crate::signal::peer_channel::{Delivery, PeerChannel};
use crate::signal::protocol_error::ErrorCode;
use crate::signal::server_message::ServerMessage;
use crate::web::handlers::authorize::{Authorization, Authorizer, Credentials, TokenUse};
use crate::web::handlers::context::Context;
use crate::web::http::client_address::Client;
use crate::web::http::message::Response;
use crate::web::http::upgrade::Upgrade;
use crate::web::transport::metered_socket::MeteredSocket;
use crate::web::transport::readiness;
use crate::web::transport::socket::ClientSocket;

/// Small, because every idle peer has one; it grows for a message that is larger.
const READ_BUFFER_BYTES: usize = 2 * 1024;
/// Messages are collected up to this, so that several are one write.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;
/// Beside the largest message that is passed on: names of types, ids, frame headers.
const WRITE_MARGIN_BYTES: usize = 60 * 1024;
/// Messages read, and bytes of whatever else, before the outbox gets its turn again.
const READS_PER_TURN: usize = 32;
const BYTES_PER_TURN: usize = 64 * 1024;
/// A client that sends more frames than that for each message that it may send is closed: some cut a long message into
/// frames of a few KiB, and none into single bytes. It may also ping.
const FRAMES_PER_MESSAGE: u32 = 20;
/// So many bytes count as one message where the messages of all peers of an address are counted.
const BYTES_PER_MESSAGE: f64 = 4.0 * 1024.0;
/// What the kernel may keep for a WebSocket whose browser stops reading: several times all that a full room sends to a
/// peer that joins, so that a short interruption of the network makes no peer too slow.
const SEND_BUFFER_BYTES: usize = 256 * 1024;
/// How long the closing handshake may take: the write of our part, and the wait for the answer.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// From the range that is free for applications (RFC 6455 §7.4.2).
const REPLACED: u16 = 4001;
const REMOVED: u16 = 4003;
const ROOM_LOCKED: u16 = 4004;
const ROOM_ENDED: u16 = 4005;

/// A request to join a room that was authorized.
pub(crate) struct Join<'a> {
    /// Which room.
    pub room: RoomName,
    /// The peer's resume token, from before or new.
    pub token: ResumeToken,
    /// What its credentials permit.
    pub authorization: Authorization,
    /// Confirmed once the room has admitted the peer.
    pub token_use: TokenUse<'a>,
}

impl<'a> Join<'a> {
    /// Authorizes the request. Its tokens are in its header fields and query, or a ticket stands for them.
    ///
    /// # Errors
    /// The response that refuses it.
    pub(crate) fn authorize(
        authorizer: &'a Authorizer,
        upgrade: &Upgrade,
        credentials: &Credentials<'_>,
    ) -> Result<Join<'a>, Response> {
        let presented = upgrade.ticket.map(|ticket| authorizer.redeem_ticket(ticket, &upgrade.room, credentials));
        let presented = presented.transpose()?;
        let resume = presented.as_ref().map_or(upgrade.resume, |presented| presented.resume);
        let token = resume.map_or_else(ResumeToken::random, Ok).map_err(|error| {
            log::error!("{error}");
            Response::internal_error()
        })?;
        let (needed, by) = (Permission::Room(upgrade.room.clone()), Some(token.id()));
        let authorization = match presented {
            Some(it) => authorizer.authorize_token(&needed, it.token.as_deref(), credentials.client, by)?,
            None => authorizer.authorize(&needed, credentials, by)?,
        };
        let token_use = authorizer.use_token(&authorization, by)?;
        Ok(Join { room: upgrade.room.clone(), token, authorization, token_use })
    }
}

/// Serves a peer until it or the server ends the connection. `input` is what has arrived behind the handshake.
pub(crate) fn serve(
    socket: &mut ClientSocket<'_>,
    input: Vec<u8>,
    join: Join<'_>,
    client: Client,
    context: &Context,
    readiness: &readiness::Handle,
) -> io::Result<()> {
    let Join { room, token, authorization, token_use } = join;
    log::debug!("peer {}: from {}", token.id().short(), client.address);
    socket.set_send_buffer_bytes(SEND_BUFFER_BYTES);
    let socket = socket.non_blocking(readiness)?;
    let limits = context.hub.limits();
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES + limits.message_bytes + WRITE_MARGIN_BYTES)
        .max_message_size(Some(limits.message_bytes))
        .max_frame_size(Some(limits.message_bytes));
    let socket = WebSocket::from_raw_socket(MeteredSocket::new(socket, input), Role::Server, Some(config));
    let stations = context.stations.all();
    let on_air = stations.iter().filter(|station| authorization.may_listen() && station.is_on_air());
    let on_air = on_air.map(|station| station.name.to_string()).collect();
    let ip = client.address.ip();
    let channel = context.hub.join(ip, room, token, on_air, authorization.is_admin())?;
    let now = Instant::now();
    let heartbeat = Heartbeat::new(limits.ping_interval, limits.silence_timeout, now);
    let mut peer = Peer {
        hub: &context.hub,
        ip,
        frames: TokenBucket::full(frame_rate(limits), now),
        read_after: None,
        socket,
        channel,
        heartbeat,
        token_use,
        texts: Vec::new().into_iter(),
        is_admitted: false,
        blocked_since: None,
        may_have_more: true,
        pong_is_due: false,
    };
    let end = peer.run();
    if let End::Closed(code, sentence) | End::Error(_, code, sentence) = &end {
        let level = if matches!(code, CloseCode::Away | CloseCode::Normal) { Level::Debug } else { Level::Info };
        log::log!(level, "peer {}: closed with {}: {sentence}", token.id().short(), u16::from(*code));
    }
    peer.close(end)
}

struct Peer<'a> {
    socket: WebSocket<MeteredSocket<'a>>,
    hub: &'a hub::Handle,
    /// The address that the peer counts to.
    ip: IpAddr,
    /// Frames that it may still send.
    frames: TokenBucket,
    /// When to read on, if the peers of its address have sent more than they may.
    read_after: Option<Instant>,
    channel: PeerChannel,
    heartbeat: Heartbeat,
    token_use: TokenUse<'a>,
    /// What is left of a delivery of several messages.
    texts: std::vec::IntoIter<Arc<str>>,
    /// The room has admitted the peer. Nothing is read before that: what the peer says in a room counts as a use of its token.
    is_admitted: bool,
    /// Since when the socket takes no more; the outbox waits.
    blocked_since: Option<Instant>,
    /// There may be more to read.
    may_have_more: bool,
    /// The browser asked for a `pong`. One answers all that were asked for since the last.
    pong_is_due: bool,
}

/// Why a connection ends.
enum End {
    /// The browser closed it, or the network did.
    Gone(Error),
    /// A closing handshake would not reach the browser.
    Unreachable(&'static str),
    /// The server closes it.
    Closed(CloseCode, &'static str),
    /// The server closes it, and sends the reason in a message first.
    Error(ErrorCode, CloseCode, &'static str),
}

impl Peer<'_> {
    fn run(&mut self) -> End {
        let mut is_stack_released = false;
        loop {
            match self.step() {
                Ok(Some(wait)) => {
                    // From here on this thread sleeps most of the time.
                    if !std::mem::replace(&mut is_stack_released, true) {
                        threads::release_stack();
                    }
                    thread::park_timeout(wait);
                }
                Ok(None) => {}
                Err(end) => return end,
            }
        }
    }

    /// Does what can be done now. Returns how long to sleep then; None if there is more to do right away.
    fn step(&mut self) -> Result<Option<Duration>, End> {
        let ready = self.socket.get_ref().take_ready();
        self.may_have_more |= ready;
        let is_permitted = self.is_admitted && self.read_after.is_none_or(|time| time <= Instant::now());
        if is_permitted && self.may_have_more {
            self.may_have_more = self.read_turn()?;
        }
        if ready || self.blocked_since.is_none() {
            self.write()?;
        }
        if self.channel.is_too_slow(self.blocked_since.is_some()) {
            self.channel.count_as_too_slow();
            let sentence = "Too many messages are waiting for this connection.";
            return Err(End::Error(ErrorCode::TooSlow, CloseCode::Again, sentence));
        }
        let now = Instant::now();
        // It may send messages all the while, but no ping reaches it.
        let silence_timeout = self.hub.limits().silence_timeout;
        if self.blocked_since.is_some_and(|since| now.saturating_duration_since(since) >= silence_timeout) {
            return Err(End::Unreachable("the browser took nothing for too long"));
        }
        match self.heartbeat.poll(now) {
            HeartbeatAction::TimeOut => Err(End::Unreachable("nothing was received from the browser")),
            HeartbeatAction::Ping => {
                // While a write is blocked, a ping would only wait behind it.
                if self.blocked_since.is_none() {
                    self.send(Message::Ping(Bytes::new()))?;
                    self.flush()?;
                }
                Ok(None)
            }
            HeartbeatAction::Wait(deadline) if self.is_admitted && self.may_have_more => {
                let read_after = self.read_after.filter(|&time| time > now);
                Ok(read_after.map(|time| time.min(deadline).saturating_duration_since(now)))
            }
            HeartbeatAction::Wait(deadline) => Ok(Some(deadline.saturating_duration_since(now))),
        }
    }

    /// Reads what has arrived, as much as one turn permits, and counts it; true if there may be more.
    fn read_turn(&mut self) -> Result<bool, End> {
        self.socket.get_mut().begin_turn(BYTES_PER_TURN);
        let mut messages = 0;
        let is_empty = self.read(&mut messages)?;
        let turn = self.socket.get_mut().end_turn();
        let (now, rate) = (Instant::now(), frame_rate(self.hub.limits()));
        if !self.frames.charge(turn.frames as f64, rate, now).is_zero() {
            let sentence = "Frames are sent too fast.";
            return Err(End::Error(ErrorCode::TooManyMessages, CloseCode::Policy, sentence));
        }
        let frames = turn.frames as f64 / f64::from(FRAMES_PER_MESSAGE);
        let wait = self.hub.charge(self.ip, f64::from(messages) + frames + turn.bytes as f64 / BYTES_PER_MESSAGE, now);
        self.read_after = (!wait.is_zero()).then(|| now + wait);
        Ok(!is_empty || turn.is_used_up)
    }

    /// Reads until nothing can be read in this turn (true), or as many messages as it permits (false).
    fn read(&mut self, messages: &mut u32) -> Result<bool, End> {
        for _ in 0..READS_PER_TURN {
            let message = match self.socket.read() {
                Ok(message) => message,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error)),
            };
            self.heartbeat.received(Instant::now());
            match message {
                Message::Text(text) => {
                    *messages += 1;
                    self.pass_on(&text)?;
                }
                Message::Binary(_) => {
                    return Err(End::Error(ErrorCode::NotText, CloseCode::Unsupported, "Messages are JSON text here."));
                }
                Message::Close(frame) => self.handle_close(frame),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Ok(false)
    }

    fn pass_on(&mut self, text: &str) -> Result<(), End> {
        let message = ClientMessage::parse(text);
        if message == Ok(ClientMessage::Ping) {
            self.pong_is_due = true;
            return Ok(());
        }
        self.channel.send(message).map_err(|_| End::Unreachable("the hub has ended"))
    }

    /// RFC 6455 §7.4.1: with these codes a page or its user leaves. With any other code the page will come back.
    fn handle_close(&mut self, frame: Option<CloseFrame>) {
        if frame.is_none_or(|frame| matches!(frame.code, CloseCode::Normal | CloseCode::Away | CloseCode::Status)) {
            self.channel.set_left();
        }
    }

    /// Writes what waits, as long as the socket takes it.
    fn write(&mut self) -> Result<(), End> {
        self.flush()?;
        while self.blocked_since.is_none() {
            if std::mem::take(&mut self.pong_is_due) {
                self.send(Message::Text((&*ServerMessage::Pong {}.to_json()).into()))?;
                continue;
            }
            if let Some(text) = self.texts.next() {
                self.send(Message::Text((&*text).into()))?;
                continue;
            }
            match self.channel.try_recv() {
                Ok(Some(Delivery::Text(text))) => self.send(Message::Text((&*text).into()))?,
                Ok(Some(Delivery::Texts(texts))) => {
                    // The room has admitted the peer: only then several messages come at once.
                    self.token_use.confirm();
                    self.is_admitted = true;
                    self.texts = texts.into_iter();
                }
                Ok(Some(Delivery::Close(reason))) => return Err(closed_by_hub(reason)),
                Ok(None) => return self.flush(),
                Err(_) => return Err(End::Unreachable("the hub has removed the peer")),
            }
        }
        Ok(())
    }

    fn send(&mut self, message: Message) -> Result<(), End> {
        let sent = self.socket.write(message);
        self.handle_written(sent)
    }

    fn flush(&mut self) -> Result<(), End> {
        let flushed = self.socket.flush();
        self.handle_written(flushed)
    }

    fn handle_written(&mut self, written: Result<(), Error>) -> Result<(), End> {
        match written {
            Ok(()) => {
                self.blocked_since = None;
                Ok(())
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked_since.get_or_insert_with(Instant::now);
                Ok(())
            }
            Err(error) => Err(End::Gone(error)),
        }
    }

    /// The closing handshake (RFC 6455 §7.1.2), in blocking calls with a time-out.
    fn close(mut self, end: End) -> io::Result<()> {
        let (code, sentence) = match end {
            End::Gone(Error::ConnectionClosed) => return Ok(()),
            End::Gone(error) => return Err(io::Error::other(error)),
            End::Unreachable(why) => return Err(io::Error::other(why)),
            End::Closed(code, sentence) | End::Error(_, code, sentence) => (code, sentence),
        };
        self.socket.get_ref().block_for(CLOSE_TIMEOUT)?;
        if let End::Error(code, ..) = end {
            let text = ServerMessage::Error { code, message: sentence }.to_json();
            self.socket.send(Message::Text((&*text).into())).map_err(io::Error::other)?;
        }
        self.socket.close(Some(CloseFrame { code, reason: sentence.into() })).map_err(io::Error::other)?;
        self.socket.get_mut().linger(CLOSE_TIMEOUT);
        Ok(())
    }
}

fn frame_rate(limits: &RoomLimits) -> Rate {
    let times = |messages: u32| f64::from(messages) * f64::from(FRAMES_PER_MESSAGE);
    Rate { per_s: times(limits.messages_per_s), burst: times(limits.message_burst) }
}

/// How a connection ends whose input cannot be read.
fn unreadable(error: Error) -> End {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            End::Error(ErrorCode::TooLarge, CloseCode::Size, "A message has 64 KiB at most.")
        }
        Error::Utf8(_) => End::Closed(CloseCode::Invalid, "Text is UTF-8."),
        Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake, //
        ) => End::Gone(error),
        Error::Protocol(_) => End::Closed(CloseCode::Protocol, "This is not RFC 6455."),
        error => End::Gone(error),
    }
}

/// The hub has sent the message with the reason already.
fn closed_by_hub(reason: CloseReason) -> End {
    match reason {
        CloseReason::TooManyMessages => End::Closed(CloseCode::Policy, "too many messages"),
        CloseReason::RoomFull => End::Closed(CloseCode::Again, "full"),
        CloseReason::Replaced => End::Closed(CloseCode::Library(REPLACED), "replaced"),
        CloseReason::GoingAway => End::Closed(CloseCode::Away, "going away"),
        CloseReason::Left => End::Closed(CloseCode::Normal, "goodbye"),
        CloseReason::Removed => End::Closed(CloseCode::Library(REMOVED), "removed"),
        CloseReason::RoomLocked => End::Closed(CloseCode::Library(ROOM_LOCKED), "locked"),
        CloseReason::RoomEnded => End::Closed(CloseCode::Library(ROOM_ENDED), "ended"),
    }
}
