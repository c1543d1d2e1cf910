//! Builds the application: creates channels, starts threads from the sound's end to the web's, and stops them in reverse.
//!
//! Runs on the thread that starts it. It decides nothing about sound, sessions or HTTP; what a start opens is in `open`,
//! what a running application waits for in `supervise`.

pub mod logging;
mod open;
mod supervise;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender};

use crate::broadcast::Broadcast;
use crate::config::Config;
use crate::config::start_error::{ExitCode, StartError};
use crate::ids::names::StationName;
use crate::net::page_addresses::{PageAddresses, Scheme};
use crate::observe::registry::{Description, Registry, Unit};
use crate::observe::reports::{self, Report};
use crate::observe::service::Running;
use crate::os::file_limits;
use crate::os::memory;
use crate::os::sd_notify::Notifier;
use crate::os::threads;
use crate::rtc::engine::handle::Handle as EngineHandle;
use crate::rtc::engine::{self, EngineSetup};
use crate::rtc::metrics::RtcMetrics;
use crate::signal::events::ServerInfo;
use crate::signal::hub::{self, HubSetup};
use crate::signal::metrics::RoomMetrics;
use crate::station::source::Source;
use crate::station::station::Station;
use crate::web::handlers::context::Context;
use crate::web::handlers::origin_check::OriginCheck;
use crate::web::server::acceptor::{self, ServerSetup};
use crate::web::transport::metrics::ConnectionMetrics;
use crate::web::transport::tls::Tls;
use logging::Logging;
use open::no_thread;
use supervise::Supervision;

/// Handlers that may run at a time. Each may wait up to 5 s for the rtc thread.
const HTTP_THREADS: usize = 8;

/// The running application.
pub struct App {
    port: u16,
    addresses: PageAddresses,
    admin_link: Option<String>,
    station: Station,
    report: Sender<Report>,
    server: Running<acceptor::Handle>,
    hub: Running<hub::Handle>,
    broadcast: Broadcast,
    engine: Running<EngineHandle>,
    supervision: Supervision,
}

impl App {
    /// Starts everything; when this returns, the page can be opened. It logs through the process's logger, if there is one.
    ///
    /// # Errors
    /// A sentence that says what to do, and the exit code that goes with it.
    pub fn start(config: Config, source: Source) -> Result<App, StartError> {
        memory::prepare();
        App::start_threads(config, source, Registry::default(), reports::channel())
    }

    /// Starts everything in a process whose log has been started by [`Logging`], after [`memory::prepare`].
    ///
    /// # Errors
    /// As [`App::start`].
    pub fn start_with_log(config: Config, source: Source, logging: Logging) -> Result<App, StartError> {
        // Before anything answers: a service manager may stop the program as soon as it does.
        supervise::handle_signals(logging.report.clone());
        let metrics = Registry::default();
        logging.log.register(&metrics);
        App::start_threads(config, source, metrics, (logging.report, logging.reports))
    }

    fn start_threads(
        config: Config,
        source: Source,
        metrics: Registry,
        (report, reports): (Sender<Report>, Receiver<Report>),
    ) -> Result<App, StartError> {
        let assets = open::assets(&config)?;
        let state = open::state_dir(&config)?;
        let authorizer = Arc::new(open::authorizer(&config, state.clone())?);
        raise_process_limits();
        let (tcp, sockets) = open::ports(&config)?;
        let local = tcp.local_addr().map_err(|error| open::cannot_bind(&config, &error))?;
        let tls = open::tls(&config, state.clone())?;
        let started = Instant::now();
        register_process(&metrics, started);
        let setup = EngineSetup {
            sockets,
            max_sessions: config.rtc.max_listeners,
            max_sessions_per_address: config.web.limits.max_listeners_per_address,
            offers_per_s: config.web.limits.offers_per_s,
            seal: true,
            metrics: RtcMetrics::register(&metrics),
        };
        let engine = engine::start(setup, report.clone()).map_err(no_thread)?;
        let broadcast = Broadcast::new(engine.handle.clone(), config.station.timeline, metrics.clone(), report.clone());
        let encoding = config.station.encoding.clone();
        let station = broadcast.add(StationName::default(), encoding, source).map_err(no_thread)?;
        let server =
            ServerInfo { instance: instance()?, ice_servers: config.net.ice_servers.clone(), stun_port: local.port() };
        let hub_setup =
            HubSetup { limits: config.signal.limits.clone(), server, metrics: RoomMetrics::register(&metrics) };
        let hub = hub::start(hub_setup, report.clone()).map_err(no_thread)?;
        let context = Context {
            started,
            stations: broadcast.directory.clone(),
            rtc: engine.handle.clone(),
            metrics: metrics.clone(),
            hub: hub.handle.clone(),
            ice_servers: config.net.ice_servers.clone(),
            connection_metrics: ConnectionMetrics::register(&metrics),
            authorizer: authorizer.clone(),
            origins: OriginCheck::new(open::origin_policy(&config)),
            assets,
            limits: config.web.limits.clone(),
            max_listeners: config.rtc.max_listeners,
            tls: tls.clone(),
            proxies: config.web.proxies.clone(),
            public_url: config.net.public_url.clone(),
            added: vec![],
        };
        let setup = ServerSetup {
            listener: tcp,
            context,
            http_threads: HTTP_THREADS,
            private_folders: open::private_folders(state.as_ref()),
        };
        let server = acceptor::start(setup, report.clone()).map_err(no_thread)?;
        let scheme = match &tls {
            None => Scheme::Http,
            Some(tls) if tls.is_self_signed() => Scheme::SelfSigned,
            Some(_) => Scheme::Https,
        };
        let public_url = config.net.public_url.as_ref().map(ToString::to_string);
        let addresses = PageAddresses::new(local, scheme, public_url.as_deref());
        let admin_link = open::store_links(state.as_ref(), authorizer.store(), &addresses.all);
        log_addresses(&addresses, tls.as_deref());
        let supervision = Supervision::begin(reports, Notifier::new(&config.os.sd_notify), engine.handle.clone());
        let port = local.port();
        Ok(App { port, addresses, admin_link, station, report, server, hub, broadcast, engine, supervision })
    }

