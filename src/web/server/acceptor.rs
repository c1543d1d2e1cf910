//! The one public port: accepts connections on thread `door` and gives each a thread `conn-<n>`. Nothing that arrives, and
//! no shortage of descriptors, memory or threads, ends the accept loop. It reads and writes no HTTP, except to say that the
//! house is full.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Socket, Type};

use crate::net::rate_limiter::RateLimiter;
use crate::net::subnet::SubnetCounts;
use crate::observe::reports::{self, Report};
use crate::os::file_limits;
use crate::os::memory::HighWater;
use crate::os::priority;
use crate::web::handlers::context::{Limits, Site};
use crate::web::handlers::websocket::Lobby;
use crate::web::http::message::{Answer, ErrorCode};
use crate::web::server::connection::{self, Inside};
use crate::web::server::loopback::Loopback;
use crate::web::server::workers::Http;
use crate::web::transport::readiness::Readiness;

/// PeerEvent the door lets through: everybody, those who are in, nobody.
const OPEN: u8 = 0;
const REFUSING: u8 = 1;
const CLOSING: u8 = 2;

const LISTENER: Token = Token(0);
const DOORBELL: Token = Token(1);
/// Connections that the kernel may keep for us while we are busy.
const BACKLOG: i32 = 1024;
/// PeerEvent the kernel may keep of answers to one client, twice that with its own book-keeping. No page is much larger, and a
/// far client still gets 600 KB/s at a round trip of 100 ms.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Enough for TLS and a handful of buffers of 16 KiB; only touched pages cost memory.
const CONN_STACK_BYTES: usize = 256 * 1024;
/// How long to leave a system alone that has no descriptors left; a closing connection ends the wait.
const BACK_OFF: Duration = Duration::from_millis(50);
/// Descriptors kept for everything but the public's connections: sound, UDP, log, loopback connections.
const RESERVED_DESCRIPTORS: u64 = 128;
/// After a pause, so many seconds' worth of new connections may come at once.
const BURST_S: f64 = 5.0;
/// When an address that has as many connections as it may shall try again.
const CROWDED_RETRY_S: u32 = 5;
/// How long a stop waits for connections that are still being answered.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// How the door is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorSettings {
    /// Handlers that may run at a time. Each may wait up to 5 s for the rtc thread.
    pub http_threads: usize,
}

impl Default for DoorSettings {
    fn default() -> Self {
        DoorSettings { http_threads: 8 }
    }
}

/// Binds the port, for TCP; 0 lets the system choose. Without an address, it listens on all of them, IPv4 and IPv6.
///
/// # Errors
/// PeerEvent the system said: in use, not allowed, or not an address of this host.
pub fn bind(addr: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    match addr {
        Some(addr) => listen(SocketAddr::new(addr, port), false),
        None => listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port), true).or_else(|error| {
            // Only a host without IPv6 falls back: a port in use must not turn into half a server.
            let taken = matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
            if taken { Err(error) } else { listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), false) }
        }),
    }
}

