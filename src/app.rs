//! Puts the house together: creates every channel, starts every thread, waits, and stops in reverse order.
//!
//! Runs on the thread that starts it. It decides nothing about sound, sessions or HTTP.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::access::links;
use crate::access::token_store::TokenStore;
use crate::config::start_error::{ExitCode, StartError};
use crate::config::{Config, LogFile, StateChoice, TlsChoice};
use crate::net::addresses::{Addresses, Scheme};
use crate::observe::reports::Report;
use crate::observe::service::Running;
use crate::os::file_limits;
use crate::os::memory;
use crate::os::sd_notify::{State, Supervisor};
use crate::os::state_dir::StateDir;
use crate::rtc::engine::{self, Engine, EngineSetup, StationSetup};
use crate::rtc::metrics::RtcMetrics;
use crate::rtc::udp::socket;
use crate::signal::hub::{self, Hub};
use crate::signal::metrics::RoomMetrics;
use crate::signal::rooms::ServerInfo;
use crate::station::metrics::StationMetrics;
use crate::station::runner::{self, Source, Station};
use crate::web::handlers::assets::Assets;
use crate::web::handlers::authorize::Authorizer;
use crate::web::handlers::context::Context;
use crate::web::server::acceptor::{self, ServerSetup};
use crate::web::transport::metrics::ConnectionMetrics;
use crate::web::transport::tls::Tls;

/// Reports that wait for `main`; more than there are threads. Full means one report is lost beside others like it.
const REPORTS: usize = 64;

/// Handlers that may run at a time. Each may wait up to 5 s for the rtc thread.
const HTTP_THREADS: usize = 8;

/// The name of the one station.
const STATION: &str = "main";

/// With `--port 0` the system picks a TCP port, and its UDP twin may be taken: so often is another one tried.
const PORT_TRIES: u32 = 20;

/// From the signal to the end of the process, at the most.
const STOP_PATIENCE: Duration = Duration::from_millis(2_500);

/// A running house.
pub struct App {
    port: u16,
    addresses: Addresses,
    admin_link: Option<String>,
    station: Station,
    reports: Receiver<Report>,
    report: Sender<Report>,
    server: Running<acceptor::Handle>,
    hub: Hub,
    encoder: runner::Running,
    engine: Engine,
    supervisor: Supervisor,
}

impl App {
    /// Starts everything; when this returns, the page can be opened.
    ///
    /// # Errors
    /// A sentence that says what to do, and the exit code that goes with it.
    pub fn start(config: Config, source: Source) -> Result<App, StartError> {
        let assets = assets(&config)?;
        let state = state_dir(&config)?;
        let authorizer = Arc::new(authorizer(&config, state.clone())?);
        memory::prepare();
        // More descriptors are more listeners; without them the house is only smaller.
        if let Err(error) = file_limits::raise_limit() {
            log::debug!("the limit of open files stays as it is: {error}");
        }
        if let Err(error) = file_limits::enlarge_futex_hash() {
            log::debug!("the table of sleeping threads stays as it is: {error}");
        }
        let (tcp, sockets) = bind(&config)?;
        let local = tcp.local_addr().map_err(|error| cannot_bind(&config, &error))?;
        let tls = tls(&config, state.clone())?;
        let (report, reports) = bounded(REPORTS);
        let station =
            Station { name: STATION.into(), encoding: config.encoding.clone(), metrics: StationMetrics::default() };
        let rtc_metrics = RtcMetrics::default();
        let setup = EngineSetup {
            stations: vec![station_setup(&station)],
            max_listeners: config.max_listeners,
            max_listeners_per_address: config.limits.max_listeners_per_address,
            metrics: rtc_metrics.clone(),
        };
        let engine = engine::start(sockets, setup, report.clone()).map_err(no_thread)?;
        let sender = engine.senders[0].clone();
        let sink = Box::new(move |packet| sender.send(packet));
        let encoder = runner::start(station.clone(), source, sink, report.clone()).map_err(no_thread)?;
        let room_metrics = RoomMetrics::default();
        let facts =
            ServerInfo { instance: instance()?, ice_servers: config.ice_servers.clone(), stun_port: local.port() };
        let hub = hub::start(config.rooms.clone(), facts, room_metrics.clone(), report.clone()).map_err(no_thread)?;
        let context = Context {
            started: Instant::now(),
            stations: Arc::new([station.clone()]),
            rtc: engine.handle.clone(),
            rtc_metrics,
            hub: hub.handle.clone(),
            room_metrics,
            ice_servers: config.ice_servers.clone(),
            connection_metrics: ConnectionMetrics::default(),
            authorizer: authorizer.clone(),
            assets,
            limits: config.limits.clone(),
            max_listeners: config.max_listeners,
            tls: tls.clone(),
            proxies: config.proxies.clone(),
            added: vec![],
        };
        let private_folders = state.iter().map(|dir| dir.path().to_owned()).chain([std::env::temp_dir()]).collect();
        let setup = ServerSetup { listener: tcp, context, http_threads: HTTP_THREADS, private_folders };
        let server = acceptor::start(setup, report.clone()).map_err(no_thread)?;
        let scheme = match &tls {
            None => Scheme::Http,
            Some(tls) if tls.is_self_signed() => Scheme::Either,
            Some(_) => Scheme::Https,
        };
        let addresses = Addresses::of(local, scheme, config.public_url.as_deref());
        let admin_link = keep_links(state.as_ref(), authorizer.store(), &addresses.all);
        log_addresses(&addresses, tls.as_deref());
        let supervisor = Supervisor::of(&config.supervision);
        supervisor.tell(State::Ready);
        let port = local.port();
        Ok(App { port, addresses, admin_link, station, reports, report, server, hub, encoder, engine, supervisor })
    }

