//! The web server with everything behind it, in this process: a folder of pages and two stations, of which only the
//! first is on air.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use roomtone::audio::encoder::Encoding;
use roomtone::ids::names::StationName;
use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::net::ice_server::IceServer;
use roomtone::observe::registry::Registry;
use roomtone::observe::reports::Report;
use roomtone::observe::service::Running;
use roomtone::rtc::engine::handle::{Handle as EngineHandle, TrackSetup};
use roomtone::rtc::engine::{self, EngineSetup};
use roomtone::rtc::metrics::RtcMetrics;
use roomtone::rtc::profile::OpusTrack;
use roomtone::rtc::udp::socket;
use roomtone::signal::events::ServerInfo;
use roomtone::signal::hub::{self, HubSetup};
use roomtone::signal::limits::RoomLimits;
use roomtone::signal::metrics::RoomMetrics;
use roomtone::station::directory::Directory;
use roomtone::station::metrics::StationMetrics;
use roomtone::station::station::Station;
use roomtone::station::timeline::{self, Capacity};
use roomtone::web::handlers::assets::Assets;
use roomtone::web::handlers::authorize::Authorizer;
use roomtone::web::handlers::context::{AddedPath, Context};
use roomtone::web::handlers::origin_check::OriginCheck;
use roomtone::web::http::base_url::BaseUrl;
use roomtone::web::http::client_address::TrustedProxies;
use roomtone::web::http::origin_policy::OriginPolicy;
use roomtone::web::server::acceptor::{self, ServerSetup, bind};
use roomtone::web::transport::limits::Limits;
use roomtone::web::transport::metrics::ConnectionMetrics;
use roomtone::web::transport::tls::Tls;

use crate::harness::http_client::{HttpClient, HttpResponse};

/// Sessions that a server takes.
pub const MAX_LISTENERS: usize = 2;

/// A running server.
pub struct Server {
    pub running: Running<acceptor::Handle>,
    pub metrics: ConnectionMetrics,
    /// Of the web server's own threads.
    pub reports: Receiver<Report>,
    www: tempfile::TempDir,
    _engine: Running<EngineHandle>,
    pub hub: Running<hub::Handle>,
    /// The UDP port.
    pub media: SocketAddr,
    pub room_metrics: RoomMetrics,
}

/// What a server is started with.
#[derive(Default)]
pub struct Setup {
    pub limits: Limits,
    pub rooms: RoomLimits,
    pub tls: Option<Arc<Tls>>,
    pub proxies: TrustedProxies,
    /// Open to all clients, if None.
    pub authorizer: Option<Authorizer>,
    pub origins: OriginPolicy,
    pub added: Vec<AddedPath>,
    pub public_url: Option<BaseUrl>,
}

/// All clients of a test have one address.
fn limits_for_many_clients() -> Limits {
    Limits { max_connections_per_address: 12_000, connections_per_s: 100_000, ..Limits::default() }
}

impl Server {
    pub fn open() -> Server {
        Server::with(limits_for_many_clients())
    }

    pub fn with(limits: Limits) -> Server {
        Server::with_rooms(limits, RoomLimits::default())
    }

    pub fn with_rooms(limits: Limits, rooms: RoomLimits) -> Server {
        Server::start(Setup { limits, rooms, ..Setup::default() })
    }

    pub fn with_authorizer(authorizer: Authorizer) -> Server {
        Server::start(Setup { authorizer: Some(authorizer), ..Setup::default() })
    }

