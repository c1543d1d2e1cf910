//! Opens what the application needs before a thread can start: folders, ports, certificate. Each failure becomes
//! one sentence that says what to do, with its exit code.
//!
//! Runs on the thread that starts the application. It starts no thread of the application and decides no order.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::access::links;
use crate::access::token_clock;
use crate::access::token_store::TokenStore;
use crate::config::start_error::{ExitCode, StartError};
use crate::config::{AccessConfig, Config, StateChoice, TlsChoice};
use crate::net::host_names;
use crate::os::state_dir::StateDir;
use crate::rtc::udp::socket;
use crate::web::handlers::assets::Assets;
use crate::web::handlers::authorize::Authorizer;
use crate::web::http::origin_policy::OriginPolicy;
use crate::web::server::acceptor;
use crate::web::transport::tls::Tls;

/// With `--port 0` the system picks a TCP port, and the UDP port of the same number may be taken: this many are tried.
const PORT_TRIES: u32 = 20;

/// The folder for keys. None if no folder was named and the default one cannot be written: keys then last as long as the
/// process.
pub(super) fn state_dir(config: &Config) -> Result<Option<StateDir>, StartError> {
    match &config.os.state_dir {
        StateChoice::Path(path) => StateDir::open(path).map(Some).map_err(|error| {
            let message =
                format!("--state-dir {}: {error}. Name a folder that only this user can write to.", path.display());
            StartError::new(ExitCode::File, message)
        }),
        StateChoice::Default(None) => Ok(None),
        StateChoice::Default(Some(path)) => Ok(StateDir::open(path)
            .inspect_err(|error| {
                log::warn!("{} cannot be used ({error}): keys are lost when the program ends", path.display())
            })
            .ok()),
    }
}

/// With the token store, which is in memory if there is no state folder.
pub(super) fn authorizer(config: &Config, state: Option<StateDir>) -> Result<Authorizer, StartError> {
    let failed = |message: String| StartError::new(ExitCode::File, message);
    if config.access.is_private && state.is_none() {
        let message = "--private needs a folder to keep its key in. Name one that can be written with --state-dir DIR.";
        return Err(failed(message.into()));
    }
    let path = state.as_ref().map(|dir| dir.path().display().to_string()).unwrap_or_default();
    let store = TokenStore::open(state).map_err(|error| {
        let repair =
            "Repair it, or run `roomtone revoke --all` for this folder, which revokes all links and begins anew";
        failed(format!("{path}: {error}. {repair}, or name another folder with --state-dir DIR."))
    })?;
    Ok(Authorizer::new(config.access.is_private, store))
}

/// What the command line says of pages of other sites and of this server's names, and the names that this host has.
pub(super) fn origin_policy(config: &Config) -> OriginPolicy {
    let AccessConfig { allows_all_origins, allowed_origins, allowed_hosts, .. } = config.access.clone();
    // Some proxies do not pass on the `Host` of the browser: to them, pages of the public URL seem to be of another site.
    let public = config.net.public_url.as_ref().map(|url| url.origin().clone());
    let mut names = host_names::of_this_host();
    names.extend(allowed_hosts);
    names.extend(public.as_ref().map(|origin| origin.host().name().to_owned()));
    let allowed_origins = allowed_origins.into_iter().chain(public).collect();
    OriginPolicy { allows_all_origins, allowed_origins, names }
}

/// Writes the address of the pages to the state folder, where `roomtone invite` reads it, and the admin link too. The
/// address is the best one that other machines can reach.
pub(super) fn store_links(state: Option<&StateDir>, store: &TokenStore, addresses: &[String]) -> Option<String> {
    let reachable = addresses.iter().find(|address| !address.contains("//localhost"));
    let base = reachable.or(addresses.first())?.trim_end_matches('/');
    let now_s = token_clock::seconds(SystemTime::now());
    let kept = state.map_or(Ok(()), |dir| links::store_base_url(dir, base));
    match kept.and_then(|()| links::admin_link(state, store, base, now_s)) {
        Ok(link) => Some(link),
        Err(error) => {
            log::warn!("admin link: cannot be written ({error}); make another with `roomtone invite --admin`");
            None
        }
    }
}