fn listen(addr: SocketAddr, dual_stack: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    if dual_stack {
        socket.set_only_v6(false)?;
    }
    // A restarted server need not wait for the old one's connections to be forgotten. (On Windows this option means
    // something else: that two servers may share a port.)
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    // Connections inherit it (so it must be set before). Left alone, Linux keeps megabytes for each slow reader.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The door, before it is opened.
#[derive(Debug)]
pub struct Door {}

impl Door {
    /// Starts the threads and lets the public in. The end of the thread `door` is reported.
    ///
    /// # Errors
    /// If sockets or threads cannot be made.
    pub fn start(
        listener: TcpListener,
        site: Site,
        settings: DoorSettings,
        reports: Sender<Report>,
    ) -> io::Result<DoorHandle> {
        let site = Arc::new(site);
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let mut listener = mio::net::TcpListener::from_std(listener);
        let poll = Poll::new()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let doorbell = Arc::new(Waker::new(poll.registry(), DOORBELL)?);
        let stage = Arc::new(AtomicU8::new(OPEN));

        let http = Http::start(&site, settings.http_threads)?;
        let loopback = Loopback::open(settings.http_threads, http.address, Arc::clone(&http.secret))?;
        let metrics = site.door_metrics.clone();
        let readiness = Readiness::start()?;
        let rooms =
            Lobby { hub: site.rooms.clone(), readiness: readiness.handle.clone(), stations: site.stations.clone() };
        let inside = Arc::new(Inside {
            limits: site.limits.clone(),
            tls: site.tls.clone(),
            proxies: site.proxies.clone(),
            loopback,
            gate: Arc::clone(&site.gate),
            metrics,
            rooms,
        });

        let max_connections = affordable(site.limits.max_connections);
        let keeper = Keeper {
            listener: Some(listener),
            poll,
            doorbell: Arc::clone(&doorbell),
            stage: Arc::clone(&stage),
            inside,
            open: HashMap::new(),
            high_water: HighWater::new(reports.clone()),
            opened: 0,
            max_connections,
            counts: SubnetCounts::default(),
            rate: rate(&site.limits),
            // One word per connection, and one of a thread that could not be made, so it is never full.
            closed: bounded(max_connections + 1),
            full: false,
            starved: false,
        };
        let thread = reports::spawn("door".into(), reports, move || {
            keeper.run();
            http.stop();
            readiness.stop();
        })?;
        Ok(DoorHandle { address, doorbell, stage, thread: Some(thread) })
    }
}

/// Browsers open several connections at once, and a whole office may be one address.
fn rate(limits: &Limits) -> RateLimiter {
    let per_s = limits.connections_per_s as f64;
    RateLimiter::new(per_s, BURST_S * per_s)
}

/// As many connections as there will be descriptors for.
fn affordable(wanted: usize) -> usize {
    let limit = file_limits::limit().unwrap_or(u64::MAX);
    let affordable = usize::try_from(limit.saturating_sub(RESERVED_DESCRIPTORS)).unwrap_or(usize::MAX).max(1);
    if affordable < wanted {
        log::warn!(
            "at most {affordable} connections at a time, and not {wanted}, because this process may open {limit} \
             files; raise that with `ulimit -n`"
        );
    }
    wanted.min(affordable)
}

/// The open door. Closes when dropped.
#[derive(Debug)]
pub struct DoorHandle {
    address: SocketAddr,
    doorbell: Arc<Waker>,
    stage: Arc<AtomicU8>,
    thread: Option<JoinHandle<()>>,
}

impl DoorHandle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port, so that newcomers are refused; whoever is in stays. Does not wait for it to happen.
    pub fn refuse_newcomers(&self) {
        self.stage.fetch_max(REFUSING, Ordering::Release);
        if let Err(error) = self.doorbell.wake() {
            log::error!("the door cannot be told to refuse newcomers: {error}");
        }
    }

    /// Closes the port and every connection, and returns when their threads have ended; a handler that is still waiting
    /// for another thread is left behind after a second or two.
    pub fn stop(mut self) {
        self.close();
    }

    fn close(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.stage.store(CLOSING, Ordering::Release);
        if let Err(error) = self.doorbell.wake() {
            log::error!("the door cannot be told to close: {error}");
            return;
        }
        if thread.join().is_err() {
            log::error!("the door had panicked, which is a bug of ours");
        }
    }
}

impl Drop for DoorHandle {
    fn drop(&mut self) {
        self.close();
    }
}

/// PeerEvent the `door` thread owns.
struct Keeper {
    /// None once newcomers are refused.
    listener: Option<mio::net::TcpListener>,
    poll: Poll,
    doorbell: Arc<Waker>,
    stage: Arc<AtomicU8>,
    inside: Arc<Inside>,
    /// Connections that are open, to be shut at the end. Weak: a socket closes when its own thread is done with it.
    open: HashMap<u64, (Weak<TcpStream>, IpAddr)>,
    high_water: HighWater,
    opened: u64,
    max_connections: usize,
    /// How many of the open ones are whose.
    counts: SubnetCounts,
    /// How fast new ones come from where.
    rate: RateLimiter,
    /// Numbers of connections that have ended.
    closed: (Sender<u64>, Receiver<u64>),
    /// It has been logged that connections are turned away.
    full: bool,
    /// It has been logged that connections cannot be accepted.
    starved: bool,
}

