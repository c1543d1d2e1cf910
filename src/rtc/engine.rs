//! The rtc threads, and how other threads reach them.
//!
//! Each thread has a UDP socket and sessions of its own; a session's id says which thread drives it. They share the
//! stations' packets, one history of them, and the counts. New sessions are built on the thread that asks for them, so that
//! reading a stranger's SDP costs the listeners nothing.

mod thread;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use std::{fmt, io};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::Waker;

use crate::ids::session::SessionId;
use crate::media::packet::Packet;
use crate::net::concurrency_limit::{ConcurrencyLimit, Permit};
use crate::net::interfaces;
use crate::observe::reports::Report;
use crate::rtc::mailbox::Mailbox;
use crate::rtc::metrics::RtcMetrics;
use crate::rtc::requests::{Admitted, IfMatch, Offer, PatchRefusal, Patched, Refusal};
use crate::rtc::session::{Listener, SessionConfig};
use crate::station::metrics::StationMetrics;
use crate::station::timeline::History;
use thread::RtcThread;

/// Commands that wait for one rtc thread. Full means the client is told to come again.
const COMMANDS: usize = 256;

/// Packets that wait for one rtc thread, of all stations. Full means the oldest is dropped and counted: 64 packets are
/// more than a second of sound, and a delay once built up would never go away.
const PACKETS: usize = 64;

/// How long a command may wait for its reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

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
    pub metrics: StationMetrics,
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
    pub metrics: RtcMetrics,
}

enum Command {
    Admit { listener: Box<Listener>, seat: Permit, reply: Sender<bool> },
    Patch { id: SessionId, fragment: String, if_match: IfMatch, reply: Sender<Result<Patched, PatchRefusal>> },
    Dismiss { id: SessionId, reply: Sender<bool> },
    Knock { reply: Sender<()> },
}

/// A packet on its way to one rtc thread: its station and its place in the station's history.
type Placed = (usize, u64, Packet);

/// How one rtc thread is reached.
struct Line {
    commands: Mailbox<Command>,
    packets: Sender<Placed>,
    /// The other end, to take the oldest out when the queue is full.
    oldest: Receiver<Placed>,
    doorbell: Waker,
    local: SocketAddr,
}

/// What the threads have in common.
struct Shared {
    lines: Vec<Line>,
    stations: Vec<StationSetup>,
    sessions: Vec<SessionConfig>,
    histories: Vec<History>,
    on_air: Vec<AtomicBool>,
    max_listeners: usize,
    seats: ConcurrencyLimit,
    metrics: RtcMetrics,
    closing: AtomicBool,
}

/// How other threads reach the rtc threads. Every call waits for the reply, for 5 s at the most.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.lines.iter().map(|line| line.local)).finish()
    }
}

/// The encoder's end of the packet queues of one station.
#[derive(Clone)]
pub struct PacketSender {
    station: usize,
    shared: Arc<Shared>,
}

/// The running engine.
pub struct Engine {
    /// For the threads that answer clients.
    pub handle: Handle,
    /// One for each station.
    pub senders: Vec<PacketSender>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts an rtc thread on each of these bound sockets.
///
/// # Errors
/// If there is no socket, or if the operating system denies a poll, a thread or what UDP needs.
pub fn start(
    sockets: impl IntoIterator<Item = std::net::UdpSocket>,
    setup: EngineSetup,
    reports: Sender<Report>,
) -> io::Result<Engine> {
    start_threads(sockets, setup, reports, true)
}

/// The same, but every packet goes through str0m: the reference that benches and tests compare with.
///
/// # Errors
/// As [`start`].
pub fn start_unsealed(
    sockets: impl IntoIterator<Item = std::net::UdpSocket>,
    setup: EngineSetup,
    reports: Sender<Report>,
) -> io::Result<Engine> {
    start_threads(sockets, setup, reports, false)
}

fn start_threads(
    sockets: impl IntoIterator<Item = std::net::UdpSocket>,
    setup: EngineSetup,
    reports: Sender<Report>,
    seal: bool,
) -> io::Result<Engine> {
    let mut lines = vec![];
    let mut ears = vec![];
    for socket in sockets {
        let local = socket.local_addr()?;
        let (ear, doorbell) = thread::Ear::new(socket)?;
        let (packets, oldest) = bounded(PACKETS);
        ears.push(ear);
        lines.push(Line { commands: Mailbox::new(COMMANDS), packets, oldest, doorbell, local });
    }
    if lines.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no UDP socket"));
    }
    let shared = Arc::new(Shared {
        lines,
        sessions: session_configs(&setup.stations, seal)?,
        histories: setup.stations.iter().map(|_| History::default()).collect(),
        on_air: setup.stations.iter().map(|_| AtomicBool::new(false)).collect(),
        stations: setup.stations,
        max_listeners: setup.max_listeners,
        seats: ConcurrencyLimit::new(setup.max_listeners_per_address),
        metrics: setup.metrics,
        closing: AtomicBool::new(false),
    });
    let senders = (0..shared.stations.len()).map(|station| PacketSender { station, shared: shared.clone() }).collect();
    let mut engine = Engine { handle: Handle(shared.clone()), senders, threads: vec![] };
    for (n, ear) in ears.into_iter().enumerate() {
        match RtcThread::new(n, ear, shared.clone(), reports.clone()).start() {
            Ok(thread) => engine.threads.push(thread),
            Err(error) => {
                let _ = engine.stop();
                return Err(error);
            }
        }
    }
    Ok(engine)
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
    /// Says goodbye to every listener and waits for the threads to end. An error means that one panicked.
    ///
    /// # Errors
    /// The panic's payload.
    pub fn stop(self) -> std::thread::Result<()> {
        let shared = &self.handle.0;
        shared.closing.store(true, Ordering::Release);
        for line in &shared.lines {
            let _ = line.doorbell.wake();
        }
        // Each is waited for, whatever became of the others.
        self.threads.into_iter().map(JoinHandle::join).fold(Ok(()), Result::and)
    }
}

