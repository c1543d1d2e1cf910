//! The one public port: accepts connections on the thread `accept` and gives each a thread `conn-<n>`. Nothing that
//! arrives, and no shortage of descriptors, memory or threads, ends the accept loop. It reads no HTTP, and writes it
//! only to refuse a connection.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Socket, Type};

use crate::net::rate_limiter::RateLimiter;
use crate::net::subnet::{AddressLimit, SubnetCounts};
use crate::observe::reports::{self, Report};
use crate::observe::service::Running;
use crate::os::file_limits;
use crate::os::memory::HighWater;
use crate::os::priority;
use crate::web::handlers::context::Context;
use crate::web::http::error_code::ErrorCode;
use crate::web::http::head::Version;
use crate::web::http::message::Response;
use crate::web::http::response_head::ResponseHead;
use crate::web::server::callers::CallerLimits;
use crate::web::server::connection::{self, Shared};
use crate::web::server::loopback::Loopback;
use crate::web::server::workers::{self, WorkersSetup};
use crate::web::transport::limits::Limits;
use crate::web::transport::readiness;

/// Which connections there may be: all, those that are open, none.
const OPEN: u8 = 0;
const REFUSING: u8 = 1;
const CLOSING: u8 = 2;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
/// Connections that the kernel may keep for us while we are busy.
const BACKLOG: i32 = 1024;
/// What the kernel may keep of responses to one client, twice that with its own overhead. No page is much larger, and a
/// distant client still gets 600 KB/s at a round trip of 100 ms.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Enough for TLS and a handful of buffers of 16 KiB; only touched pages cost memory.
const CONNECTION_STACK_BYTES: usize = 256 * 1024;
/// How long to wait when the system has no descriptors left; a connection that closes ends the wait.
const BACK_OFF: Duration = Duration::from_millis(50);
/// Descriptors kept for everything but clients' connections: sound, UDP, log, loopback connections.
const RESERVED_DESCRIPTORS: u64 = 128;
/// After a pause, so many seconds' worth of new connections may come at once.
const BURST_S: f64 = 5.0;
/// When a client may try again that was refused because of the limits of connections.
const FULL_RETRY_S: u32 = 5;
/// How long a stop waits for connections whose requests are still being answered, and then for handlers.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// What the server is started with.
#[derive(Debug)]
pub struct ServerSetup {
    /// The public port, see [`bind`].
    pub listener: TcpListener,
    /// What requests are answered from.
    pub context: Context,
    /// Handlers that may run at a time. Each may wait up to 5 s for the rtc thread.
    pub http_threads: usize,
    /// Folders in which the private socket to tiny_http may get a folder of its own, best first; the loopback
    /// interface, if none can be written.
    pub private_folders: Vec<PathBuf>,
}

