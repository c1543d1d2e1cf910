//! tiny_http on a private loopback socket, and the `http-<n>` threads that answer what it reads. Only the door is
//! listened to: each request carries a secret of this process. It sets no limits of size or time, the door did that.

use std::io::{self, Cursor};
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, bounded};
use socket2::{Domain, Socket, Type};

use crate::os::priority;
use crate::web::handlers::authorize::{Shown, Wish};
use crate::web::handlers::context::Site;
use crate::web::handlers::{pages, status, whep};
use crate::web::http::client_address::Caller;
use crate::web::http::message::{Answer, ErrorCode, Request};
use crate::web::server::loopback::{HTTPS, INTERNAL_FIELD};

/// How long a stop waits for handlers that are still at it.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// The running threads.
pub(crate) struct Http {
    /// Where tiny_http listens.
    pub address: SocketAddr,
    /// PeerEvent a request must know.
    pub secret: Arc<str>,
    server: Arc<tiny_http::Server>,
    stopping: Arc<AtomicBool>,
    threads: usize,
    /// Disconnected once the last thread has ended; nothing is ever sent.
    ended: Receiver<()>,
}

impl Http {
    /// Starts `threads` threads.
    pub fn start(site: &Arc<Site>, threads: usize) -> io::Result<Http> {
        let (address, server) = listen_behind_others()?;
        let (server, secret, stopping) = (Arc::new(server), secret()?, Arc::new(AtomicBool::new(false)));
        let (alive, ended) = bounded(0);
        for nth in 0..threads {
            let (server, site, secret) = (Arc::clone(&server), Arc::clone(site), Arc::clone(&secret));
            let (stopping, alive) = (Arc::clone(&stopping), alive.clone());
            thread::Builder::new().name(format!("http-{nth}")).spawn(move || {
                priority::lower();
                while !stopping.load(Ordering::Acquire) {
                    match server.recv() {
                        Ok(request) => respond(request, &site, &secret),
                        Err(_) if stopping.load(Ordering::Acquire) => break,
                        Err(error) => log::error!("the private HTTP socket is in trouble: {error}"),
                    }
                }
                drop(alive);
            })?;
        }
        Ok(Http { address, secret, server, stopping, threads, ended })
    }

    /// Ends the threads; those that a handler holds are left behind after a moment.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        for _ in 0..self.threads {
            self.server.unblock();
        }
        // Nothing is ever sent, so this returns when all threads have ended or patience has.
        let _ = self.ended.recv_timeout(STOP_PATIENCE);
    }
}

/// tiny_http's own threads, which read and write, inherit their priority from whoever starts them.
fn listen_behind_others() -> io::Result<(SocketAddr, tiny_http::Server)> {
    let listening = thread::Builder::new().spawn(|| {
        priority::lower();
        listen()
    })?;
    listening.join().map_err(|_| io::Error::other("the private HTTP socket could not be opened"))?
}

fn listen() -> io::Result<(SocketAddr, tiny_http::Server)> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Inherited by what is accepted. tiny_http writes head and body apart and sets no such option itself: the second part
    // would wait for the door's delayed acknowledgement of the first, up to 40 ms.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
    socket.listen(128)?;
    let listener = std::net::TcpListener::from(socket);
    let address = listener.local_addr()?;
    let server = tiny_http::Server::from_listener(listener, None).map_err(io::Error::other)?;
    Ok((address, server))
}

fn secret() -> io::Result<Arc<str>> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(format!("no random numbers: {error}")))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)).into())
}

fn respond(mut request: tiny_http::Request, site: &Site, secret: &str) {
    let answer = match caller(&request, secret) {
        None => {
            Answer::error(ErrorCode::NotByTheDoor, "This port is private to the server; please use its public one.")
        }
        Some(caller) => guarded(|| match received(&mut request, caller) {
            Ok(received) => answer(site, &received),
            Err(error) => {
                log::error!("a request from the door did not arrive whole, which is a bug of ours: {error}");
                Answer::error(ErrorCode::Internal, "Something went wrong here.")
            }
        }),
    };
    // The door is the only reader and tells its client; if it has gone away, so has the client.
    if let Err(error) = request.respond(written(answer)) {
        log::debug!("an answer did not reach the door: {error}");
    }
}

