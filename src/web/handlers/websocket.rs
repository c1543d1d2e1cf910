//! A peer's WebSocket, on its connection's thread: what the browser says goes to the hub, what the hub delivers goes to
//! the browser. The thread sleeps until its socket is ready, the hub has something, or a ping is due; it reads nothing
//! of what peers say to one another and decides nothing about rooms.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use log::Level;
use tungstenite::error::CapacityError;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Message, Role, WebSocketConfig};
use tungstenite::{Bytes, Error, WebSocket};

use crate::ids::names::RoomName;
use crate::ids::peer::ResumeToken;
use crate::os::threads;
use crate::signal::client_message::ClientMessage;
use crate::signal::events::CloseReason;
use crate::signal::heartbeat::{Heartbeat, HeartbeatAction};
use crate::signal::hub;
use crate::signal::peer_channel::{Delivery, PeerChannel};
use crate::signal::protocol_error::ErrorCode;
use crate::signal::server_message::ServerMessage;
use crate::station::directory::Directory;
use crate::web::handlers::authorize::{Entry, Pass};
use crate::web::http::client_address::Caller;
use crate::web::transport::readiness;
use crate::web::transport::socket::{Duplex, Wire};

/// Small, because every idle peer has one; a message that is larger gets its room when it comes.
const READ_BUFFER_BYTES: usize = 2 * 1024;
/// Messages are gathered up to this, so that a burst is one write.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;
/// Beside the largest message that we pass on: names of types, ids, frame headers.
const WRITE_MARGIN_BYTES: usize = 60 * 1024;
/// Messages read before the outbox is looked after again.
const READS_PER_TURN: usize = 32;
/// How long a goodbye may take: to be written, and to be answered.
const GOODBYE: Duration = Duration::from_secs(1);
/// From the range that is free for applications (RFC 6455 §7.4.2).
const REPLACED: u16 = 4001;
const REMOVED: u16 = 4003;
const ROOM_LOCKED: u16 = 4004;
const ROOM_ENDED: u16 = 4005;

/// PeerEvent WebSockets need of the house.
pub(crate) struct Lobby {
    pub hub: hub::Handle,
    pub readiness: readiness::Handle,
    pub stations: Directory,
}

/// Somebody whose request for a room was granted.
pub(crate) struct Guest<'a> {
    /// Which room.
    pub room: RoomName,
    /// Who it is.
    pub token: ResumeToken,
    /// PeerEvent it may do.
    pub pass: Pass,
    /// Kept once the room has taken it in.
    pub entry: Entry<'a>,
}

/// Serves a peer until it or we end the connection. `inbox` is what has arrived behind the handshake.
pub(crate) fn attend(
    wire: &mut Wire<'_>,
    inbox: Vec<u8>,
    guest: Guest<'_>,
    caller: Caller,
    lobby: &Lobby,
) -> io::Result<()> {
    let Guest { room, token, pass, entry } = guest;
    log::debug!("peer {}: from {}", token.id().short(), caller.address);
    let duplex = wire.duplex(&lobby.readiness)?;
    let limits = lobby.hub.limits();
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_BYTES + limits.message_bytes + WRITE_MARGIN_BYTES)
        .max_message_size(Some(limits.message_bytes))
        .max_frame_size(Some(limits.message_bytes));
    let socket = WebSocket::from_partially_read(duplex, inbox, Role::Server, Some(config));
    let stations = lobby.stations.all();
    let on_air = stations.iter().filter(|station| pass.may_listen() && station.is_on_air());
    let on_air = on_air.map(|station| station.name.to_string()).collect();
    let channel = lobby.hub.join(room, token, on_air, pass.is_host())?;
    let heartbeat = Heartbeat::new(limits.ping_interval, limits.silence_timeout, Instant::now());
    let mut peer =
        Peer { socket, channel, heartbeat, entry, texts: Vec::new().into_iter(), blocked: false, more: true };
    let end = peer.run();
    if let End::Ours(code, sentence) | End::ProtocolError(_, code, sentence) = &end {
        let level = if matches!(code, CloseCode::Away | CloseCode::Normal) { Level::Debug } else { Level::Info };
        log::log!(level, "peer {}: closed with {}: {sentence}", token.id().short(), u16::from(*code));
    }
    peer.say_goodbye(end)
}

