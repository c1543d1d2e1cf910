//! What handlers know of the server: plain data and handles, built once by `app` and shared by all threads that answer.
//! What belongs to one request is in [`Request`]. It changes nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::net::ice_server::IceServer;
use crate::observe::registry::Registry;
use crate::rtc::engine::handle::Handle as EngineHandle;
use crate::signal::hub;
use crate::station::directory::Directory;
use crate::web::handlers::assets::Assets;
use crate::web::handlers::authorize::Authorizer;
use crate::web::handlers::origin_check::OriginCheck;
use crate::web::http::base_url::BaseUrl;
use crate::web::http::client_address::TrustedProxies;
use crate::web::http::message::{Request, Response};
use crate::web::http::routes::{self, Route};
use crate::web::transport::limits::Limits;
use crate::web::transport::metrics::ConnectionMetrics;
use crate::web::transport::tls::Tls;

/// Everything that requests are answered from.
#[derive(Debug)]
pub struct Context {
    /// When the process began to serve.
    pub started: Instant,
    /// The stations; the first is what `/whep` and `/offer` mean.
    pub stations: Directory,
    /// The rtc threads.
    pub rtc: EngineHandle,
    /// All metrics, for `/api/status` and `/metrics`.
    pub metrics: Registry,
    /// The hub of all rooms.
    pub hub: hub::Handle,
    /// Other operators' STUN and TURN servers, for listeners; peers in rooms learn of them from the hub.
    pub ice_servers: Vec<IceServer>,
    /// What the acceptor and the connections count.
    pub connection_metrics: ConnectionMetrics,
    /// Decides which requests are permitted.
    pub authorizer: Arc<Authorizer>,
    /// Keeps pages of other sites from using the place of their visitors.
    pub origins: OriginCheck,
    /// The files of the pages.
    pub assets: Assets,
    /// What clients may use.
    pub limits: Limits,
    /// Listeners that the rtc threads admit at most; shown by `/api/status`.
    pub max_listeners: usize,
    /// How the public port speaks TLS, if it does.
    pub tls: Option<Arc<Tls>>,
    /// Proxies whose forwarding headers are believed.
    pub proxies: TrustedProxies,
    /// The address by which people open the pages, if the operator names one.
    pub public_url: Option<BaseUrl>,
    /// Paths that the embedding program adds; the program `roomtone` adds none.
    pub added: Vec<AddedPath>,
}

/// A path that the embedding program adds, with what answers it: `GET` and `HEAD`, on the thread of the connection, so
/// that the body may be a stream. It needs the permission to listen.
pub struct AddedPath {
    /// The whole path, `/` first.
    pub path: String,
    /// Makes the response. It must not block.
    pub handler: Handler,
}

/// Makes a response to a request.
pub type Handler = Box<dyn Fn(&Request) -> Response + Send + Sync>;

impl Context {
    /// What a path leads to.
    pub(crate) fn route(&self, path: &str) -> Route {
        let added = self.added.iter().position(|added| added.path == path);
        added.map_or_else(|| routes::find(path), routes::added)
    }
}

impl fmt::Debug for AddedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AddedPath({})", self.path)
    }
}