    pub fn start(setup: Setup) -> Server {
        let Setup { limits, rooms, tls, proxies, authorizer, origins, added, public_url } = setup;
        let authorizer = authorizer.unwrap_or_else(|| Authorizer::open().unwrap());
        let www = tempfile::tempdir().unwrap();
        fs::write(www.path().join("index.html"), "<!doctype html><p>index").unwrap();
        fs::write(www.path().join("listen.html"), "<!doctype html><p>listen").unwrap();
        fs::write(www.path().join("room.html"), "<!doctype html><p>room").unwrap();
        let registry = Registry::default();
        let metrics = ConnectionMetrics::register(&registry);
        let stations = Directory::default();
        let listener = bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
        let (engine, media) = start_engine(&stations, &registry, &limits);
        let room_metrics = RoomMetrics::register(&registry);
        let info = ServerInfo { instance: "0123456789abcdef".into(), ice_servers: vec![ice_server()], stun_port: 9 };
        let hub_setup = HubSetup { limits: rooms, server: info, metrics: room_metrics.clone() };
        let hub = hub::start(hub_setup, bounded(8).0).unwrap();
        let context = Context {
            started: Instant::now(),
            stations,
            rtc: engine.handle.clone(),
            metrics: registry,
            hub: hub.handle.clone(),
            ice_servers: vec![ice_server()],
            connection_metrics: metrics.clone(),
            authorizer: Arc::new(authorizer),
            origins: OriginCheck::new(origins),
            assets: Assets::Folder(www.path().to_owned()),
            limits,
            max_listeners: MAX_LISTENERS,
            tls,
            proxies,
            public_url,
            added,
        };
        let (report, reports) = bounded(64);
        let private_folders = vec![std::env::temp_dir()];
        let running =
            acceptor::start(ServerSetup { listener, context, http_threads: 8, private_folders }, report).unwrap();
        Server { running, metrics, reports, www, _engine: engine, hub, media, room_metrics }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running.handle.address()
    }

    /// The folder of pages.
    pub fn www(&self) -> &std::path::Path {
        self.www.path()
    }

    pub fn client(&self) -> HttpClient {
        HttpClient::connect(self.address())
    }

    /// Asks on a connection of its own.
    pub fn ask(&self, method: &str, path: &str, fields: &str, body: &[u8]) -> HttpResponse {
        let mut client = self.client();
        client.ask(method, path, fields, body);
        client.response(method)
    }

    /// Sends bytes as they are, reads one response, and checks that the connection is closed after it.
    pub fn refused(&self, bytes: &[u8]) -> HttpResponse {
        let mut client = self.client();
        client.send(bytes);
        let response = client.response("GET");
        assert_eq!(response.field("connection"), Some("close"), "{}", response.head);
        client.expect_end();
        response
    }
}

fn ice_server() -> IceServer {
    IceServer { urls: vec!["turn:turn.example.net".into()], username: Some("u".into()), credential: Some("c".into()) }
}

fn start_engine(stations: &Directory, registry: &Registry, limits: &Limits) -> (Running<EngineHandle>, SocketAddr) {
    let socket = socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
    let media = socket.local_addr().unwrap();
    let setup = EngineSetup {
        sockets: vec![socket],
        max_sessions: MAX_LISTENERS,
        max_sessions_per_address: limits.max_listeners_per_address,
        offers_per_s: limits.offers_per_s,
        seal: true,
        metrics: RtcMetrics::register(registry),
    };
    let engine = engine::start(setup, bounded(8).0).unwrap();
    for (nth, label) in ["main", "other"].into_iter().enumerate() {
        let capacity = Capacity::new(Duration::ZERO, Duration::from_millis(20), 128_000);
        let (mut writer, timeline) = timeline::new(capacity, Instant::now());
        let (name, track) = (StationName::parse(label).unwrap(), TrackId::new(nth as u64));
        let metrics = StationMetrics::register(registry, label);
        let station = Station::new(name, track, Encoding::default(), timeline.clone(), metrics);
        let setup = TrackSetup {
            id: track,
            opus: OpusTrack { stereo: true, fec: false, min_packet_ms: 20 },
            timeline,
            listeners: station.metrics.listeners.clone(),
            packets_dropped: station.metrics.packets_dropped.clone(),
        };
        let sender = engine.handle.add_track(setup).unwrap();
        if nth == 0 {
            let payload = vec![0xfc, 0xff, 0xfe].into();
            let packet = Packet { payload, rtp_time_samples: 0, captured: Instant::now() };
            sender.send(writer.push(&packet), &packet);
        }
        assert!(stations.insert(station));
    }
    (engine, media)
}