/// Binds the port, for TCP; 0 lets the system choose. Without an address, it listens on all of them, IPv4 and IPv6.
///
/// # Errors
/// The system's error: in use, not allowed, or not an address of this host.
pub fn bind(addr: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    match addr {
        Some(addr) => listen(SocketAddr::new(addr, port), false),
        None => listen(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port), true).or_else(|error| {
            // Only a host without IPv6 falls back: a port in use must not turn into half a server.
            let is_taken = matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
            if is_taken { Err(error) } else { listen(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), false) }
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

/// Starts the threads and accepts clients. The end of each thread is reported, except those of single connections.
///
/// # Errors
/// If sockets or threads cannot be made.
pub fn start(setup: ServerSetup, reports: Sender<Report>) -> io::Result<Running<Handle>> {
    let ServerSetup { listener, context, http_threads, private_folders } = setup;
    let context = Arc::new(context);
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let mut listener = mio::net::TcpListener::from_std(listener);
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let handle =
        Handle { address, waker: Arc::new(Waker::new(poll.registry(), WAKER)?), stage: Arc::new(AtomicU8::new(OPEN)) };

    let workers = WorkersSetup { context: Arc::clone(&context), threads: http_threads, private_folders };
    let (workers, private_address) = workers::start(workers, reports.clone())?;
    let loopback = Loopback::open(http_threads, private_address, Arc::clone(&workers.handle.secret))?;
    let readiness = readiness::start(reports.clone())?;
    let limits = &context.limits;
    let max_connections = affordable(limits.max_connections);
    let acceptor = Acceptor {
        listener: Some(listener),
        poll,
        handle: handle.clone(),
        open: HashMap::new(),
        high_water: HighWater::new(reports.clone()),
        opened: 0,
        max_connections,
        counts: SubnetCounts::new(AddressLimit {
            max_per_address: limits.max_connections_per_address,
            total: max_connections,
        }),
        rate: rate_limiter(limits),
        // One message per connection, and one of a thread that could not be made, so it is never full.
        closed: bounded(max_connections + 1),
        is_full: false,
        is_starved: false,
        shared: Arc::new(Shared {
            callers: CallerLimits::new(limits, context.hub.limits()),
            readiness: readiness.handle.clone(),
            loopback,
            context,
        }),
    };
    let thread = reports::spawn("accept".into(), reports, move || {
        let shared = Arc::clone(&acceptor.shared);
        acceptor.run();
        let workers_ended = workers.handle.ended.clone();
        // Asks them to end. Nothing is ever sent, so the wait is over when all have ended, or after the time-out.
        drop(workers);
        let _ = workers_ended.recv_timeout(STOP_TIMEOUT);
        shared.loopback.wake_accept_thread();
        if readiness.stop().is_err() {
            log::error!("bug: thread ready panicked");
        }
    })?;
    let stopping = handle.clone();
    Ok(Running::new(handle, vec![thread], move || stopping.advance_to(CLOSING)))
}

/// Browsers open several connections at once, and a whole office may be one address.
fn rate_limiter(limits: &Limits) -> RateLimiter {
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

/// How others reach the running server.
#[derive(Clone, Debug)]
pub struct Handle {
    address: SocketAddr,
    waker: Arc<Waker>,
    stage: Arc<AtomicU8>,
}

impl Handle {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the port, so that new clients are refused; connections stay open. Does not wait for it to happen.
    pub fn refuse_newcomers(&self) {
        self.advance_to(REFUSING);
    }

    fn advance_to(&self, stage: u8) {
        self.stage.fetch_max(stage, Ordering::Release);
        if let Err(error) = self.waker.wake() {
            log::error!("thread accept: cannot be woken: {error}");
        }
    }
}

/// What the thread `accept` owns.
struct Acceptor {
    /// None once new clients are refused.
    listener: Option<mio::net::TcpListener>,
    poll: Poll,
    handle: Handle,
    shared: Arc<Shared>,
    /// Connections that are open, to be shut down at the end, with the addresses that they count to. Weak: a socket closes
    /// when its own thread is done with it.
    open: HashMap<u64, (Weak<TcpStream>, Option<IpAddr>)>,
    high_water: HighWater,
    opened: u64,
    max_connections: usize,
    /// How many of the open ones each address has, trusted proxies left out.
    counts: SubnetCounts,
    /// How fast each address may open new ones.
    rate: RateLimiter,
    /// Numbers of connections that have ended.
    closed: (Sender<u64>, Receiver<u64>),
    /// It has been logged that connections are refused.
    is_full: bool,
    /// It has been logged that connections cannot be accepted.
    is_starved: bool,
}

impl Acceptor {
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
        self.shut_down_all();
    }

    /// Accepts until no client waits (None) or it cannot be done now (then the time to wait).
    fn accept_all(&mut self) -> Option<Duration> {
        loop {
            self.remove_closed();
            if self.stage() > OPEN {
                self.listener = None;
            }
            match self.listener.as_ref()?.accept() {
                Ok((stream, client)) => {
                    self.shared.context.connection_metrics.accepted.add(1);
                    self.admit(stream.into(), SocketAddr::new(client.ip().to_canonical(), client.port()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.is_starved = false;
                    return None;
                }
                // The client has left already, or a signal came.
                Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) => {
                }
                // EMFILE, ENFILE, ENOBUFS, ENOMEM, and any other: it may be better in a moment, and the event that
                // reported the waiting client will not come again.
                Err(error) => {
                    if !std::mem::replace(&mut self.is_starved, true) {
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
        self.handle.stage.load(Ordering::Acquire)
    }

    fn admit(&mut self, stream: TcpStream, client: SocketAddr) {
        if self.open.len() >= self.max_connections {
            if !std::mem::replace(&mut self.is_full, true) {
                log::warn!("limit reached: {} connections are open, new ones are refused", self.open.len());
            }
            let full = Response::error(ErrorCode::TooManyConnections, "The limit of connections is reached.");
            return self.refuse(&stream, &full.retry_after(FULL_RETRY_S));
        }
        if let Err(refusal) = self.admit_address(client.ip()) {
            return self.refuse(&stream, &refusal);
        }
        // A tenth below the limit, so that a server at its limit does not fill the log.
        self.is_full &= self.open.len() >= self.max_connections / 10 * 9;
        let stream = Arc::new(stream);
        if let Err(error) = self.spawn_connection(&stream, client) {
            log::warn!("no thread for a connection, so it is refused: {error}");
            let full = Response::error(ErrorCode::TooManyConnections, "There is no thread for another connection.");
            self.refuse(&stream, &full.retry_after(FULL_RETRY_S));
        }
    }

    /// Keeps one address from using up what is there for all. A trusted proxy has no limit: it sends requests of many
    /// clients, which are counted when the proxy has named them.
    fn admit_address(&mut self, ip: IpAddr) -> Result<(), Response> {
        if self.shared.context.proxies.trust(ip) {
            return Ok(());
        }
        if !self.counts.may_add(ip) {
            let message = "The limit of connections for one address is reached.";
            return Err(Response::error(ErrorCode::TooManyFromAddress, message).retry_after(FULL_RETRY_S));
        }
        self.rate.take(ip, Instant::now()).map_err(|wait| {
            let message = "Connections from this address come too fast.";
            Response::error(ErrorCode::TooManyFromAddress, message).retry_after(1 + wait.as_secs().min(60) as u32)
        })
    }

    fn spawn_connection(&mut self, stream: &Arc<TcpStream>, client: SocketAddr) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        let number = self.opened;
        self.opened += 1;
        let guard = ConnectionGuard { number, closed: self.closed.0.clone(), waker: Arc::clone(&self.handle.waker) };
        let (served, shared) = (Arc::clone(stream), Arc::clone(&self.shared));
        let builder = thread::Builder::new().name(format!("conn-{number}")).stack_size(CONNECTION_STACK_BYTES);
        builder.spawn(move || {
            priority::lower();
            // Dropped last: when the acceptor learns of it, the descriptor is free.
            let _guard = guard;
            let stream = served;
            connection::serve(&stream, client, &shared);
        })?;
        // The connections of a proxy leave its neighbours their own.
        let counted = Some(client.ip()).filter(|&ip| !self.shared.context.proxies.trust(ip));
        self.open.insert(number, (Arc::downgrade(stream), counted));
        if let Some(ip) = counted {
            self.counts.add(ip);
        }
        self.update_metrics();
        Ok(())
    }

    /// Best effort and without waiting: a client that floods the server is not waited for.
    fn refuse(&self, stream: &TcpStream, response: &Response) {
        self.shared.context.connection_metrics.refused.add(1);
        let (version, now) = (Version::Http11, SystemTime::now());
        let head = ResponseHead { response, cross_origin: &[], version, keep_alive: false, now };
        let mut bytes = head.to_bytes();
        bytes.extend_from_slice(response.body.bytes());
        let mut stream = stream;
        let _ = stream.set_nonblocking(true);
        let _ = stream.write(&bytes);
        let _ = stream.shutdown(Shutdown::Write);
        // What has arrived is read and discarded, else closing would send a reset that may overtake the response.
        let _ = stream.read(&mut [0; 4096]);
    }

    fn remove_closed(&mut self) {
        let before = self.open.len();
        for number in self.closed.1.try_iter() {
            if let Some((_, Some(ip))) = self.open.remove(&number) {
                self.counts.remove(ip);
            }
        }
        if self.open.len() != before {
            self.update_metrics();
        }
    }

    fn update_metrics(&mut self) {
        self.high_water.set(self.open.len());
        self.shared.context.connection_metrics.connections.set(self.open.len() as u64);
    }

    fn shut_down_all(mut self) {
        drop(self.listener);
        for stream in self.open.values().filter_map(|(stream, _)| stream.upgrade()) {
            // Its thread wakes up and finds the connection at its end.
            let _ = stream.shutdown(Shutdown::Both);
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while !self.open.is_empty() {
            match self.closed.1.recv_deadline(deadline) {
                Ok(number) => self.open.remove(&number),
                Err(_) => break,
            };
        }
        self.shared.context.connection_metrics.connections.set(self.open.len() as u64);
    }
}

/// Tells the acceptor that a connection's thread has ended, whichever way. It is not reported to `main`: such threads
/// end all the time, and a panic costs one connection only.
struct ConnectionGuard {
    number: u64,
    closed: Sender<u64>,
    waker: Arc<Waker>,
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            log::error!("bug: conn-{} panicked", self.number);
        }
        // Fails only when the acceptor has ended already.
        let _ = self.closed.try_send(self.number);
        let _ = self.waker.wake();
    }
}
