//! The two directions between a WebSocket's thread and the hub: events to the hub, deliveries to the thread. A thread that
//! waits for its socket is woken by `unpark` when there is a delivery. Nothing is decided here.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};

use crossbeam_channel::{Receiver, Sender, TryRecvError, unbounded};

use crate::observe::metrics::Counter;
use crate::signal::client_message::ClientMessage;
use crate::signal::events::{CloseReason, ConnectionId, Disconnect, JoinRequest};
use crate::signal::protocol_error::ProtocolError;

/// Deliveries that may wait for a browser that takes none. With one more, it is closed as too slow.
const MAX_WAITING_BLOCKED: usize = 64;
/// Deliveries that may wait for a WebSocket's thread, which may not have had its turn on the processor yet: a newcomer to a
/// room sends more than [`MAX_WAITING_BLOCKED`] messages at once, which does not mean that a peer is slow. With one more, the
/// peer is closed as too slow.
const MAX_WAITING: usize = 1024;

/// What happened, for the hub.
pub(crate) enum Event {
    /// A client asked to join; what it is to be sent goes to the outbox.
    JoinRequested { request: JoinRequest, outbox: Outbox },
    /// A client sent a message, or something that is none.
    MessageReceived { connection: ConnectionId, message: Result<ClientMessage, ProtocolError> },
    /// A connection ended.
    Disconnected { connection: ConnectionId, disconnect: Disconnect },
    /// The server stops.
    StopRequested,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Event")
    }
}

/// What a WebSocket's thread is to do.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Send this message.
    Text(Arc<str>),
    /// Send all of these. They are one delivery, so that a full room's history is not taken for slowness.
    Texts(Vec<Arc<str>>),
    /// Send a close frame and close.
    Close(CloseReason),
}

/// The hub's side: sends deliveries and never waits.
pub(crate) struct Outbox {
    /// Unbounded in type, bounded by its only sender in [`Outbox::deliver`]: a bounded channel reserves its places, which
    /// would take 32 KiB for each idle peer.
    deliveries: Sender<Delivery>,
    overflowed: Arc<AtomicBool>,
    thread: Thread,
}

/// The side of a WebSocket's thread. When it is dropped, the hub learns that the connection has ended.
#[derive(Debug)]
pub struct PeerChannel {
    connection: ConnectionId,
    events: Sender<Event>,
    deliveries: Receiver<Delivery>,
    overflowed: Arc<AtomicBool>,
    disconnect: Disconnect,
    too_slow: Counter,
}

/// Both sides for the calling thread, which is the one that is woken.
pub(crate) fn pair(connection: ConnectionId, events: Sender<Event>, too_slow: Counter) -> (Outbox, PeerChannel) {
    let (sender, deliveries) = unbounded();
    let overflowed = Arc::new(AtomicBool::new(false));
    let outbox = Outbox { deliveries: sender, overflowed: Arc::clone(&overflowed), thread: thread::current() };
    let channel = PeerChannel { connection, events, deliveries, overflowed, disconnect: Disconnect::Dropped, too_slow };
    (outbox, channel)
}

pub(crate) fn hub_ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the hub has ended")
}

impl Outbox {
    /// Hands a delivery to the WebSocket's thread and wakes it. False if too many wait already: then nothing is handed
    /// over, and the thread closes the connection as too slow.
    pub fn deliver(&self, delivery: Delivery) -> bool {
        let has_space = self.deliveries.len() < MAX_WAITING;
        if has_space {
            self.send(delivery);
        } else {
            self.overflowed.store(true, Ordering::Release);
            self.thread.unpark();
        }
        has_space
    }

    /// Tells the WebSocket's thread to close, however much waits before that.
    pub fn close(&self, reason: CloseReason) {
        self.send(Delivery::Close(reason));
    }

    fn send(&self, delivery: Delivery) {
        // Fails only if the thread has ended; the hub is told so by `Disconnected`.
        let _ = self.deliveries.try_send(delivery);
        self.thread.unpark();
    }
}

impl PeerChannel {
    /// Passes on what the client sent, or what is wrong with it; waits while the hub is behind.
    ///
    /// # Errors
    /// If the hub has ended.
    pub fn send(&self, message: Result<ClientMessage, ProtocolError>) -> io::Result<()> {
        self.events.send(Event::MessageReceived { connection: self.connection, message }).map_err(|_| hub_ended())
    }

    /// The next delivery, if there is one; never waits.
    ///
    /// # Errors
    /// If the hub has dropped this connection and all deliveries have been taken.
    pub fn try_recv(&self) -> io::Result<Option<Delivery>> {
        match self.deliveries.try_recv() {
            Ok(delivery) => Ok(Some(delivery)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(hub_ended()),
        }
    }

    /// Whether more deliveries wait than may. `blocked`: the browser takes nothing at present, so fewer may wait.
    pub fn is_too_slow(&self, blocked: bool) -> bool {
        self.overflowed.load(Ordering::Acquire) || (blocked && self.deliveries.len() > MAX_WAITING_BLOCKED)
    }

    /// Counts this peer among those that were closed as too slow.
    pub fn count_as_too_slow(&self) {
        self.too_slow.add(1);
    }

    /// The client said that it will not come back, so its place need not be reserved.
    pub fn set_left(&mut self) {
        self.disconnect = Disconnect::Left;
    }
}

impl Drop for PeerChannel {
    fn drop(&mut self) {
        // Fails only if the hub has ended.
        let _ = self.events.send(Event::Disconnected { connection: self.connection, disconnect: self.disconnect });
    }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;

    use super::*;

    fn text() -> Delivery {
        Delivery::Text("{}".into())
    }

    #[test]
    fn more_deliveries_may_wait_for_a_thread_than_for_a_blocked_browser() {
        let (events, _hub) = bounded(8);
        let (outbox, channel) = pair(ConnectionId(1), events, Counter::default());
        for _ in 0..MAX_WAITING_BLOCKED {
            assert!(outbox.deliver(text()));
        }
        assert!(!channel.is_too_slow(true));
        assert!(outbox.deliver(text()));
        assert!(channel.is_too_slow(true) && !channel.is_too_slow(false));
        for _ in MAX_WAITING_BLOCKED + 1..MAX_WAITING {
            assert!(outbox.deliver(text()));
        }
        assert!(!channel.is_too_slow(false));
        assert!(!outbox.deliver(text()), "one more than may wait");
        assert!(channel.is_too_slow(false));
    }

    #[test]
    fn dropping_the_channel_tells_the_hub_how_the_connection_ended() {
        let (events, hub) = bounded(8);
        let channel = |n| pair(ConnectionId(n), events.clone(), Counter::default()).1;
        drop(channel(1));
        let mut leaving = channel(2);
        leaving.set_left();
        drop(leaving);
        let ends: Vec<(ConnectionId, Disconnect)> = hub
            .try_iter()
            .map(|event| match event {
                Event::Disconnected { connection, disconnect } => (connection, disconnect),
                event => panic!("{event:?}"),
            })
            .collect();
        assert_eq!(ends, [(ConnectionId(1), Disconnect::Dropped), (ConnectionId(2), Disconnect::Left)]);
    }
}
