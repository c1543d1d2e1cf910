//! The rtc thread: drives the [`Fanout`] with datagrams, packets, commands and time.
//!
//! It owns the UDP socket and every session. It blocks in one place, on socket, doorbell and the next deadline; commands
//! and packets come through bounded channels whose senders ring the doorbell. New sessions are built on the thread that
//! asks for them, so that reading a stranger's SDP costs the listeners nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::{Events, Interest, Poll, Token, Waker};

use crate::audio::pcm::OpusPacket;
use crate::observe::memory::Tide;
use crate::observe::metrics::{RtcMetrics, StationMetrics};
use crate::observe::reports::{self, Report};
use crate::priority;
use crate::quota::{Seat, Seats};
use crate::rtc::batch::Batch;
use crate::rtc::candidates;
use crate::rtc::datagrams::{Datagrams, Flushed};
use crate::rtc::fanout::{Fanout, Output};
use crate::rtc::listener::{Listener, SessionConfig};
use crate::rtc::session::{Admitted, IfMatch, ListenerId, Offer, PatchRefusal, Patched, Refusal};

/// Commands that wait for the rtc thread. Full means the client is told to come again.
const COMMANDS: usize = 256;

/// Packets that wait for the rtc thread, of all stations. Full means the oldest is dropped and counted: 64 packets are
/// more than a second of sound, and a delay once built up would never go away.
const PACKETS: usize = 64;

/// How long a command may wait for its reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Batches of datagrams read in one turn before commands, packets and deadlines are looked after again.
const READS_PER_TURN: usize = 16;

/// How long the kernel may take over the last datagrams.
const GOODBYES_WITHIN: Duration = Duration::from_secs(1);

const SOCKET: Token = Token(0);
const DOORBELL: Token = Token(1);

/// What the engine needs to know of a station.
#[derive(Clone, Debug)]
pub struct StationSetup {
    /// Whether it has two channels.
    pub stereo: bool,
    /// Whether it carries in-band FEC.
    pub fec: bool,
    /// Duration of its packets, rounded up to whole milliseconds.
    pub packet_ms: u8,
    /// Where its listeners and dropped packets are counted.
    pub metrics: Arc<StationMetrics>,
}

/// How the engine is set up.
#[derive(Clone, Debug)]
pub struct EngineSetup {
    /// The stations, in the order their index is used everywhere.
    pub stations: Vec<StationSetup>,
    /// Sessions in all; an offer beyond that is refused.
    pub max_listeners: usize,
    /// The same for one client's address.
    pub max_listeners_per_address: usize,
    /// Where the engine counts.
    pub metrics: Arc<RtcMetrics>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.shared.local)
    }
}

enum Command {
    Admit { listener: Box<Listener>, seat: Seat, reply: Sender<bool> },
    Patch { id: ListenerId, fragment: String, if_match: IfMatch, reply: Sender<Result<Patched, PatchRefusal>> },
    Dismiss { id: ListenerId, reply: Sender<bool> },
    Close,
}

/// How other threads reach the rtc thread. Every call waits for the reply, for 5 s at the most.
#[derive(Clone)]
pub struct Handle {
    commands: Sender<Command>,
    doorbell: Arc<Waker>,
    shared: Arc<Shared>,
}

/// What does not change, and who is on air.
struct Shared {
    sessions: Vec<SessionConfig>,
    on_air: Vec<AtomicBool>,
    local: SocketAddr,
    max_listeners: usize,
    seats: Seats,
    metrics: Arc<RtcMetrics>,
}

/// The encoder's end of the packet queue of one station.
#[derive(Clone)]
pub struct PacketSender {
    station: usize,
    packets: Sender<(usize, OpusPacket)>,
    /// The other end, to take the oldest out when the queue is full.
    oldest: Receiver<(usize, OpusPacket)>,
    doorbell: Arc<Waker>,
    shared: Arc<Shared>,
    metrics: Arc<StationMetrics>,
}

/// The running engine.
pub struct Engine {
    /// For the threads that answer clients.
    pub handle: Handle,
    /// One for each station.
    pub senders: Vec<PacketSender>,
    thread: JoinHandle<()>,
}

