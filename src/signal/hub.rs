//! The thread `hub`: owns [`Rooms`] and the sending end of every peer's outbox. It takes one event at a time, does what
//! the rooms say, and never waits for a peer. It reads no socket; the threads of the connections do, and are woken by
//! `unpark` when there is something for them to send.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded, unbounded};

use crate::ids::names::RoomName;
use crate::ids::peer::ResumeToken;
use crate::observe::metrics::Counter;
use crate::observe::reports::{self, Report};
use crate::signal::messages::ClientMessage;
use crate::signal::metrics::RoomMetrics;
use crate::signal::rooms::{Closure, JoinRequest, Limits, Link, Output, PeerEvent, Reason, Rooms, ServerInfo};

/// Events of all connections that wait for the hub. Full means that a connection's thread waits, and with it its browser.
const EVENTS: usize = 4096;
/// Messages that may wait for a browser that takes none. One more, and it is closed as too slow.
pub const OUTBOX: usize = 64;
/// Messages that may wait for a connection's thread, which may not have had its turn on the processor yet: a newcomer
/// to a room sends more than [`OUTBOX`] at once, and nobody is at fault. One more, and the peer is closed as too slow.
const BACKLOG: usize = 1024;
/// How long a stop waits for connections to say goodbye.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// PeerEvent the hub is told.
enum Event {
    Opened { arrival: JoinRequest, desk: Outbox },
    ClientMessage { link: Link, said: ClientMessage },
    Closed { link: Link, ending: Closure },
    Stop,
}

/// PeerEvent a connection's thread is given.
#[derive(Clone, Debug)]
pub enum Delivery {
    /// Send this.
    Text(Arc<str>),
    /// Send all of this: one item, so that a full room's history is not taken for slowness.
    Texts(Vec<Arc<str>>),
    /// Say goodbye and close.
    Close(Reason),
}

/// The hub's side of one connection.
struct Outbox {
    outbox: Sender<Delivery>,
    overdue: Arc<AtomicBool>,
    thread: Thread,
}

/// How connections reach the hub.
#[derive(Clone, Debug)]
pub struct Handle {
    events: Sender<Event>,
    links: Arc<AtomicU64>,
    limits: Arc<Limits>,
    metrics: RoomMetrics,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Event")
    }
}

impl Handle {
    /// PeerEvent is put up with.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Asks for a seat, a host's if it has the right to one, for the thread that calls: it is the one that is woken. PeerEvent
    /// becomes of it is delivered.
    ///
    /// # Errors
    /// If the hub has ended.
    pub fn open(&self, room: RoomName, token: ResumeToken, stations: Vec<String>, host: bool) -> io::Result<Line> {
        let link = Link(self.links.fetch_add(1, Ordering::Relaxed));
        // Bounded by its only sender, the hub: a channel that reserves its places would weigh 32 KiB for each idle peer.
        let (sender, outbox) = unbounded();
        let overdue = Arc::new(AtomicBool::new(false));
        let desk = Outbox { outbox: sender, overdue: Arc::clone(&overdue), thread: thread::current() };
        let arrival = JoinRequest { link, room, token, stations, host };
        self.events.send(Event::Opened { arrival, desk }).map_err(|_| hub_ended())?;
        let too_slow = self.metrics.too_slow.clone();
        Ok(Line { link, events: self.events.clone(), outbox, overdue, ending: Closure::Dropped, too_slow })
    }
}

fn hub_ended() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the hub has ended")
}

/// A connection's side: one for each, and its end is the peer's.
#[derive(Debug)]
pub struct Line {
    link: Link,
    events: Sender<Event>,
    outbox: Receiver<Delivery>,
    overdue: Arc<AtomicBool>,
    ending: Closure,
    too_slow: Counter,
}

impl Line {
    /// Passes on what the browser said; waits while the hub is behind.
    ///
    /// # Errors
    /// If the hub has ended.
    pub fn say(&self, said: ClientMessage) -> io::Result<()> {
        self.events.send(Event::ClientMessage { link: self.link, said }).map_err(|_| hub_ended())
    }

