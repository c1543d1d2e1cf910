//! One web server for all runs, with everything behind it, on a loopback port. It has small limits, so that they are
//! reached, no listeners, and takes every client for a trusted proxy.

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use crossbeam_channel::bounded;
use roomtone::rtc::engine::{self, EngineSetup};
use roomtone::rtc::udp::socket;
use roomtone::signal::hub::{self, HubSetup};
use roomtone::signal::limits::RoomLimits;
use roomtone::web::handlers::assets::Assets;
use roomtone::web::handlers::authorize::Authorizer;
use roomtone::web::handlers::context::Context;
use roomtone::web::handlers::origin_check::OriginCheck;
use roomtone::web::http::client_address::TrustedProxies;
use roomtone::web::http::origin_policy::OriginPolicy;
use roomtone::web::server::acceptor::{self, ServerSetup};
use roomtone::web::transport::limits::Limits;

pub const HEAD_BYTES: usize = 2_048;
pub const BODY_BYTES: usize = 1_000;

/// Where it listens. It runs as long as the process.
pub fn address() -> SocketAddr {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    *ADDRESS.get_or_init(start)
}

/// The running services.
static KEPT: Mutex<Vec<Box<dyn Any + Send>>> = Mutex::new(vec![]);

fn start() -> SocketAddr {
    let loopback = Some(Ipv4Addr::LOCALHOST.into());
    let sockets = vec![socket::bind(loopback, 0).expect("a UDP port")];
    let setup = EngineSetup {
        sockets,
        max_sessions: 0,
        max_sessions_per_address: 0,
        offers_per_s: 0,
        seal: true,
        metrics: Default::default(),
    };
    let engine = engine::start(setup, bounded(8).0).expect("the rtc thread");
    let limits = RoomLimits { max_peers_per_address: 1_000_000, ..RoomLimits::default() };
    let hub = hub::start(HubSetup { limits, ..HubSetup::default() }, bounded(8).0).expect("the hub");
    let context = Context {
        started: Instant::now(),
        stations: Default::default(),
        rtc: engine.handle.clone(),
        metrics: Default::default(),
        hub: hub.handle.clone(),
        ice_servers: vec![],
        connection_metrics: Default::default(),
        authorizer: Arc::new(Authorizer::open().expect("random numbers")),
        assets: Assets::Table(&[]),
        limits: Limits {
            max_connections_per_address: 1_000_000,
            connections_per_s: 1_000_000,
            head_bytes: HEAD_BYTES,
            body_bytes: BODY_BYTES,
            ..Limits::default()
        },
        max_listeners: 0,
        tls: None,
        proxies: TrustedProxies::parse(&["127.0.0.1".to_owned()]).expect("an address"),
        public_url: None,
        origins: OriginCheck::new(OriginPolicy::default()),
        added: vec![],
    };
    let listener = acceptor::bind(loopback, 0).expect("a TCP port");
    let private_folders = vec![std::env::temp_dir()];
    let setup = ServerSetup { listener, context, http_threads: 4, private_folders };
    // The reports of threads that end are not read; the channel holds those of all of them.
    let web = acceptor::start(setup, bounded(64).0).expect("the web server");
    let address = web.handle.address();
    // It serves as long as the process lives. A fuzzer looks for memory that nothing refers to.
    KEPT.lock().expect("no other user").push(Box::new((web, hub, engine)));
    address
}