/// Starts the rtc thread on a bound socket.
///
/// # Errors
/// If the operating system denies a poll, a thread or what UDP needs.
pub fn start(socket: std::net::UdpSocket, setup: EngineSetup, reports: Sender<Report>) -> io::Result<Engine> {
    start_thread(socket, setup, reports, true)
}

/// The same, but every packet goes through str0m: the reference that benches and tests compare with.
///
/// # Errors
/// As [`start`].
pub fn start_unsealed(socket: std::net::UdpSocket, setup: EngineSetup, reports: Sender<Report>) -> io::Result<Engine> {
    start_thread(socket, setup, reports, false)
}

fn start_thread(
    socket: std::net::UdpSocket,
    setup: EngineSetup,
    reports: Sender<Report>,
    seal: bool,
) -> io::Result<Engine> {
    let local = socket.local_addr()?;
    let mut datagrams = Datagrams::new(socket)?;
    let poll = Poll::new()?;
    poll.registry().register(datagrams.source(), SOCKET, Interest::READABLE | Interest::WRITABLE)?;
    let doorbell = Arc::new(Waker::new(poll.registry(), DOORBELL)?);
    let (command_sender, commands) = bounded(COMMANDS);
    let (packet_sender, packets) = bounded(PACKETS);
    let shared = Arc::new(Shared {
        sessions: session_configs(&setup.stations, seal)?,
        on_air: setup.stations.iter().map(|_| AtomicBool::new(false)).collect(),
        local,
        max_listeners: setup.max_listeners,
        seats: Seats::new(setup.max_listeners_per_address),
        metrics: setup.metrics,
    });
    let senders = (setup.stations.iter().enumerate())
        .map(|(station, it)| PacketSender {
            station,
            packets: packet_sender.clone(),
            oldest: packets.clone(),
            doorbell: doorbell.clone(),
            shared: shared.clone(),
            metrics: it.metrics.clone(),
        })
        .collect();
    let handle = Handle { commands: command_sender, doorbell, shared: shared.clone() };
    let rtc = RtcThread {
        fanout: Fanout::default(),
        datagrams,
        poll,
        commands,
        packets,
        shared,
        stations: setup.stations,
        tide: Tide::new(reports.clone()),
        seats: HashMap::new(),
        closing: false,
        batch: Batch::default(),
    };
    let thread = reports::spawn("rtc".into(), reports, move || {
        priority::raise();
        rtc.run();
    })?;
    Ok(Engine { handle, senders, thread })
}

/// One certificate for the process: making one for every session would cost more than the rest of its setup.
fn session_configs(stations: &[StationSetup], seal: bool) -> io::Result<Vec<SessionConfig>> {
    let certificate = str0m::crypto::from_feature_flags()
        .dtls_provider
        .generate_certificate()
        .ok_or_else(|| io::Error::other("the crypto library made no DTLS certificate"))?;
    let config = |station: &StationSetup| SessionConfig {
        certificate: certificate.clone(),
        stereo: station.stereo,
        fec: station.fec,
        min_packet_ms: station.packet_ms,
        seal,
    };
    Ok(stations.iter().map(config).collect())
}

impl Engine {
    /// Says goodbye to every listener and waits for the thread to end. An error means that the thread panicked.
    ///
    /// # Errors
    /// The panic's payload.
    pub fn stop(self) -> thread::Result<()> {
        // A full queue is drained by the thread; `send` waits for it.
        let _ = self.handle.commands.send(Command::Close);
        let _ = self.handle.doorbell.wake();
        self.thread.join()
    }
}

impl PacketSender {
    /// Hands a packet to the rtc thread; never waits.
    pub fn send(&self, packet: OpusPacket) {
        let mut item = (self.station, packet);
        while let Err(TrySendError::Full(back)) = self.packets.try_send(item) {
            item = back;
            if self.oldest.try_recv().is_ok() {
                self.metrics.packets_dropped.add(1);
            }
        }
        self.shared.on_air[self.station].store(true, Ordering::Relaxed);
        // A doorbell that cannot be rung has no one behind it: the thread is gone, and its end was reported.
        let _ = self.doorbell.wake();
    }
}

