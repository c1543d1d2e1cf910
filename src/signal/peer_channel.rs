//! The two directions between a WebSocket's thread and the hub: events to the hub, deliveries to the thread. A thread that
//! waits for its socket is woken by `unpark` when there is a delivery. Nothing is decided here.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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

/// Bytes that may wait for one peer, without the delivery that exceeds them: [`MAX_WAITING_BLOCKED`] of the largest messages,
/// or the offers of some hundred peers.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;
/// While more than that waits for all peers together, fewer bytes may wait for each: a thousand peers that do not read must
/// not take the host's memory, and those that do read notice nothing.
const MAX_WAITING_BYTES_IN_ALL: usize = 64 * 1024 * 1024;
const MAX_WAITING_BYTES_WHEN_SCARCE: usize = 128 * 1024;

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

impl Delivery {
    fn bytes(&self) -> usize {
        match self {
            Delivery::Text(text) => text.len(),
            Delivery::Texts(texts) => texts.iter().map(|text| text.len()).sum(),
            Delivery::Close(_) => 0,
        }
    }
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
    waiting: Arc<Waiting>,
    thread: Thread,
}

/// What both sides know of the deliveries that wait.
#[derive(Debug)]
struct Waiting {
    /// There was one too many.
    overflowed: AtomicBool,
    bytes: AtomicUsize,
    /// Of all peers.
    bytes_in_all: Arc<AtomicUsize>,
}

impl Waiting {
    fn has_space(&self) -> bool {
        let is_scarce = self.bytes_in_all.load(Ordering::Relaxed) > MAX_WAITING_BYTES_IN_ALL;
        let max_bytes = if is_scarce { MAX_WAITING_BYTES_WHEN_SCARCE } else { MAX_WAITING_BYTES };
        self.bytes.load(Ordering::Relaxed) <= max_bytes
    }

    fn add(&self, bytes: usize) {
        self.bytes_in_all.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes_in_all.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        // Deliveries that were never taken.
        self.bytes_in_all.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// The side of a WebSocket's thread. When it is dropped, the hub learns that the connection has ended.
#[derive(Debug)]
pub struct PeerChannel {
    connection: ConnectionId,
    events: Sender<Event>,
    deliveries: Receiver<Delivery>,
    waiting: Arc<Waiting>,
    /// Bytes of the delivery that was taken last, which may still be written. They count as waiting.
    taken_bytes: usize,
    disconnect: Disconnect,
    too_slow: Counter,
}

/// Both sides for the calling thread, which is the one that is woken. `bytes_in_all` is what waits for all peers.
pub(crate) fn pair(
    connection: ConnectionId,
    events: Sender<Event>,
    too_slow: Counter,
    bytes_in_all: Arc<AtomicUsize>,
) -> (Outbox, PeerChannel) {
    let (sender, deliveries) = unbounded();
    let waiting = Arc::new(Waiting { overflowed: AtomicBool::new(false), bytes: AtomicUsize::new(0), bytes_in_all });
    let outbox = Outbox { deliveries: sender, waiting: Arc::clone(&waiting), thread: thread::current() };
    let disconnect = Disconnect::Dropped;
    let channel = PeerChannel { connection, events, deliveries, waiting, taken_bytes: 0, disconnect, too_slow };
    (outbox, channel)
}

pub(crate) fn hub_ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the hub has ended")
}

impl Outbox {
    /// Hands a delivery to the WebSocket's thread and wakes it. False if too many wait already: then nothing is handed
    /// over, and the thread closes the connection as too slow.
    pub fn deliver(&self, delivery: Delivery) -> bool {
        let has_space = self.deliveries.len() < MAX_WAITING && self.waiting.has_space();
        if has_space {
            self.send(delivery);
        } else {
            self.waiting.overflowed.store(true, Ordering::Release);
            self.thread.unpark();
        }
        has_space
    }

    /// Tells the WebSocket's thread to close, however much waits before that.
    pub fn close(&self, reason: CloseReason) {
        self.send(Delivery::Close(reason));
    }

    fn send(&self, delivery: Delivery) {
        self.waiting.add(delivery.bytes());
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

    /// The next delivery, if there is one; never waits. What was taken before has been written.
    ///
    /// # Errors
    /// If the hub has dropped this connection and all deliveries have been taken.
    pub fn try_recv(&mut self) -> io::Result<Option<Delivery>> {
        self.waiting.remove(std::mem::take(&mut self.taken_bytes));
        match self.deliveries.try_recv() {
            Ok(delivery) => {
                self.taken_bytes = delivery.bytes();
                Ok(Some(delivery))
            }
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(hub_ended()),
        }
    }

    /// Whether more deliveries wait than may. `blocked`: the browser takes nothing at present, so fewer may wait.
    pub fn is_too_slow(&self, blocked: bool) -> bool {
        self.waiting.overflowed.load(Ordering::Acquire) || (blocked && self.deliveries.len() > MAX_WAITING_BLOCKED)
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
        let (outbox, channel) = pair(ConnectionId(1), events, Counter::default(), Arc::default());
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
    fn bytes_that_wait_are_limited_for_each_peer_and_more_so_while_much_waits_for_all() {
        let in_all = Arc::new(AtomicUsize::new(0));
        let (events, _hub) = bounded(64);
        let of = |n| pair(ConnectionId(n), events.clone(), Counter::default(), Arc::clone(&in_all));
        let big = Delivery::Text("x".repeat(64 * 1024).into());
        let fill = |outbox: &Outbox| (0..MAX_WAITING).take_while(|_| outbox.deliver(big.clone())).count() * 64;
        let (deaf, mut of_deaf) = of(1);
        assert_eq!(fill(&deaf), 4 * 1024 + 64);
        assert!(of_deaf.is_too_slow(false));
        // What was taken is given back with the next, since it is written only then.
        for _ in 0..3 {
            of_deaf.try_recv().unwrap().unwrap();
        }
        assert_eq!(in_all.load(Ordering::Relaxed), (4 * 1024 + 64 - 2 * 64) * 1024);
        let others: Vec<_> = (2..60).map(of).collect();
        let kib: Vec<usize> = others.iter().map(|(outbox, _)| fill(outbox)).collect();
        assert!(kib.ends_with(&[192, 192, 192]), "{kib:?}");
        assert!(in_all.load(Ordering::Relaxed) < 80 * 1024 * 1024);
        drop((deaf, of_deaf, others));
        assert_eq!(in_all.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn dropping_the_channel_tells_the_hub_how_the_connection_ended() {
        let (events, hub) = bounded(8);
        let channel = |n| pair(ConnectionId(n), events.clone(), Counter::default(), Arc::default()).1;
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
