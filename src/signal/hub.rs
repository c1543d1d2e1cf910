//! The thread `hub`: owns [`Rooms`] and the outbox of every connection. It takes one event at a time, does what the rooms
//! ask for, and never waits for a peer. It reads no socket; the threads of the connections do.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::ids::names::RoomName;
use crate::ids::peer::ResumeToken;
use crate::net::shared_rate_limiter::SharedRateLimiter;
use crate::observe::reports::{self, Report};
use crate::observe::service::Running;
use crate::signal::events::{CloseReason, ConnectionId, Disconnect, JoinRequest, Output, PeerEvent, ServerInfo};
use crate::signal::limits::RoomLimits;
use crate::signal::metrics::RoomMetrics;
use crate::signal::peer_channel::{self, Delivery, Event, Outbox, PeerChannel};
use crate::signal::rooms::Rooms;

/// Events of all connections that wait for the hub. When the queue is full, a connection's thread waits, and with it its
/// browser.
const MAX_EVENTS: usize = 4096;
/// After a pause, the peers of an address may send so many seconds' worth of messages at once.
const ADDRESS_BURST_S: f64 = 10.0;
/// How long a stop waits for connections to end after they were told to close.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// What the hub is started with.
#[derive(Clone, Debug, Default)]
pub struct HubSetup {
    /// Limits of rooms and peers.
    pub limits: RoomLimits,
    /// What newcomers are told about the server.
    pub server: ServerInfo,
    /// Counters to write to.
    pub metrics: RoomMetrics,
}

/// How connections reach the hub.
#[derive(Clone, Debug)]
pub struct Handle {
    events: Sender<Event>,
    next_connection: Arc<AtomicU64>,
    limits: Arc<RoomLimits>,
    metrics: RoomMetrics,
    /// What the peers of each address send.
    senders: Arc<SharedRateLimiter>,
    /// What waits in all outboxes together.
    waiting_bytes: Arc<AtomicUsize>,
}

/// Starts the thread. [`Running::stop`] tells every browser that the server goes away, and returns when all connections
/// have ended or a second has passed.
///
/// # Errors
/// If the operating system cannot start a thread.
pub fn start(setup: HubSetup, reports: Sender<Report>) -> io::Result<Running<Handle>> {
    let HubSetup { limits, server, metrics } = setup;
    let (sender, events) = bounded(MAX_EVENTS);
    let messages_per_s = f64::from(limits.address_messages_per_s);
    let handle = Handle {
        senders: Arc::new(SharedRateLimiter::new(messages_per_s, ADDRESS_BURST_S * messages_per_s)),
        waiting_bytes: Arc::default(),
        events: sender.clone(),
        next_connection: Arc::default(),
        limits: Arc::new(limits.clone()),
        metrics: metrics.clone(),
    };
    let hub = Hub { rooms: Rooms::new(limits, server), outboxes: HashMap::new(), events, metrics };
    let thread = reports::spawn("hub".into(), reports, move || hub.run())?;
    // If the queue is full, the request waits until the hub has taken an event. It fails only if the hub has ended.
    let ask_to_stop = move || drop(sender.send(Event::StopRequested));
    Ok(Running::new(handle, vec![thread], ask_to_stop))
}

impl Handle {
    /// The limits of rooms and peers.
    pub fn limits(&self) -> &RoomLimits {
        &self.limits
    }

    /// Asks to join a room, or to come back to it, for the calling thread: it is the one that is woken. The answer comes as
    /// a [`Delivery`].
    ///
    /// # Errors
    /// If the hub has ended.
    pub fn join(
        &self,
        client: IpAddr,
        room: RoomName,
        token: ResumeToken,
        stations: Vec<String>,
        moderator: bool,
    ) -> io::Result<PeerChannel> {
        let connection = ConnectionId(self.next_connection.fetch_add(1, Ordering::Relaxed));
        let (outbox, channel) = peer_channel::pair(
            connection,
            self.events.clone(),
            self.metrics.too_slow.clone(),
            Arc::clone(&self.waiting_bytes),
        );
        let request = JoinRequest { connection, client, room, token, stations, moderator };
        let requested = self.events.send(Event::JoinRequested { request, outbox });
        requested.map(|()| channel).map_err(|_| peer_channel::hub_ended())
    }

