//! Where a PulseAudio server of this user may listen, here or on another host, where its cookie may be, and connecting to the
//! first that accepts. Runs on the thread that opens a connection. It speaks no protocol; `connection` does.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cpal::{Error, ErrorKind};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::audio::sources::pulse::errors::is_timeout;

/// How long a server may take to accept, to answer or to receive a command.
pub(super) const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

/// Length of a PulseAudio cookie.
pub(super) const COOKIE_BYTES: usize = 256;

/// PulseAudio's own port (IANA's registry has it for this).
const DEFAULT_PORT: u16 = 4713;

/// Addresses of one host name that are tried.
const MAX_ADDRESSES: usize = 4;

/// Where a server may listen.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Server {
    Unix(PathBuf),
    /// A host by name or address, and of which kind the address has to be.
    Tcp {
        host: String,
        port: u16,
        family: Option<Domain>,
    },
}

/// Where a server may listen, in the order in which that is tried, and paths where its cookie may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerPaths {
    servers: Vec<Server>,
    cookies: Vec<PathBuf>,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Server::Unix(path) => write!(f, "{}", path.display()),
            Server::Tcp { host, port, .. } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Server::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
        }
    }
}

impl ServerPaths {
    /// This socket only, and no cookie.
    pub(crate) fn of_socket(socket: PathBuf) -> ServerPaths {
        ServerPaths { servers: vec![Server::Unix(socket)], cookies: Vec::new() }
    }

    /// The places that both the PulseAudio client library and PipeWire use. The environment is read here, once per
    /// opening, and not in `config`: these variables tell where the sound server is, can change when it restarts in
    /// another session, and are not settings of this program.
    pub(crate) fn from_env() -> ServerPaths {
        let uid = std::fs::metadata("/proc/self").map(|process| process.uid()).ok();
        ServerPaths::from_vars(|name| std::env::var_os(name).map(PathBuf::from), uid)
    }

    /// If `PULSE_SERVER` names servers, no others are tried.
    fn from_vars(var: impl Fn(&str) -> Option<PathBuf>, uid: Option<u32>) -> ServerPaths {
        let var = |name| var(name).filter(|value| !value.as_os_str().is_empty());
        let mut servers = var("PULSE_SERVER").map(|list| servers_in(list.as_os_str())).unwrap_or_default();
        if servers.is_empty() {
            let mut sockets = vec![];
            if let Some(dir) = var("PULSE_RUNTIME_PATH") {
                // The variable names the folder of the socket; some clients look in its subfolder `pulse`.
                sockets.extend([dir.join("native"), dir.join("pulse/native")]);
            }
            sockets.extend(var("XDG_RUNTIME_DIR").map(|dir| dir.join("pulse/native")));
            sockets.extend(uid.map(|uid| PathBuf::from(format!("/run/user/{uid}/pulse/native"))));
            sockets.extend(["/run/pulse/native", "/var/run/pulse/native"].map(PathBuf::from));
            servers.extend(sockets.into_iter().map(Server::Unix));
        }

        let mut cookies = Vec::from_iter(var("PULSE_COOKIE"));
        if let Some(home) = var("HOME") {
            cookies.extend([home.join(".config/pulse/cookie"), home.join(".pulse-cookie")]);
        }
        ServerPaths { servers, cookies }
    }

    /// The first cookie that can be read, else zeros: a server of the same user accepts any cookie.
    pub(super) fn cookie(&self) -> Vec<u8> {
        let complete = |path: &PathBuf| std::fs::read(path).ok().filter(|cookie| cookie.len() == COOKIE_BYTES);
        self.cookies.iter().find_map(complete).unwrap_or_else(|| vec![0; COOKIE_BYTES])
    }

    /// Connects to the first server that accepts; also returns its name for people. A server's name may have to be looked up,
    /// which can take long: call it where nothing waits.
    pub(super) fn connect(&self) -> Result<(Socket, String), Error> {
        let mut refused = None;
        for server in &self.servers {
            match connect(server) {
                Ok(socket) => return Ok((socket, server.to_string())),
                // The error of a socket that exists tells more than that others do not exist.
                Err(e) if e.kind() != io::ErrorKind::NotFound => refused = refused.or(Some((server, e))),
                Err(_) => {}
            }
        }
        let why = match refused {
            Some((server, e)) if is_timeout(&e) => format!("The sound server at {server} does not answer."),
            Some((server, e)) => format!("The sound server at {server} cannot be reached: {e}."),
            None => "No PulseAudio or PipeWire server is running for this user.".to_owned(),
        };
        Err(Error::with_message(ErrorKind::HostUnavailable, why))
    }
}