/// Where the web server's private socket may be, best first.
pub(super) fn private_folders(state: Option<&StateDir>) -> Vec<PathBuf> {
    state.map(|dir| dir.path().to_owned()).into_iter().chain([std::env::temp_dir()]).collect()
}

/// The certificate to serve with; None without TLS.
pub(super) fn tls(config: &Config, state: Option<StateDir>) -> Result<Option<Arc<Tls>>, StartError> {
    let beyond_loopback = config.net.bind.is_none_or(|ip| !ip.to_canonical().is_loopback());
    let tls = match &config.web.tls {
        TlsChoice::Off => return Ok(None),
        TlsChoice::Unspecified if !beyond_loopback => return Ok(None),
        TlsChoice::Unspecified | TlsChoice::SelfSigned => Tls::self_signed(state)
            .map_err(|wrong| StartError::new(ExitCode::Bug, format!("{wrong}. --no-tls starts without.")))?,
        TlsChoice::Files { cert, key } => Tls::from_files(cert.clone(), key.clone()).map_err(|wrong| {
            StartError::new(ExitCode::File, format!("{wrong}. Name a certificate and its key, both in PEM."))
        })?,
    };
    Ok(Some(Arc::new(tls)))
}

/// The pages: built in, or from a folder.
pub(super) fn assets(config: &Config) -> Result<Assets, StartError> {
    match &config.web.www {
        None => Ok(Assets::embedded()),
        Some(folder) if folder.is_dir() => Ok(Assets::Folder(folder.clone())),
        Some(folder) => {
            let message =
                format!("--www {}: there is no such folder. Name one that holds the pages.", folder.display());
            Err(StartError::new(ExitCode::File, message))
        }
    }
}

/// The TCP port and the UDP port of the same number; each further rtc thread has the next UDP port.
pub(super) fn ports(config: &Config) -> Result<(TcpListener, Vec<UdpSocket>), StartError> {
    let mut tries = 0;
    loop {
        tries += 1;
        let tcp = acceptor::bind(config.net.bind, config.net.port).map_err(|error| cannot_bind(config, &error))?;
        let port = tcp.local_addr().map_err(|error| cannot_bind(config, &error))?.port();
        match bind_udp(config, port) {
            Ok(sockets) => return Ok((tcp, sockets)),
            // Another port is tried.
            Err(_) if config.net.port == 0 && tries < PORT_TRIES => {}
            Err(error) => return Err(cannot_bind(config, &error)),
        }
    }
}

fn bind_udp(config: &Config, first: u16) -> io::Result<Vec<UdpSocket>> {
    let port = |n: usize| {
        let port = u16::try_from(usize::from(first) + n);
        port.map_err(|_| io::Error::new(io::ErrorKind::AddrInUse, "there are no higher ports"))
    };
    (0..config.rtc.threads).map(|n| socket::bind(config.net.bind, port(n)?)).collect()
}

pub(super) fn cannot_bind(config: &Config, error: &io::Error) -> StartError {
    let port = config.net.port;
    let message = match error.kind() {
        io::ErrorKind::AddrInUse if config.rtc.threads > 1 => {
            let others = config.rtc.threads - 1;
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
            let ip = config.net.bind.map_or_else(String::new, |ip| ip.to_string());
            format!("{ip} is not an address of this host. Leave --bind out to listen on all of them.")
        }
        _ => format!("port {port} cannot be opened: {error}. Choose another with --port N."),
    };
    StartError::new(ExitCode::Port, message)
}

/// The start error for what the operating system denied.
pub(super) fn no_thread(error: io::Error) -> StartError {
    StartError::new(ExitCode::Bug, format!("the system refused what a start needs: {error}."))
}