impl Handle {
    /// Admits a listener; the session is registered when this returns, so that its first STUN check finds it.
    ///
    /// # Errors
    /// [`Refusal`] says who is to blame.
    pub fn admit(&self, offer: Offer) -> Result<Admitted, Refusal> {
        let shared = &self.shared;
        let (Some(config), Some(on_air)) = (shared.sessions.get(offer.station), shared.on_air.get(offer.station))
        else {
            return Err(Refusal::NotOnAir);
        };
        if shared.metrics.sessions.read() >= shared.max_listeners as u64 {
            return Err(Refusal::Full);
        }
        // Before the SDP is read, so that a flood costs little.
        let Some(seat) = shared.seats.take(offer.client) else { return Err(Refusal::FullFromAddress) };
        if !on_air.load(Ordering::Relaxed) {
            return Err(Refusal::NotOnAir);
        }
        let addresses = candidates::local(shared.local, offer.reached_at);
        let (mut listener, answer) = Listener::accept(
            &offer.sdp,
            offer.station,
            config,
            &addresses,
            offer.reached_at.filter(|ip| !ip.is_loopback()),
            Instant::now(),
        )
        .map_err(Refusal::BadOffer)?;
        let (id, etag) = (listener.id, listener.etag());
        let admitted = self.ask(|reply| Command::Admit { listener: Box::new(listener), seat, reply });
        match admitted {
            Some(true) => Ok(Admitted { listener: id, answer, etag }),
            Some(false) => Err(Refusal::Full),
            None => Err(Refusal::Busy),
        }
    }

    /// Adds candidates or restarts ICE, as an `application/trickle-ice-sdpfrag` (RFC 8840) says.
    ///
    /// # Errors
    /// [`PatchRefusal`]; the session goes on as it was.
    pub fn patch(&self, id: ListenerId, fragment: String, if_match: IfMatch) -> Result<Patched, PatchRefusal> {
        self.ask(|reply| Command::Patch { id, fragment, if_match, reply }).unwrap_or(Err(PatchRefusal::Busy))
    }

    /// Ends a session with a goodbye. False if there is none of that id.
    pub fn dismiss(&self, id: ListenerId) -> bool {
        self.ask(|reply| Command::Dismiss { id, reply }).unwrap_or(false)
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = bounded(1);
        self.commands.try_send(command(reply)).ok()?;
        self.doorbell.wake().ok()?;
        answer.recv_timeout(REPLY_TIMEOUT).ok()
    }
}

struct RtcThread {
    fanout: Fanout,
    datagrams: Datagrams,
    poll: Poll,
    commands: Receiver<Command>,
    packets: Receiver<(usize, OpusPacket)>,
    shared: Arc<Shared>,
    stations: Vec<StationSetup>,
    tide: Tide,
    /// One for each session, given back when it is gone.
    seats: HashMap<ListenerId, Seat>,
    closing: bool,
    batch: Batch,
}