impl Keeper {
    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        while self.stage() < CLOSING {
            let again_in = self.accept_all();
            match self.poll.poll(&mut events, again_in) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                    log::error!("waiting for connections failed: {error}");
                    thread::sleep(BACK_OFF);
                }
                _ => {}
            }
        }
        self.shut_all();
    }

    /// Accepts until nobody waits (None) or it cannot be done now (then the time to wait).
    fn accept_all(&mut self) -> Option<Duration> {
        loop {
            self.forget_closed();
            if self.stage() > OPEN {
                self.listener = None;
            }
            match self.listener.as_ref()?.accept() {
                Ok((stream, client)) => {
                    self.inside.metrics.accepted.add(1);
                    self.admit(stream.into(), SocketAddr::new(client.ip().to_canonical(), client.port()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.starved = false;
                    return None;
                }
                // The client has left already, or a signal came.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                // EMFILE, ENFILE, ENOBUFS, ENOMEM, and whatever else: it may be better in a moment, and the event that
                // told of the waiting client will not come again.
                Err(error) => {
                    if !std::mem::replace(&mut self.starved, true) {
                        log::warn!(
                            "cannot accept connections for now: {error}; {} are open",
                            self.open.len() //
                        );
                    }
                    return Some(BACK_OFF);
                }
            }
        }
    }

    fn stage(&self) -> u8 {
        self.stage.load(Ordering::Acquire)
    }

    fn admit(&mut self, stream: TcpStream, client: SocketAddr) {
        if self.open.len() >= self.max_connections {
            if !std::mem::replace(&mut self.full, true) {
                log::warn!("{} connections are open, newcomers are turned away", self.open.len());
            }
            let answer = Answer::error(ErrorCode::TooManyConnections, "As many connections as are allowed are open.");
            return self.turn_away(&stream, answer.retry_after(CROWDED_RETRY_S));
        }
        if let Err(answer) = self.admit_address(client.ip()) {
            return self.turn_away(&stream, answer);
        }
        // A tenth below the limit, so that a full house does not fill the log.
        self.full &= self.open.len() >= self.max_connections / 10 * 9;
        let stream = Arc::new(stream);
        if let Err(error) = self.open_conversation(&stream, client) {
            log::warn!("no thread for a connection: {error}");
            let answer = Answer::error(ErrorCode::TooManyConnections, "There is no room for another connection.");
            self.turn_away(&stream, answer.retry_after(CROWDED_RETRY_S));
        }
    }

    /// One address shall not use up what is there for all. A proxy speaks for many.
    fn admit_address(&mut self, ip: IpAddr) -> Result<(), Answer> {
        if self.inside.proxies.trust(ip) {
            return Ok(());
        }
        if self.counts.of(ip) >= self.inside.limits.max_connections_per_address {
            let message = "As many connections as one address may have are open.";
            return Err(Answer::error(ErrorCode::TooManyFromAddress, message).retry_after(CROWDED_RETRY_S));
        }
        self.rate.take(ip, Instant::now()).map_err(|wait| {
            let message = "Connections from this address come too fast.";
            Answer::error(ErrorCode::TooManyFromAddress, message).retry_after(1 + wait.as_secs().min(60) as u32)
        })
    }

    fn open_conversation(&mut self, stream: &Arc<TcpStream>, client: SocketAddr) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        let number = self.opened;
        self.opened += 1;
        let farewell = Farewell { number, closed: self.closed.0.clone(), doorbell: Arc::clone(&self.doorbell) };
        let (conversing, inside) = (Arc::clone(stream), Arc::clone(&self.inside));
        let builder = thread::Builder::new().name(format!("conn-{number}")).stack_size(CONN_STACK_BYTES);
        builder.spawn(move || {
            priority::lower();
            // Dropped last: when the door hears of it, the descriptor is free.
            let _farewell = farewell;
            let stream = conversing;
            connection::converse(&stream, client, &inside);
        })?;
        self.open.insert(number, (Arc::downgrade(stream), client.ip()));
        self.counts.add(client.ip());
        self.count();
        Ok(())
    }

    /// Best effort and without waiting: whoever floods us is not waited for.
    fn turn_away(&self, stream: &TcpStream, answer: Answer) {
        self.inside.metrics.refused.add(1);
        let mut bytes = connection::wire_head(&answer, &[], false);
        bytes.extend_from_slice(&answer.body);
        let mut stream = stream;
        let _ = stream.set_nonblocking(true);
        let _ = stream.write(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        // PeerEvent has arrived is read over, else closing would send a reset that may overtake the answer.
        let _ = stream.read(&mut [0; 4096]);
    }

    fn forget_closed(&mut self) {
        let before = self.open.len();
        for number in self.closed.1.try_iter() {
            if let Some((_, ip)) = self.open.remove(&number) {
                self.counts.remove(ip);
            }
        }
        if self.open.len() != before {
            self.count();
        }
    }

    fn count(&mut self) {
        self.high_water.set(self.open.len());
        self.inside.metrics.connections.set(self.open.len() as u64);
    }

    fn shut_all(mut self) {
        drop(self.listener);
        for stream in self.open.values().filter_map(|(stream, _)| stream.upgrade()) {
            // Its thread wakes up and finds the connection at its end.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let deadline = Instant::now() + STOP_PATIENCE;
        while !self.open.is_empty() {
            match self.closed.1.recv_deadline(deadline) {
                Ok(number) => self.open.remove(&number),
                Err(_) => break,
            };
        }
        self.inside.metrics.connections.set(self.open.len() as u64);
    }
}

/// Tells the door that a connection has ended, however it did.
struct Farewell {
    number: u64,
    closed: Sender<u64>,
    doorbell: Arc<Waker>,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        if thread::panicking() {
            log::error!("conn-{} panicked, which is a bug of ours", self.number);
        }
        // Fails only when the door has gone already.
        let _ = self.closed.try_send(self.number);
        let _ = self.doorbell.wake();
    }
}
