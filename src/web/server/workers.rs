//! tiny_http on the private socket, and the `http-<n>` threads that answer what it reads. Only the connections' threads
//! are answered: each of their requests carries a secret of this process. It decides nothing about a request and sets
//! no limits of size or time; that was done before the request was passed on.

use std::io::{self, Cursor};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::observe::reports::{self, Report};
use crate::observe::service::Running;
use crate::os::priority;
use crate::web::handlers::context::Context;
use crate::web::handlers::dispatch;
use crate::web::http::body::Body;
use crate::web::http::client_address::Client;
use crate::web::http::error_code::ErrorCode;
use crate::web::http::message::{Request, Response};
use crate::web::server::loopback::{self, INTERNAL_FIELD};
use crate::web::server::private_socket::{self, PrivateAddress};

/// How requests are answered.
pub(crate) struct WorkersSetup {
    /// What handlers know of the server.
    pub context: Arc<Context>,
    /// Requests that may be answered at a time. Each may wait up to 5 s for the rtc thread.
    pub threads: usize,
    /// Where the private socket may be, best first.
    pub private_folders: Vec<PathBuf>,
}

/// The running threads, as the acceptor knows them.
pub(crate) struct Handle {
    /// Must be in a request, in the internal field.
    pub secret: Arc<str>,
    /// Disconnected once the last thread has ended; nothing is ever sent. A handler that waits for another thread can
    /// hold a thread for seconds, so a stop waits for this with a time-out, and not for the threads themselves.
    pub ended: Receiver<()>,
}

/// Starts the threads; returns also where they are reached. The end of each is reported.
///
/// # Errors
/// If sockets or threads cannot be made.
pub(crate) fn start(setup: WorkersSetup, reports: Sender<Report>) -> io::Result<(Running<Handle>, PrivateAddress)> {
    let WorkersSetup { context, threads: count, private_folders } = setup;
    let (server, address) = listen_with_lower_priority(private_folders)?;
    let (server, secret, stopping) = (Arc::new(server), secret()?, Arc::new(AtomicBool::new(false)));
    let (alive, ended) = bounded(0);
    let mut threads = vec![];
    for nth in 0..count {
        let (server, context, secret) = (Arc::clone(&server), Arc::clone(&context), Arc::clone(&secret));
        let (stopping, alive) = (Arc::clone(&stopping), alive.clone());
        threads.push(reports::spawn(format!("http-{nth}"), reports.clone(), move || {
            priority::lower();
            while !stopping.load(Ordering::Acquire) {
                match server.recv() {
                    Ok(request) => respond(request, &context, &secret),
                    Err(_) if stopping.load(Ordering::Acquire) => break,
                    Err(error) => log::error!("private HTTP socket: {error}"),
                }
            }
            // In this order: `ended` promises that nothing holds the server any more.
            drop(server);
            drop(alive);
        })?);
    }
    let handle = Handle { secret, ended };
    let running = Running::new(handle, threads, move || {
        stopping.store(true, Ordering::Release);
        for _ in 0..count {
            server.unblock();
        }
    });
    Ok((running, address))
}

/// tiny_http's own threads, which read and write, inherit their priority from the thread that starts them.
fn listen_with_lower_priority(folders: Vec<PathBuf>) -> io::Result<(tiny_http::Server, PrivateAddress)> {
    let listening = thread::Builder::new().spawn(move || {
        priority::lower();
        let (listener, address) = private_socket::bind(&folders)?;
        let server = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
        Ok((server, address))
    })?;
    listening.join().map_err(|_| io::Error::other("the private HTTP socket could not be opened"))?
}