/// Who really asks, if the request came through the door.
fn caller(request: &tiny_http::Request, secret: &str) -> Option<Caller> {
    let field = request.headers().iter().find(|header| header.field.equiv(INTERNAL_FIELD))?;
    let (given, caller) = field.value.as_str().split_once(' ')?;
    // Looks at every byte whatever it finds, so that time tells nothing about the secret.
    let differences = given.bytes().zip(secret.bytes()).fold(0, |acc, (a, b)| acc | (a ^ b));
    if given.len() != secret.len() || differences != 0 {
        return None;
    }
    let (address, scheme) = caller.split_once(' ')?;
    Some(Caller { address: address.parse().ok()?, secure: scheme == HTTPS })
}

fn received(request: &mut tiny_http::Request, caller: Caller) -> io::Result<Request> {
    let mut body = Vec::new();
    request.as_reader().read_to_end(&mut body)?;
    let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let headers = request.headers().iter().map(|h| (h.field.to_string(), h.value.to_string())).collect();
    let Caller { address: client, secure } = caller;
    Ok(Request { method: request.method().to_string(), path, query, headers, body, client, secure })
}

fn written(answer: Answer) -> tiny_http::Response<Cursor<std::borrow::Cow<'static, [u8]>>> {
    let headers = answer.headers.iter().filter_map(|(name, value)| {
        tiny_http::Header::from_bytes(name.as_bytes(), value.as_bytes())
            .map_err(|()| log::error!("the value of {name} in an answer is not ASCII, which is a bug of ours"))
            .ok()
    });
    let (status, headers, length) = (tiny_http::StatusCode(answer.status), headers.collect(), answer.body.len());
    // Never chunked: the door wants to know how much to read.
    tiny_http::Response::new(status, headers, Cursor::new(answer.body), Some(length), None)
        .with_chunked_threshold(usize::MAX)
}

/// A bug in one handler costs one answer, not the thread.
fn guarded(handler: impl FnOnce() -> Answer) -> Answer {
    catch_unwind(AssertUnwindSafe(handler)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        log::error!("a handler panicked, which is a bug of ours: {said}");
        Answer::error(ErrorCode::Internal, "Something went wrong here.")
    })
}

/// PeerEvent a path leads to.
enum Place<'a> {
    Health,
    Status,
    Metrics,
    Access,
    Offer,
    Endpoint(Option<&'a str>),
    Session(&'a str, &'a str),
    Page,
    Server,
}

/// Every path, and what may be done there.
fn route(path: &str) -> (Place<'_>, &'static str) {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["healthz"] => (Place::Health, "GET, HEAD, OPTIONS"),
        ["api", "status"] => (Place::Status, "GET, HEAD, OPTIONS"),
        ["metrics"] => (Place::Metrics, "GET, HEAD, OPTIONS"),
        ["api", "access"] => (Place::Access, "GET, HEAD, OPTIONS"),
        ["offer"] => (Place::Offer, "POST, OPTIONS"),
        ["whep"] => (Place::Endpoint(None), "GET, HEAD, POST, OPTIONS"),
        ["whep", station] => (Place::Endpoint(Some(station)), "GET, HEAD, POST, OPTIONS"),
        ["whep", station, id] => (Place::Session(station, id), "GET, HEAD, PATCH, DELETE, OPTIONS"),
        _ if path == "*" => (Place::Server, "GET, HEAD, POST, PATCH, DELETE, OPTIONS"),
        _ => (Place::Page, "GET, HEAD, OPTIONS"),
    }
}

/// Answers one request.
fn answer(site: &Site, request: &Request) -> Answer {
    let (place, allowed) = route(&request.path);
    let method = request.method.as_str();
    if matches!(place, Place::Page) && !matches!(method, "GET" | "HEAD") && !site.assets.has(&request.path) {
        return pages::unknown_path();
    }
    if method == "OPTIONS" {
        return options(site, &place, allowed);
    }
    if !allowed.split(", ").any(|one| one == method) {
        let message = format!("{method} cannot be done here, but {allowed} can.");
        return Answer::error(ErrorCode::MethodNotAllowed, message).header("Allow", allowed);
    }
    admitted(site, request, &place, method).unwrap_or_else(|refusal| refusal)
}