    /// PeerEvent to do next, if there is anything.
    ///
    /// # Errors
    /// If the hub has given this connection up and all has been taken.
    pub fn take(&self) -> io::Result<Option<Delivery>> {
        match self.outbox.try_recv() {
            Ok(delivery) => Ok(Some(delivery)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(hub_ended()),
        }
    }

    /// More is waiting than may wait for a browser that takes messages, or, if it is `blocked`, for one that takes none.
    pub fn is_overdue(&self, blocked: bool) -> bool {
        self.overdue.load(Ordering::Acquire) || (blocked && self.outbox.len() > OUTBOX)
    }

    /// Counts this peer among those that were too slow.
    pub fn too_slow(&self) {
        self.too_slow.add(1);
    }

    /// The browser said goodbye, so its seat need not be kept.
    pub fn left(&mut self) {
        self.ending = Closure::Left;
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Fails only if there is no hub any more to care.
        let _ = self.events.send(Event::Closed { link: self.link, ending: self.ending });
    }
}

/// The running hub.
#[derive(Debug)]
pub struct Hub {
    /// For the threads of connections.
    pub handle: Handle,
    thread: JoinHandle<()>,
}

/// Starts the thread.
///
/// # Errors
/// If the system has no thread to give.
pub fn start(limits: Limits, facts: ServerInfo, metrics: RoomMetrics, reports: Sender<Report>) -> io::Result<Hub> {
    let (sender, events) = bounded(EVENTS);
    let handle =
        Handle { events: sender, links: Arc::default(), limits: Arc::new(limits.clone()), metrics: metrics.clone() };
    let hub = HubThread { rooms: Rooms::new(limits, facts), desks: HashMap::new(), events, metrics };
    let thread = reports::spawn("hub".into(), reports, move || hub.run())?;
    Ok(Hub { handle, thread })
}

impl Hub {
    /// Tells every browser that the server goes away, and returns when they have been told or a second has passed.
    ///
    /// # Errors
    /// The panic's payload, if the thread had panicked.
    pub fn stop(self) -> thread::Result<()> {
        // A full queue is drained by the thread; `send` waits for it.
        let _ = self.handle.events.send(Event::Stop);
        self.thread.join()
    }
}

struct HubThread {
    rooms: Rooms,
    desks: HashMap<Link, Outbox>,
    events: Receiver<Event>,
    metrics: RoomMetrics,
}

impl HubThread {
    fn run(mut self) {
        loop {
            let deadline = self.drain();
            match self.events.recv_deadline(deadline) {
                Ok(Event::Stop) => break,
                Ok(event) => self.handle_event(event, Instant::now()),
                Err(RecvTimeoutError::Timeout) => self.rooms.handle_timeout(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        self.rooms.close_all();
        self.drain();
        self.await_goodbyes();
    }

    fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::Opened { arrival, desk } => {
                self.desks.insert(arrival.link, desk);
                self.rooms.open(arrival, now);
            }
            Event::ClientMessage { link, said } => {
                self.metrics.messages.add(1);
                self.rooms.say(link, said, now);
            }
            Event::Closed { link, ending } => {
                self.desks.remove(&link);
                self.rooms.close(link, ending, now);
            }
            Event::Stop => {}
        }
    }

    /// Does all that the rooms want. Until when there is nothing more.
    fn drain(&mut self) -> Instant {
        let now = Instant::now();
        loop {
            match self.rooms.poll_output(now) {
                Output::Send { link, text } => self.deliver(link, Delivery::Text(text), now),
                Output::Welcome { link, texts } => self.deliver(link, Delivery::Texts(texts), now),
                Output::Close { link, reason } => self.close(link, reason),
                Output::PeerChanged { peer, what, here } => {
                    self.count(what);
                    log::info!("peer {}: {}, {here} in its room", peer.short(), word(what));
                }
                Output::Wait(deadline) => return deadline,
            }
        }
    }

    fn deliver(&mut self, link: Link, delivery: Delivery, now: Instant) {
        let Some(desk) = self.desks.get(&link) else { return };
        if desk.outbox.len() < BACKLOG {
            // A thread that has ended has said so, or will.
            let _ = desk.outbox.try_send(delivery);
            return desk.thread.unpark();
        }
        desk.overdue.store(true, Ordering::Release);
        desk.thread.unpark();
        self.desks.remove(&link);
        self.rooms.close(link, Closure::Dropped, now);
    }

    fn close(&mut self, link: Link, reason: Reason) {
        let Some(desk) = self.desks.get(&link) else { return };
        if matches!(reason, Reason::RoomFull | Reason::RoomLocked) {
            self.metrics.refused.add(1);
        }
        let _ = desk.outbox.try_send(Delivery::Close(reason));
        desk.thread.unpark();
    }

    fn count(&self, what: PeerEvent) {
        if what == PeerEvent::Joined {
            self.metrics.joined.add(1);
        }
        self.metrics.rooms.set(self.rooms.rooms() as u64);
        self.metrics.peers.set(self.rooms.peers() as u64);
        self.metrics.connected.set(self.rooms.connected() as u64);
    }

    fn await_goodbyes(&mut self) {
        let deadline = Instant::now() + STOP_PATIENCE;
        while !self.desks.is_empty() {
            match self.events.recv_deadline(deadline) {
                Ok(Event::Closed { link, .. }) => drop(self.desks.remove(&link)),
                Ok(Event::Opened { desk, .. }) => drop(desk),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

fn word(what: PeerEvent) -> &'static str {
    match what {
        PeerEvent::Joined => "in",
        PeerEvent::Away => "away",
        PeerEvent::Resumed => "back",
        PeerEvent::Left => "gone",
    }
}