struct Peer<'a> {
    socket: WebSocket<Duplex<'a>>,
    channel: PeerChannel,
    heartbeat: Heartbeat,
    entry: Entry<'a>,
    /// PeerEvent is left of a delivery of several messages.
    texts: std::vec::IntoIter<Arc<str>>,
    /// The system takes no more for now; the outbox waits.
    blocked: bool,
    /// There may be more to read.
    more: bool,
}

/// Why a connection ends.
enum End {
    /// The browser closed it, or the network did.
    Gone(Error),
    /// No word helps any more.
    Silent(&'static str),
    /// We close it.
    Ours(CloseCode, &'static str),
    /// We close it and say why in a message first.
    ProtocolError(ErrorCode, CloseCode, &'static str),
}

impl Peer<'_> {
    fn run(&mut self) -> End {
        let mut settled = false;
        loop {
            match self.turn() {
                Ok(Some(wait)) => {
                    // From here on this thread sleeps most of the time.
                    if !std::mem::replace(&mut settled, true) {
                        threads::release_stack();
                    }
                    thread::park_timeout(wait);
                }
                Ok(None) => {}
                Err(end) => return end,
            }
        }
    }

    /// Does what can be done now. Then how long there is nothing to do, unless there is more right away.
    fn turn(&mut self) -> Result<Option<Duration>, End> {
        let ready = self.socket.get_ref().take_ready();
        if ready || self.more {
            self.more = self.read()?;
        }
        if ready || !self.blocked {
            self.write()?;
        }
        if self.channel.is_too_slow(self.blocked) {
            self.channel.count_as_too_slow();
            let sentence = "Too many messages are waiting for this connection.";
            return Err(End::ProtocolError(ErrorCode::TooSlow, CloseCode::Again, sentence));
        }
        let now = Instant::now();
        match self.heartbeat.poll(now) {
            HeartbeatAction::TimeOut => Err(End::Silent("nothing was heard of the browser")),
            HeartbeatAction::Ping => {
                // With a write under way there is no need to ask whether somebody takes it.
                if !self.blocked {
                    self.send(Message::Ping(Bytes::new()))?;
                    self.flush()?;
                }
                Ok(None)
            }
            HeartbeatAction::Wait(_) if self.more => Ok(None),
            HeartbeatAction::Wait(deadline) => Ok(Some(deadline.saturating_duration_since(now))),
        }
    }

    /// Reads what has arrived; true if there may be more.
    fn read(&mut self) -> Result<bool, End> {
        for _ in 0..READS_PER_TURN {
            let message = match self.socket.read() {
                Ok(message) => message,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(refused(error)),
            };
            self.heartbeat.received(Instant::now());
            match message {
                Message::Text(text) => self.say(&text)?,
                Message::Binary(_) => {
                    return Err(End::ProtocolError(
                        ErrorCode::NotText,
                        CloseCode::Unsupported,
                        "Messages are JSON text here.",
                    ));
                }
                Message::Close(frame) => self.left(frame),
                Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        Ok(true)
    }

    fn say(&mut self, text: &str) -> Result<(), End> {
        self.channel.send(ClientMessage::parse(text)).map_err(|_| End::Silent("the hub has ended"))
    }

    /// RFC 6455 §7.4.1: these are goodbyes of a page or its user. With any other code the page means to come back.
    fn left(&mut self, frame: Option<CloseFrame>) {
        if frame.is_none_or(|frame| matches!(frame.code, CloseCode::Normal | CloseCode::Away | CloseCode::Status)) {
            self.channel.set_left();
        }
    }

    /// Writes what waits, as long as the system takes it.
    fn write(&mut self) -> Result<(), End> {
        self.flush()?;
        while !self.blocked {
            if let Some(text) = self.texts.next() {
                self.send(Message::Text((&*text).into()))?;
                continue;
            }
            match self.channel.try_recv() {
                Ok(Some(Delivery::Text(text))) => self.send(Message::Text((&*text).into()))?,
                Ok(Some(Delivery::Texts(texts))) => {
                    // It is in: only those who are get a welcome.
                    self.entry.keep();
                    self.texts = texts.into_iter();
                }
                Ok(Some(Delivery::Close(reason))) => return Err(told_to_close(reason)),
                Ok(None) => return self.flush(),
                Err(_) => return Err(End::Silent("the hub has given it up")),
            }
        }
        Ok(())
    }

    fn send(&mut self, message: Message) -> Result<(), End> {
        let sent = self.socket.write(message);
        self.note(sent)
    }

    fn flush(&mut self) -> Result<(), End> {
        let flushed = self.socket.flush();
        self.note(flushed)
    }

    fn note(&mut self, written: Result<(), Error>) -> Result<(), End> {
        self.blocked = false;
        match written {
            Ok(()) => Ok(()),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Ok(())
            }
            Err(error) => Err(End::Gone(error)),
        }
    }

    /// The closing handshake (RFC 6455 §7.1.2), in plain blocking calls that cannot take long.
    fn say_goodbye(mut self, end: End) -> io::Result<()> {
        let (code, sentence) = match end {
            End::Gone(Error::ConnectionClosed) => return Ok(()),
            End::Gone(error) => return Err(io::Error::other(error)),
            End::Silent(why) => return Err(io::Error::other(why)),
            End::Ours(code, sentence) | End::ProtocolError(_, code, sentence) => (code, sentence),
        };
        self.socket.get_ref().block_for(GOODBYE)?;
        if let End::ProtocolError(code, ..) = end {
            let text = ServerMessage::Error { code, message: sentence }.to_json();
            self.socket.send(Message::Text((&*text).into())).map_err(io::Error::other)?;
        }
        self.socket.close(Some(CloseFrame { code, reason: sentence.into() })).map_err(io::Error::other)?;
        self.socket.get_mut().end(GOODBYE);
        Ok(())
    }
}

/// PeerEvent to do about what cannot be read.
fn refused(error: Error) -> End {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => {
            End::ProtocolError(ErrorCode::TooLarge, CloseCode::Size, "A message has 64 KiB at most.")
        }
        Error::Utf8(_) => End::Ours(CloseCode::Invalid, "Text is UTF-8."),
        Error::Protocol(
            tungstenite::error::ProtocolError::ResetWithoutClosingHandshake, //
        ) => End::Gone(error),
        Error::Protocol(_) => End::Ours(CloseCode::Protocol, "This is not RFC 6455."),
        error => End::Gone(error),
    }
}

/// The message that says why has been sent already.
fn told_to_close(reason: CloseReason) -> End {
    match reason {
        CloseReason::TooManyMessages => End::Ours(CloseCode::Policy, "too many messages"),
        CloseReason::RoomFull => End::Ours(CloseCode::Again, "full"),
        CloseReason::Replaced => End::Ours(CloseCode::Library(REPLACED), "replaced"),
        CloseReason::GoingAway => End::Ours(CloseCode::Away, "going away"),
        CloseReason::Left => End::Ours(CloseCode::Normal, "goodbye"),
        CloseReason::Removed => End::Ours(CloseCode::Library(REMOVED), "removed"),
        CloseReason::RoomLocked => End::Ours(CloseCode::Library(ROOM_LOCKED), "locked"),
        CloseReason::RoomEnded => End::Ours(CloseCode::Library(ROOM_ENDED), "ended"),
    }
}