/// Looks whether the wish may be granted, then grants it. Pages are open: what they show is behind the other doors. So is a
/// session's own address, 128 bits that nobody else has.
fn admitted(site: &Site, request: &Request, place: &Place<'_>, method: &str) -> Result<Answer, Answer> {
    let shown = Shown { headers: &request.headers, query: &request.query, client: request.client.ip() };
    let admit = |handler: &dyn Fn() -> Answer| {
        let pass = site.gate.check(&Wish::Listen, &shown, None)?;
        let mut entry = site.gate.enter(&pass, None)?;
        let answer = handler();
        if answer.status < 300 {
            entry.keep();
        }
        Ok(answer)
    };
    let look = |handler: &dyn Fn() -> Answer| site.gate.check(&Wish::Listen, &shown, None).map(|_| handler());
    let answer = match (place, method) {
        (Place::Health, _) => status::health(site, request),
        (Place::Status, _) => look(&|| status::status(site, request))?,
        (Place::Metrics, _) => look(&|| status::metrics(site, request))?,
        (Place::Access, _) => status::access(site, &shown)?,
        (Place::Offer, _) => {
            site.gate.check_origin(&shown, &request.header("host").unwrap_or_default())?;
            admit(&|| whep::offer_as_json(site, request))?
        }
        (Place::Endpoint(station), "POST") => admit(&|| whep::admit(site, request, *station))?,
        (Place::Endpoint(station), _) => look(&|| whep::endpoint(site, *station))?,
        (Place::Session(station, id), "PATCH") => whep::patch(site, request, station, id),
        (Place::Session(station, id), "DELETE") => whep::dismiss(site, station, id),
        (Place::Session(station, id), _) => whep::session(site, station, id),
        (Place::Page, _) => site.assets.answer(request),
        (Place::Server, _) => pages::unknown_path(),
    };
    Ok(answer)
}

/// PeerEvent may be done here, asked by a person (RFC 9110 §9.3.7) or as a browser's preflight (Fetch §4.8).
fn options(site: &Site, place: &Place<'_>, allowed: &str) -> Answer {
    let answer = Answer::new(204)
        .header("Allow", allowed)
        .header("Access-Control-Allow-Methods", allowed)
        .header("Access-Control-Allow-Headers", "content-type, if-match, authorization")
        // As long as browsers keep it at the most: Chromium 2 h, Firefox a day.
        .header("Access-Control-Max-Age", "86400");
    match place {
        Place::Endpoint(_) => whep::with_ice_servers(site, answer.header("Accept-Post", whep::SDP)),
        Place::Offer => answer.header("Accept-Post", "application/json"),
        Place::Session(..) => answer.header("Accept-Patch", whep::FRAGMENT),
        _ => answer,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::time::Instant;

    use super::*;
    use std::net::Ipv4Addr;

    use crate::observe::service::Running;
    use crate::rtc::engine;
    use crate::rtc::engine::handle::Handle as EngineHandle;
    use crate::rtc::udp::socket;
    use crate::signal::hub;
    use crate::web::handlers::authorize::Gate;
    use crate::web::handlers::context::Limits;
    use crate::web::handlers::pages::Assets;
    use crate::web::http::client_address::Proxies;

    #[test]
    fn a_panicking_handler_answers_500() {
        let answer = guarded(|| panic!("by intent, in a test"));
        assert_eq!(answer.status, 500);
        assert!(String::from_utf8_lossy(&answer.body).contains("\"internal\""));
    }

    fn idle_engine() -> Running<EngineHandle> {
        let socket = socket::bind(Some(Ipv4Addr::LOCALHOST.into()), 0).unwrap();
        let setup = engine::EngineSetup {
            sockets: vec![socket],
            max_sessions: 0,
            max_sessions_per_address: 0,
            seal: true,
            metrics: Default::default(),
        };
        engine::start(setup, crossbeam_channel::bounded(1).0).unwrap()
    }

    fn idle_hub() -> hub::Handle {
        hub::start(hub::HubSetup::default(), crossbeam_channel::bounded(1).0).unwrap().handle.clone()
    }

    #[test]
    fn only_who_knows_the_secret_is_answered() {
        let site = Site {
            started: Instant::now(),
            stations: Default::default(),
            rtc: idle_engine().handle.clone(),
            metrics: Default::default(),
            rooms: idle_hub(),
            ice_servers: vec![],
            door_metrics: Default::default(),
            gate: Arc::new(Gate::open().unwrap()),
            assets: Assets::Table(&[]),
            limits: Limits::default(),
            max_listeners: 0,
            tls: None,
            proxies: Proxies::default(),
        };
        let http = Http::start(&Arc::new(site), 1).unwrap();
        let status_with = |field: &str| {
            let mut stream = TcpStream::connect(http.address).unwrap();
            write!(stream, "GET /healthz HTTP/1.1\r\n{field}Connection: close\r\n\r\n").unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).unwrap();
            reply["HTTP/1.1 ".len()..][..3].to_owned()
        };
        let (secret, zeros) = (Arc::clone(&http.secret), "0".repeat(32));
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
        http.stop();
    }
}