impl RtcThread {
    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        // Readiness is told once, at its edge, so what was left unread is remembered here.
        let mut unread = true;
        let mut deadline = Instant::now();
        while !self.closing {
            let timeout = if unread { Duration::ZERO } else { deadline.saturating_duration_since(Instant::now()) };
            self.wait(&mut events, timeout);
            unread |= events.iter().any(|event| event.token() == SOCKET && event.is_readable());
            // One reading of the clock serves a whole turn.
            let now = Instant::now();
            self.handle_packets(now);
            if unread {
                unread = self.handle_datagrams(now);
            }
            self.handle_commands(now);
            self.fanout.handle_timeout(now);
            deadline = self.drain_fanout(now);
        }
        self.say_goodbyes(&mut events);
    }

    fn wait(&mut self, events: &mut Events, timeout: Duration) {
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                panic!("waiting for the UDP socket failed: {error}")
            }
            _ => {}
        }
    }

    /// Lets the kernel take the last datagrams, as long as that may reasonably last.
    fn say_goodbyes(&mut self, events: &mut Events) {
        let until = Instant::now() + GOODBYES_WITHIN;
        while self.datagrams.is_waiting() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.wait(events, left);
            self.datagrams.flush();
        }
    }

    /// Sends what the fanout has to say. Until when there is nothing more.
    fn drain_fanout(&mut self, now: Instant) -> Instant {
        let deadline = loop {
            match self.fanout.poll_output(now, &mut self.batch) {
                Output::Transmit(transmit) => self.datagrams.queue(transmit),
                Output::Batch => {
                    let flushed = self.datagrams.send(&self.batch);
                    self.count(flushed);
                }
                Output::Wait(deadline) => break deadline,
                event => self.note(event),
            }
        };
        let flushed = self.datagrams.flush();
        self.count(flushed);
        deadline
    }

    fn count(&self, flushed: Flushed) {
        self.shared.metrics.datagrams_out.add(flushed.sent);
        self.shared.metrics.datagrams_unsent.add(flushed.dropped);
    }

    fn note(&mut self, event: Output) {
        self.tide.set(self.fanout.len());
        self.shared.metrics.sessions.set(self.fanout.len() as u64);
        match event {
            Output::Connected { listener, station } => {
                let listeners = &self.stations[station].metrics.listeners;
                listeners.set(listeners.read() + 1);
                log::info!("listener {}: connected, {} listening", listener.short(), listeners.read());
            }
            Output::Gone { listener, station, was_connected, reason } => {
                self.seats.remove(&listener);
                let listeners = &self.stations[station].metrics.listeners;
                if was_connected {
                    listeners.set(listeners.read().saturating_sub(1));
                }
                log::info!("listener {}: gone ({reason}), {} listening", listener.short(), listeners.read());
            }
            Output::Transmit(_) | Output::Batch | Output::Wait(_) => {}
        }
    }

    /// Each is on its way to everybody before the next is taken.
    fn handle_packets(&mut self, now: Instant) {
        while let Ok((station, packet)) = self.packets.try_recv() {
            self.fanout.handle_packet(station, &packet, now);
            self.drain_fanout(now);
        }
    }

    /// True if there may be more to read.
    fn handle_datagrams(&mut self, now: Instant) -> bool {
        for _ in 0..READS_PER_TURN {
            let (fanout, metrics) = (&mut self.fanout, &self.shared.metrics);
            let read = self.datagrams.receive(|source, destination, bytes| {
                metrics.datagrams_in.add(1);
                if !fanout.handle_datagram(source, destination, bytes, now) {
                    metrics.datagrams_unknown.add(1);
                }
            });
            match read {
                Ok(true) => {}
                Ok(false) => return false,
                // An ICMP error of an earlier send is reported here on some systems; the next read goes on.
                Err(error) => {
                    log::debug!("reading the UDP socket: {error}");
                    return true;
                }
            }
        }
        true
    }

    fn handle_commands(&mut self, now: Instant) {
        while let Ok(command) = self.commands.try_recv() {
            self.handle_command(command, now);
        }
    }

    fn handle_command(&mut self, command: Command, now: Instant) {
        // Nobody may be waiting for the reply any more; that is their time-out, not our fault.
        match command {
            Command::Admit { listener, seat, reply } => {
                let room = self.fanout.len() < self.shared.max_listeners;
                if room {
                    self.seats.insert(listener.id, seat);
                    self.fanout.admit(listener, now);
                    self.shared.metrics.admitted.add(1);
                    self.shared.metrics.sessions.set(self.fanout.len() as u64);
                }
                let _ = reply.send(room);
            }
            Command::Patch { id, fragment, if_match, reply } => {
                let _ = reply.send(self.fanout.handle_patch(id, &fragment, &if_match, now));
            }
            Command::Dismiss { id, reply } => {
                let _ = reply.send(self.fanout.dismiss(id, now));
            }
            Command::Close => {
                self.fanout.dismiss_all(now);
                self.drain_fanout(now);
                self.closing = true;
            }
        }
    }
}