    /// A peer of this address has sent so many messages. Returns how long to wait before the next is read, so that all peers
    /// of one address together send no more than they may; each of them waits for its turn.
    pub fn charge(&self, client: IpAddr, messages: f64, now: Instant) -> Duration {
        self.senders.charge(client, messages, now)
    }
}

struct Hub {
    rooms: Rooms,
    outboxes: HashMap<ConnectionId, Outbox>,
    events: Receiver<Event>,
    metrics: RoomMetrics,
}

impl Hub {
    fn run(mut self) {
        loop {
            let deadline = self.drain();
            match self.events.recv_deadline(deadline) {
                Ok(Event::StopRequested) => break,
                Ok(event) => self.handle_event(event, Instant::now()),
                Err(RecvTimeoutError::Timeout) => self.rooms.handle_timeout(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        self.rooms.close_all();
        self.drain();
        self.wait_for_connections_to_end();
    }

    fn handle_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::JoinRequested { request, outbox } => {
                self.outboxes.insert(request.connection, outbox);
                self.rooms.join(request, now);
            }
            Event::MessageReceived { connection, message } => {
                self.metrics.messages.add(1);
                self.rooms.handle_message(connection, message, now);
            }
            Event::Disconnected { connection, disconnect } => {
                self.outboxes.remove(&connection);
                self.rooms.handle_disconnect(connection, disconnect, now);
            }
            Event::StopRequested => {}
        }
    }

    /// Does all that the rooms ask for; returns until when there is nothing more.
    fn drain(&mut self) -> Instant {
        let now = Instant::now();
        loop {
            match self.rooms.poll_output(now) {
                Output::Send { connection, text } => self.deliver(connection, Delivery::Text(text), now),
                Output::Welcome { connection, texts } => self.deliver(connection, Delivery::Texts(texts), now),
                Output::Close { connection, reason } => self.close(connection, reason),
                Output::PeerChanged { peer, event, in_room } => {
                    self.update_metrics(event);
                    log::info!("peer {}: {}, {in_room} in room", peer.short(), description(event));
                }
                Output::Wait(deadline) => return deadline,
            }
        }
    }

    fn deliver(&mut self, connection: ConnectionId, delivery: Delivery, now: Instant) {
        let Some(outbox) = self.outboxes.get(&connection) else { return };
        if !outbox.deliver(delivery) {
            self.outboxes.remove(&connection);
            self.rooms.handle_disconnect(connection, Disconnect::Dropped, now);
        }
    }

    fn close(&mut self, connection: ConnectionId, reason: CloseReason) {
        let Some(outbox) = self.outboxes.get(&connection) else { return };
        if matches!(reason, CloseReason::RoomFull | CloseReason::RoomLocked) {
            self.metrics.refused.add(1);
        }
        outbox.close(reason);
    }

    fn update_metrics(&self, event: PeerEvent) {
        if event == PeerEvent::Joined {
            self.metrics.joined.add(1);
        }
        self.metrics.rooms.set(self.rooms.room_count() as u64);
        self.metrics.peers.set(self.rooms.peer_count() as u64);
        self.metrics.connected.set(self.rooms.connected_count() as u64);
    }

    fn wait_for_connections_to_end(&mut self) {
        let deadline = Instant::now() + STOP_PATIENCE;
        while !self.outboxes.is_empty() {
            match self.events.recv_deadline(deadline) {
                Ok(Event::Disconnected { connection, .. }) => drop(self.outboxes.remove(&connection)),
                Ok(Event::JoinRequested { outbox, .. }) => drop(outbox),
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

fn description(event: PeerEvent) -> &'static str {
    match event {
        PeerEvent::Joined => "joined",
        PeerEvent::Disconnected => "disconnected, place reserved",
        PeerEvent::Resumed => "resumed",
        PeerEvent::Left => "left",
    }
}
