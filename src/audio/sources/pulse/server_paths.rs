//! Where a PulseAudio server of this user may listen, where its cookie may be, and connecting to the first socket that
//! accepts. Runs on the thread that opens a connection. It speaks no protocol; `connection` does.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cpal::{Error, ErrorKind};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::audio::sources::pulse::errors::is_timeout;

/// How long a server may take to accept, to answer or to receive a command.
pub(super) const SERVER_TIMEOUT: Duration = Duration::from_secs(2);

/// Length of a PulseAudio cookie.
pub(super) const COOKIE_BYTES: usize = 256;

/// Paths where a server may listen, in the order in which they are tried, and paths where its cookie may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerPaths {
    sockets: Vec<PathBuf>,
    cookies: Vec<PathBuf>,
}

impl ServerPaths {
    /// This socket only, and no cookie.
    pub(crate) fn of_socket(socket: PathBuf) -> ServerPaths {
        ServerPaths { sockets: vec![socket], cookies: Vec::new() }
    }

    /// The paths that both the PulseAudio client library and PipeWire use. The environment is read here, once per
    /// opening, and not in `config`: these variables tell where the sound server is, can change when it restarts in
    /// another session, and are not settings of this program.
    pub(crate) fn from_env() -> ServerPaths {
        let uid = std::fs::metadata("/proc/self").map(|process| process.uid()).ok();
        ServerPaths::from_vars(|name| std::env::var_os(name).map(PathBuf::from), uid)
    }

    fn from_vars(var: impl Fn(&str) -> Option<PathBuf>, uid: Option<u32>) -> ServerPaths {
        let var = |name| var(name).filter(|value| !value.as_os_str().is_empty());
        let mut sockets = var("PULSE_SERVER").map(|list| sockets_in(list.as_os_str())).unwrap_or_default();
        if let Some(dir) = var("PULSE_RUNTIME_PATH") {
            // The variable names the folder of the socket; some clients look in its subfolder `pulse`.
            sockets.extend([dir.join("native"), dir.join("pulse/native")]);
        }
        sockets.extend(var("XDG_RUNTIME_DIR").map(|dir| dir.join("pulse/native")));
        sockets.extend(uid.map(|uid| PathBuf::from(format!("/run/user/{uid}/pulse/native"))));
        sockets.extend(["/run/pulse/native", "/var/run/pulse/native"].map(PathBuf::from));

        let mut cookies = Vec::from_iter(var("PULSE_COOKIE"));
        if let Some(home) = var("HOME") {
            cookies.extend([home.join(".config/pulse/cookie"), home.join(".pulse-cookie")]);
        }
        ServerPaths { sockets, cookies }
    }

    /// The first cookie that can be read, else zeros: a server of the same user accepts any cookie.
    pub(super) fn cookie(&self) -> Vec<u8> {
        let complete = |path: &PathBuf| std::fs::read(path).ok().filter(|cookie| cookie.len() == COOKIE_BYTES);
        self.cookies.iter().find_map(complete).unwrap_or_else(|| vec![0; COOKIE_BYTES])
    }

    /// Connects to the first socket that accepts.
    pub(super) fn connect(&self) -> Result<UnixStream, Error> {
        let mut refused = None;
        for path in &self.sockets {
            match connect(path) {
                Ok(socket) => return Ok(socket),
                // The error of a socket that exists tells more than that others do not exist.
                Err(e) if e.kind() != io::ErrorKind::NotFound => refused = refused.or(Some((path, e))),
                Err(_) => {}
            }
        }
        let why = match refused {
            Some((path, e)) if is_timeout(&e) => format!("The sound server at {} does not answer.", path.display()),
            Some((path, e)) => format!("The sound server at {} cannot be reached: {e}.", path.display()),
            None => "No PulseAudio or PipeWire server is running for this user.".to_owned(),
        };
        Err(Error::with_message(ErrorKind::HostUnavailable, why))
    }
}

/// The Unix sockets in a server list: `unix:PATH` or a path alone, each perhaps after a `{machine}` prefix.
fn sockets_in(list: &OsStr) -> Vec<PathBuf> {
    let path_of = |server: &str| {
        let server =
            server.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or(server, |(_, server)| server);
        let path = server.strip_prefix("unix:").unwrap_or(server);
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    list.to_string_lossy().split_whitespace().filter_map(path_of).collect()
}

/// By `socket2`, because connecting to a server that hangs with a full backlog never returns unless the time-out is set
/// before.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(SERVER_TIMEOUT))?;
    socket.set_read_timeout(Some(SERVER_TIMEOUT))?;
    // A server recognises its own user by the credentials (SCM_CREDENTIALS) that come with the first message, and
    // accepts that user with any cookie. It asks for credentials only after accepting, so a message that arrives
    // between the two carries none and is refused. With this option on our side the kernel always attaches them.
    socket.set_passcred(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(vars: &[(&str, &str)], uid: Option<u32>) -> ServerPaths {
        ServerPaths::from_vars(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v)), uid)
    }

    #[test]
    fn the_servers_own_variables_are_tried_first() {
        let vars = [
            ("PULSE_SERVER", "{ab12}unix:/a/b tcp:host:4713 /bare"),
            ("PULSE_RUNTIME_PATH", "/p"),
            ("XDG_RUNTIME_DIR", "/x"),
        ];
        let expected = [
            "/a/b",
            "/bare",
            "/p/native",
            "/p/pulse/native",
            "/x/pulse/native",
            "/run/user/7/pulse/native",
            "/run/pulse/native",
            "/var/run/pulse/native",
        ];
        assert_eq!(paths(&vars, Some(7)).sockets, expected.map(PathBuf::from));
    }

    #[test]
    fn with_an_empty_environment_the_system_wide_paths_are_tried() {
        let found = paths(&[("PULSE_SERVER", ""), ("HOME", "")], None);
        assert_eq!(found.sockets, ["/run/pulse/native", "/var/run/pulse/native"].map(PathBuf::from));
        assert!(found.cookies.is_empty());
        assert_eq!(found.cookie(), [0; COOKIE_BYTES]);
    }
}