    /// The TCP port that serves the pages.
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

    /// The link whose holder is an admin; shown to the person who started the program, and never logged.
    pub fn admin_link(&self) -> Option<&str> {
        self.admin_link.as_deref()
    }

    /// The station.
    pub fn station(&self) -> &Station {
        &self.station
    }

    /// Waits for Ctrl-C, a termination signal or a thread that ended; then stops everything within 2.5 s.
    pub fn wait(self) -> ExitCode {
        let App { server, hub, broadcast, engine, supervision, report, .. } = self;
        let code = supervision.wait(report);
        stop(server, hub, broadcast, engine);
        log::info!("stopped");
        log::logger().flush();
        code
    }

    /// Stops everything: new connections are refused, peers and listeners are notified, threads are joined.
    pub fn stop(self) {
        stop(self.server, self.hub, self.broadcast, self.engine);
    }
}

/// In reverse order of the start.
fn stop(
    server: Running<acceptor::Handle>,
    hub: Running<hub::Handle>,
    broadcast: Broadcast,
    engine: Running<EngineHandle>,
) {
    server.handle.refuse_newcomers();
    // Before the acceptor, which would cut the connections on which peers are notified.
    let hub = hub.stop();
    let server = server.stop();
    let encoder = broadcast.stop();
    let engine = engine.stop();
    for (name, ended) in [("hub", hub), ("accept", server), ("encoder", encoder), ("rtc", engine)] {
        if ended.is_err() {
            log::error!("thread {name}: had panicked");
        }
    }
}

/// What the process asks of the operating system. Each is only an improvement: a failure is not an error.
fn raise_process_limits() {
    // Each connection takes a descriptor; with fewer of them fewer connections are accepted.
    if let Err(error) = file_limits::raise_limit() {
        log::debug!("open files: the limit stays as it is: {error}");
    }
    if let Err(error) = threads::enlarge_futex_hash() {
        log::debug!("futex hash: its size stays as it is: {error}");
    }
}

/// What is known of the process itself.
fn register_process(metrics: &Registry, started: Instant) {
    let uptime =
        Description { name: "uptime", help: "Time since the server was started.", unit: Unit::Seconds, json: "" };
    metrics.function(uptime, &[], move || started.elapsed().as_secs_f64());
    let build = Description {
        name: "build_info",
        help: "Always 1; the labels tell what was built.",
        unit: Unit::Count,
        json: "",
    };
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("commit", env!("ROOMTONE_COMMIT"))];
    metrics.gauge(build, &labels).set(1);
}

fn log_addresses(addresses: &PageAddresses, tls: Option<&Tls>) {
    let (open, listen_only) = addresses.all.split_at(addresses.all.len() - addresses.listen_only);
    for address in open {
        log::info!("open {address}");
    }
    let Some(tls) = tls else { return };
    if let [listen, ..] = listen_only {
        log::info!("browsers warn of https:// because the certificate is self-signed; to listen, open {listen}");
    }
    log::info!("certificate: SHA-256 {}", tls.fingerprint());
}

/// A random id of this process: a returning browser sees by it whether the server was restarted.
fn instance() -> Result<String, StartError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| no_thread(io::Error::other(error.to_string())))?;
    Ok(format!("{:016x}", u64::from_be_bytes(bytes)))
}