    /// The public port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Every address under which the page can be opened, best first.
    pub fn addresses(&self) -> &[String] {
        &self.addresses.all
    }

    /// The address to open on a phone; None if only this host can reach the page.
    pub fn phone_address(&self) -> Option<&str> {
        self.addresses.phone.as_deref()
    }

    /// The link that makes whoever opens it an admin; for the eyes of the person who started this, and for no log.
    pub fn admin_link(&self) -> Option<&str> {
        self.admin_link.as_deref()
    }

    /// The station.
    pub fn station(&self) -> &Station {
        &self.station
    }

    /// Waits for Ctrl-C, a termination signal or a thread that should not have ended; then stops everything.
    pub fn wait(self) -> ExitCode {
        handle_signals(self.report.clone());
        let mut settled = None;
        let code = loop {
            match self.next_report(settled) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Report::LoadDropped) => settled = Some(Instant::now() + memory::TRIM_DELAY),
                Ok(Report::Stop) => {
                    log::info!("stopping");
                    break ExitCode::Stopped;
                }
                Ok(Report::Ended { thread } | Report::Panicked { thread }) => {
                    log::error!("the thread {thread} ended, which is a bug: stopping");
                    break ExitCode::Bug;
                }
                Err(RecvTimeoutError::Disconnected) => break ExitCode::Bug,
            }
            if settled.is_some_and(|at| at <= Instant::now()) {
                memory::trim();
                settled = None;
            }
        };
        self.supervisor.tell(State::Stopping);
        exit_after(STOP_PATIENCE, code);
        self.stop();
        log::info!("stopped");
        log::logger().flush();
        code
    }

    /// Sleeps until there is one, or until then, or until the supervisor, if it asked for that, shall hear again that the
    /// house lives: `main`, which says so, and the threads that listeners depend on.
    fn next_report(&self, until: Option<Instant>) -> Result<Report, RecvTimeoutError> {
        let word_due = self.supervisor.interval.map(|interval| {
            match self.engine.handle.answers() {
                true => self.supervisor.tell(State::Watchdog),
                false => log::error!("an rtc thread does not answer, so the supervisor is not told that all is well"),
            }
            Instant::now() + interval
        });
        match until.into_iter().chain(word_due).min() {
            Some(deadline) => self.reports.recv_deadline(deadline),
            None => self.reports.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// Stops everything: newcomers are refused, peers and listeners told goodbye, threads joined.
    pub fn stop(self) {
        self.server.handle.refuse_newcomers();
        // Before the server, which would cut the connections on which peers get their closing handshake.
        let hub = self.hub.stop();
        let server = self.server.stop();
        let encoder = self.encoder.stop();
        let engine = self.engine.stop();
        for (name, ended) in [("hub", hub), ("accept", server), ("encoder", encoder), ("rtc", engine)] {
            if ended.is_err() {
                log::error!("the {name} thread had panicked");
            }
        }
    }
}

/// The first signal asks for a stop, the second does not wait for it.
fn handle_signals(report: Sender<Report>) {
    let asked = AtomicBool::new(false);
    let handler = move || {
        if asked.swap(true, Ordering::Relaxed) {
            process::exit(ExitCode::Stopped as i32);
        }
        // Full only if many threads have ended at once, and then a stop is under way.
        let _ = report.try_send(Report::Stop);
    };
    // Refused only if a handler is installed already, by whoever uses this as a library.
    if let Err(error) = ctrlc::set_handler(handler) {
        log::debug!("signals are somebody else's: {error}");
    }
}

/// Whatever a stop waits for, a hung sound server say, the process ends.
fn exit_after(patience: Duration, code: ExitCode) {
    let exit = move || {
        thread::sleep(patience);
        log::warn!("not everything could be stopped in time");
        log::logger().flush();
        process::exit(code as i32);
    };
    if let Err(error) = thread::Builder::new().name("stop".into()).spawn(exit) {
        log::debug!("no thread to watch over the stop: {error}");
    }
}

/// Starts the log as configured.
///
/// # Errors
/// [`ExitCode::File`] if a log file was asked for by name and cannot be written.
pub fn start_log(config: &Config) -> Result<(), StartError> {
    use crate::observe::log as sink;
    let (path, needed) = match &config.log_file {
        LogFile::Off => {
            sink::start(config.log_level, None);
            return Ok(());
        }
        LogFile::Default => (std::path::Path::new("app.log"), false),
        LogFile::Path(path) => (path.as_path(), true),
    };
    let opened = sink::open(path);
    if let (Err(error), true) = (&opened, needed) {
        let message = format!("--log-file {}: {error}. Name a file that can be written, or none.", path.display());
        return Err(StartError::new(ExitCode::File, message));
    }
    let problem = opened.as_ref().err().map(ToString::to_string);
    sink::start(config.log_level, opened.ok());
    if let Some(problem) = problem {
        log::warn!("{} cannot be written ({problem}): the log goes to the terminal only", path.display());
    }
    Ok(())
}

/// None if nobody named a folder and the usual one cannot be had: what is made then lasts as long as the process.
fn state_dir(config: &Config) -> Result<Option<StateDir>, StartError> {
    match &config.state_dir {
        StateChoice::Path(path) => StateDir::open(path).map(Some).map_err(|error| {
            let message = format!("--state-dir {}: {error}. Name a folder that can be written.", path.display());
            StartError::new(ExitCode::File, message)
        }),
        StateChoice::Default(None) => Ok(None),
        StateChoice::Default(Some(path)) => Ok(StateDir::open(path)
            .inspect_err(|error| log::warn!("{} cannot be written ({error}): nothing is kept", path.display()))
            .ok()),
    }
}

/// With the token store, which is in memory if there is no folder for it.
fn authorizer(config: &Config, state: Option<StateDir>) -> Result<Authorizer, StartError> {
    let failed = |message: String| StartError::new(ExitCode::File, message);
    if config.private && state.is_none() {
        let message = "--private needs a folder to keep its key in. Name one that can be written with --state-dir DIR.";
        return Err(failed(message.into()));
    }
    let path = state.as_ref().map(|dir| dir.path().display().to_string()).unwrap_or_default();
    let store = TokenStore::open(state).map_err(|error| {
        failed(format!("{path}: {error}. Repair or remove it, or name another folder with --state-dir DIR."))
    })?;
    Ok(Authorizer::new(config.private, store, config.allowed_origins.clone()))
}

/// Tells `roomtone invite`, by the state folder, where the pages are, and keeps the admin link there. The address is the
/// best one that others can reach too.
fn keep_links(state: Option<&StateDir>, store: &TokenStore, addresses: &[String]) -> Option<String> {
    let reachable = addresses.iter().find(|address| !address.contains("//localhost"));
    let base = reachable.or(addresses.first())?.trim_end_matches('/');
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let kept = state.map_or(Ok(()), |dir| links::keep_base(dir, base));
    match kept.and_then(|()| links::admin_link(state, store, base, now_s)) {
        Ok(link) => Some(link),
        Err(error) => {
            log::warn!("the admin link cannot be kept ({error}); `roomtone invite --admin` makes another");
            None
        }
    }
}

/// None if TLS is not spoken.
fn tls(config: &Config, state: Option<StateDir>) -> Result<Option<Arc<Tls>>, StartError> {
    let beyond_loopback = config.bind.is_none_or(|ip| !ip.to_canonical().is_loopback());
    let tls = match &config.tls {
        TlsChoice::Off => return Ok(None),
        TlsChoice::Unsaid if !beyond_loopback => return Ok(None),
        TlsChoice::Unsaid | TlsChoice::SelfSigned => Tls::self_signed(state)
            .map_err(|wrong| StartError::new(ExitCode::Bug, format!("{wrong}. --no-tls starts without.")))?,
        TlsChoice::Files { cert, key } => Tls::from_files(cert.clone(), key.clone()).map_err(|wrong| {
            StartError::new(ExitCode::File, format!("{wrong}. Name a certificate and its key, both in PEM."))
        })?,
    };
    Ok(Some(Arc::new(tls)))
}

fn log_addresses(addresses: &Addresses, tls: Option<&Tls>) {
    let (open, listen_only) = addresses.all.split_at(addresses.all.len() - addresses.listen_only);
    for address in open {
        log::info!("open {address}");
    }
    let Some(tls) = tls else { return };
    if let [listen, ..] = listen_only {
        log::info!("https:// makes browsers warn, as this host made its certificate itself; {listen} is for listening");
    }
    log::info!("the certificate's SHA-256 is {}", tls.fingerprint());
}

fn assets(config: &Config) -> Result<Assets, StartError> {
    match &config.www {
        None => Ok(Assets::embedded()),
        Some(folder) if folder.is_dir() => Ok(Assets::Folder(folder.clone())),
        Some(folder) => {
            let message =
                format!("--www {}: there is no such folder. Name one that holds the pages.", folder.display());
            Err(StartError::new(ExitCode::File, message))
        }
    }
}

fn station_setup(station: &Station) -> StationSetup {
    StationSetup {
        stereo: station.encoding.channels == 2,
        fec: station.encoding.fec,
        packet_ms: station.encoding.packet_ms().ceil() as u8,
        metrics: station.metrics.clone(),
    }
}

/// One number, TCP and UDP; each rtc thread but the first has the next number, UDP only.
fn bind(config: &Config) -> Result<(TcpListener, Vec<UdpSocket>), StartError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let tcp = acceptor::bind(config.bind, config.port).map_err(|error| cannot_bind(config, &error))?;
        let port = tcp.local_addr().map_err(|error| cannot_bind(config, &error))?.port();
        match bind_udp(config, port) {
            Ok(sockets) => return Ok((tcp, sockets)),
            Err(_) if config.port == 0 && tries < PORT_TRIES => {}
            Err(error) => return Err(cannot_bind(config, &error)),
        }
    }
}