impl PacketSender {
    /// Hands a packet to the rtc threads; never waits.
    pub fn send(&self, packet: Packet) {
        let (station, shared) = (self.station, &self.shared);
        let place = shared.histories[station].push(packet.clone());
        for line in &shared.lines {
            let mut item = (station, place, packet.clone());
            while let Err(TrySendError::Full(back)) = line.packets.try_send(item) {
                item = back;
                if line.oldest.try_recv().is_ok() {
                    shared.stations[station].metrics.packets_dropped.add(1);
                }
            }
        }
        shared.on_air[station].store(true, Ordering::Relaxed);
        for line in &shared.lines {
            // A doorbell that cannot be rung has no one behind it: the thread is gone, and its end was reported.
            let _ = line.doorbell.wake();
        }
    }
}

impl Handle {
    /// Admits a listener; the session is registered when this returns, so that its first STUN check finds it.
    ///
    /// # Errors
    /// [`Refusal`] says who is to blame.
    pub fn admit(&self, offer: Offer) -> Result<Admitted, Refusal> {
        let shared = &self.0;
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
        let id = SessionId::random();
        let addresses = interfaces::local_addresses(self.line(id).local, offer.reached_at);
        let (mut listener, answer) = Listener::accept(
            id,
            &offer.sdp,
            offer.station,
            config,
            &addresses,
            offer.reached_at.filter(|ip| !ip.is_loopback()),
            Instant::now(),
        )
        .map_err(Refusal::BadOffer)?;
        let etag = listener.etag();
        let admitted = self.line(id).ask(|reply| Command::Admit { listener: Box::new(listener), seat, reply });
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
    pub fn patch(&self, id: SessionId, fragment: String, if_match: IfMatch) -> Result<Patched, PatchRefusal> {
        self.line(id).ask(|reply| Command::Patch { id, fragment, if_match, reply }).unwrap_or(Err(PatchRefusal::Busy))
    }

    /// Ends a session with a goodbye. False if there is none of that id.
    pub fn dismiss(&self, id: SessionId) -> bool {
        self.line(id).ask(|reply| Command::Dismiss { id, reply }).unwrap_or(false)
    }

    /// Whether every rtc thread is at work.
    pub fn answers(&self) -> bool {
        self.0.lines.iter().all(|line| line.ask(|reply| Command::Knock { reply }).is_some())
    }

    fn line(&self, id: SessionId) -> &Line {
        let lines = &self.0.lines;
        &lines[id.thread(lines.len())]
    }
}

impl Line {
    fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = bounded(1);
        if !self.commands.put(command(reply)) {
            return None;
        }
        self.doorbell.wake().ok()?;
        answer.recv_timeout(REPLY_TIMEOUT).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtc::udp::socket;

    #[test]
    fn threads_answer_while_they_are_at_work_and_no_longer() {
        let socket = || socket::bind(Some([127, 0, 0, 1].into()), 0).unwrap();
        let setup = || EngineSetup {
            stations: vec![],
            max_listeners: 0,
            max_listeners_per_address: 0,
            metrics: RtcMetrics::default(),
        };
        let engine = start([socket(), socket()], setup(), bounded(8).0).unwrap();
        let handle = engine.handle.clone();
        assert!(handle.answers());
        engine.stop().unwrap();
        assert!(!handle.answers());
        assert!(start([], setup(), bounded(8).0).is_err());
    }
}