fn secret() -> io::Result<Arc<str>> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(format!("no random numbers: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)).into())
}

fn respond(mut request: tiny_http::Request, context: &Context, secret: &str) {
    let response = match client(&request, secret) {
        None => {
            let message = "This port is private to the server; please use its public one.";
            Response::error(ErrorCode::NotThroughPublicPort, message)
        }
        Some(client) => match received(&mut request, client) {
            Ok(received) => dispatch::handle(context, &received),
            Err(error) => {
                log::error!("bug: a request did not arrive whole on the private socket: {error}");
                Response::internal_error()
            }
        },
    };
    // If the connection's thread has gone away, so has the client.
    if let Err(error) = request.respond(written(response)) {
        log::debug!("a response was not taken on the private socket: {error}");
    }
}

/// The client that really asks, if the request came from a connection's thread.
fn client(request: &tiny_http::Request, secret: &str) -> Option<Client> {
    let field = request.headers().iter().find(|header| header.field.equiv(INTERNAL_FIELD))?;
    loopback::client_of(field.value.as_str(), secret)
}

fn received(request: &mut tiny_http::Request, client: Client) -> io::Result<Request> {
    let mut body = Vec::new();
    request.as_reader().read_to_end(&mut body)?;
    let fields = request.headers().iter();
    let host = fields.clone().find(|header| header.field.equiv("Host")).map(|host| host.value.to_string());
    let headers = fields.map(|header| (header.field.to_string(), header.value.to_string())).collect();
    let (method, target) = (request.method().to_string(), request.url().to_owned());
    Ok(Request { method, target, host: host.unwrap_or_default(), headers, body, client, prefix: String::new() })
}

fn written(response: Response) -> tiny_http::Response<Cursor<std::borrow::Cow<'static, [u8]>>> {
    let Body::Bytes(body) = response.body else {
        log::error!("bug: a handler behind tiny_http answered with a stream");
        return written(Response::internal_error());
    };
    let headers = response.headers.iter().filter_map(|(name, value)| {
        tiny_http::Header::from_bytes(name.as_bytes(), value.as_bytes())
            .map_err(|()| log::error!("bug: the value of {name} in a response is not ASCII"))
            .ok()
    });
    let (status, headers, length) = (tiny_http::StatusCode(response.status), headers.collect(), body.len());
    // Never chunked: the other side wants to know how much to read.
    tiny_http::Response::new(status, headers, Cursor::new(body), Some(length), None).with_chunked_threshold(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Ipv4Addr;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::rtc::engine;
    use crate::rtc::engine::handle::Handle as EngineHandle;
    use crate::rtc::udp::socket;
    use crate::signal::hub;
    use crate::web::handlers::assets::Assets;
    use crate::web::handlers::authorize::Authorizer;
    use crate::web::handlers::origin_check::OriginCheck;
    use crate::web::server::loopback::Loopback;

    fn idle_engine() -> Running<EngineHandle> {
        let socket = socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
        let setup = engine::EngineSetup {
            sockets: vec![socket],
            max_sessions: 0,
            max_sessions_per_address: 0,
            offers_per_s: 0,
            seal: true,
            metrics: Default::default(),
        };
        engine::start(setup, bounded(1).0).unwrap()
    }

    fn idle_hub() -> hub::Handle {
        hub::start(hub::HubSetup::default(), bounded(1).0).unwrap().handle.clone()
    }

    fn context() -> Context {
        Context {
            started: Instant::now(),
            stations: Default::default(),
            rtc: idle_engine().handle.clone(),
            metrics: Default::default(),
            hub: idle_hub(),
            ice_servers: vec![],
            connection_metrics: Default::default(),
            authorizer: Arc::new(Authorizer::open().unwrap()),
            origins: OriginCheck::new(Default::default()),
            assets: Assets::Table(&[]),
            limits: Default::default(),
            max_listeners: 0,
            tls: None,
            proxies: Default::default(),
            public_url: None,
            added: vec![],
        }
    }

    fn started(threads: usize, folder: &Path, reports: Sender<Report>) -> (Running<Handle>, PrivateAddress) {
        let private_folders = vec![folder.to_owned()];
        start(WorkersSetup { context: Arc::new(context()), threads, private_folders }, reports).unwrap()
    }

    #[test]
    fn only_requests_with_the_secret_are_answered() {
        let folder = tempfile::tempdir().unwrap();
        let (running, address) = started(1, folder.path(), bounded(8).0);
        let status_with = |field: &str| {
            let mut socket = address.connect().unwrap();
            write!(socket, "GET /healthz HTTP/1.1\r\n{field}Connection: close\r\n\r\n").unwrap();
            let mut reply = String::new();
            socket.read_to_string(&mut reply).unwrap();
            reply["HTTP/1.1 ".len()..][..3].to_owned()
        };
        let (secret, zeros) = (Arc::clone(&running.handle.secret), "0".repeat(32));
        assert_eq!(status_with(&format!("{INTERNAL_FIELD}: {secret} 192.0.2.1:5 https\r\n")), "200");
        for wrong in [
            String::new(),
            format!("{INTERNAL_FIELD}: {zeros} 192.0.2.1:5 https\r\n"),
            format!("{INTERNAL_FIELD}:  192.0.2.1:5 https\r\n"),
            format!("{INTERNAL_FIELD}: {} 192.0.2.1:5 https\r\n", &secret[..31]),
            format!("{INTERNAL_FIELD}: {secret}\r\n"),
        ] {
            assert_eq!(status_with(&wrong), "403", "{wrong}");
        }
        running.stop().unwrap();
        drop(address);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something is left");
    }

    #[test]
    fn a_connection_that_breaks_is_made_again_although_the_socket_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let (running, address) = started(2, folder.path(), bounded(8).0);
        let loopback = Loopback::open(2, address, Arc::clone(&running.handle.secret)).unwrap();
        #[cfg(target_os = "linux")]
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the socket still has a name");
        let request = Request {
            method: "GET".into(),
            target: "/healthz".into(),
            host: "a".into(),
            headers: vec![],
            body: vec![],
            client: Client { address: "192.0.2.1:5".parse().unwrap(), is_secure: false },
            prefix: String::new(),
        };
        assert_eq!(loopback.ask(&request).status, 200);
        loopback.break_connections();
        let statuses = [(); 4].map(|()| loopback.ask(&request).status);
        assert_eq!(statuses, [503, 503, 200, 200], "each connection is found broken once");
        drop(loopback);
        running.stop().unwrap();
    }

    #[test]
    fn the_end_of_each_thread_is_reported_and_the_socket_is_closed() {
        let (reports, reported) = bounded(8);
        let folder = tempfile::tempdir().unwrap();
        let (running, mut address) = started(2, folder.path(), reports);
        address.unlink();
        assert!(reported.is_empty());
        running.stop().unwrap();
        let mut names: Vec<_> = reported.try_iter().collect();
        names.sort_by_key(|report| format!("{report:?}"));
        assert_eq!(names, [0, 1].map(|n| Report::Ended { thread: format!("http-{n}") }));
        // The first wakes tiny_http's accept thread, which ends and closes the socket.
        let begun = Instant::now();
        while address.connect().is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the private socket stays open");
            thread::sleep(Duration::from_millis(2));
        }
    }
}