/// The servers in a list: `unix:PATH`, a path, `tcp:HOST[:PORT]`, `tcp4:`, `tcp6:` or a host, each perhaps after a `{machine}`
/// prefix. What is none of these is left out.
fn servers_in(list: &OsStr) -> Vec<Server> {
    let server_of = |server: &str| {
        let server =
            server.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or(server, |(_, server)| server);
        let path = server.strip_prefix("unix:").unwrap_or(server);
        if path.starts_with('/') {
            return Some(Server::Unix(PathBuf::from(path)));
        }
        let (family, address) = match server.split_once(':') {
            Some(("tcp4", address)) => (Some(Domain::IPV4), address),
            Some(("tcp6", address)) => (Some(Domain::IPV6), address),
            Some(("tcp", address)) => (None, address),
            Some(("unix", _)) => return None,
            _ => (None, server),
        };
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            // An IPv6 address without brackets has no port.
            None if address.matches(':').count() > 1 => (address, None),
            None => address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map_or(Some(DEFAULT_PORT), |port| port.parse().ok())?;
        (!host.is_empty()).then(|| Server::Tcp { host: host.to_owned(), port, family })
    };
    list.to_string_lossy().split_whitespace().filter_map(server_of).collect()
}

fn connect(server: &Server) -> io::Result<Socket> {
    match server {
        Server::Unix(path) => connect_unix(path),
        Server::Tcp { host, port, family } => {
            let is_wanted = |address: &SocketAddr| family.is_none_or(|family| family == Domain::for_address(*address));
            let addresses = (host.as_str(), *port).to_socket_addrs()?.filter(is_wanted).take(MAX_ADDRESSES);
            let mut error = io::Error::other("it has no address of that kind");
            for address in addresses {
                match connect_tcp(address) {
                    Ok(socket) => return Ok(socket),
                    Err(e) => error = e,
                }
            }
            Err(error)
        }
    }
}

fn connect_tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_write_timeout(Some(SERVER_TIMEOUT))?;
    socket.set_read_timeout(Some(SERVER_TIMEOUT))?;
    socket.set_tcp_nodelay(true)?;
    socket.connect_timeout(&address.into(), SERVER_TIMEOUT)?;
    Ok(socket)
}

/// By `socket2`, because connecting to a server that hangs with a full backlog never returns unless the time-out is set
/// before.
fn connect_unix(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(SERVER_TIMEOUT))?;
    socket.set_read_timeout(Some(SERVER_TIMEOUT))?;
    // A server recognises its own user by the credentials (SCM_CREDENTIALS) that come with the first message, and
    // accepts that user with any cookie. It asks for credentials only after accepting, so a message that arrives
    // between the two carries none and is refused. With this option on our side the kernel always attaches them.
    socket.set_passcred(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(vars: &[(&str, &str)], uid: Option<u32>) -> ServerPaths {
        ServerPaths::from_vars(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v)), uid)
    }

    fn listed(vars: &[(&str, &str)], uid: Option<u32>) -> Vec<String> {
        paths(vars, uid).servers.iter().map(Server::to_string).collect()
    }

    #[test]
    fn the_servers_that_are_named_are_tried_in_order_and_no_others() {
        let list =
            "{ab12}unix:/a/b tcp:host tcp4:192.0.2.1:99 tcp6:[::1] 2001:db8::1 bare {x}/c unix:d tcp::1 host:x tcp:";
        let expected = ["/a/b", "host:4713", "192.0.2.1:99", "[::1]:4713", "[2001:db8::1]:4713", "bare:4713", "/c"];
        assert_eq!(listed(&[("PULSE_SERVER", list), ("XDG_RUNTIME_DIR", "/x")], Some(7)), expected);
        let families =
            paths(&[("PULSE_SERVER", "tcp4:a tcp6:b tcp:c")], None).servers.into_iter().map(|server| match server {
                Server::Tcp { family, .. } => family,
                Server::Unix(_) => panic!("a path"),
            });
        assert_eq!(families.collect::<Vec<_>>(), [Some(Domain::IPV4), Some(Domain::IPV6), None]);
    }

    #[test]
    fn without_a_name_the_usual_places_are_tried() {
        let vars = [("PULSE_RUNTIME_PATH", "/p"), ("XDG_RUNTIME_DIR", "/x")];
        let expected = [
            "/p/native",
            "/p/pulse/native",
            "/x/pulse/native",
            "/run/user/7/pulse/native",
            "/run/pulse/native",
            "/var/run/pulse/native",
        ];
        assert_eq!(listed(&vars, Some(7)), expected);
        let found = paths(&[("PULSE_SERVER", ""), ("HOME", "")], None);
        assert_eq!(listed(&[], None), ["/run/pulse/native", "/var/run/pulse/native"]);
        assert!(found.cookies.is_empty());
        assert_eq!(found.cookie(), [0; COOKIE_BYTES]);
    }

    #[test]
    fn a_host_that_does_not_answer_is_given_up_and_the_next_one_tried() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let closed = {
            let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
            other.local_addr().expect("an address").port()
        };
        let list = format!("tcp:127.0.0.1:{closed} tcp6:127.0.0.1:{port} tcp:127.0.0.1:{port}");
        let (_socket, name) = paths(&[("PULSE_SERVER", &list)], None).connect().expect("the last one accepts");
        assert_eq!(name, format!("127.0.0.1:{port}"));
        let list = format!("tcp:127.0.0.1:{closed}");
        let refused = paths(&[("PULSE_SERVER", &list)], None).connect().expect_err("nobody listens");
        assert!(refused.to_string().contains(&format!("127.0.0.1:{closed}")), "{refused}");
    }
}