fn bind_udp(config: &Config, first: u16) -> io::Result<Vec<UdpSocket>> {
    let port = |n: usize| {
        let port = u16::try_from(usize::from(first) + n);
        port.map_err(|_| io::Error::new(io::ErrorKind::AddrInUse, "there are no higher ports"))
    };
    (0..config.rtc_threads).map(|n| socket::bind(config.bind, port(n)?)).collect()
}

fn cannot_bind(config: &Config, error: &io::Error) -> StartError {
    let port = config.port;
    let message = match error.kind() {
        io::ErrorKind::AddrInUse if config.rtc_threads > 1 => {
            let others = config.rtc_threads - 1;
            format!(
                "port {port} or one of the next {others} is in use. Stop what uses it, or choose others with --port N."
            )
        }
        io::ErrorKind::AddrInUse => {
            format!("port {port} is in use. Stop what uses it, or choose another with --port N.")
        }
        io::ErrorKind::PermissionDenied => {
            format!("port {port} may not be opened by this user. Choose one above 1023 with --port N.")
        }
        io::ErrorKind::AddrNotAvailable => {
            let ip = config.bind.map_or_else(String::new, |ip| ip.to_string());
            format!("{ip} is not an address of this host. Leave --bind out to listen on all of them.")
        }
        _ => format!("port {port} cannot be opened: {error}. Choose another with --port N."),
    };
    StartError::new(ExitCode::Port, message)
}

/// Tells browsers whether the server they come back to is the one they left.
fn instance() -> Result<String, StartError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| no_thread(io::Error::other(error.to_string())))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}

fn no_thread(error: io::Error) -> StartError {
    StartError::new(ExitCode::Bug, format!("the system refused what a start needs: {error}."))
}
