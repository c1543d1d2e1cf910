//! One connection to a PulseAudio server (PipeWire's is one too): where it is found, how it is greeted, how messages
//! are read. Runs on whichever thread opens it. It knows nothing of streams and never waits longer than [`PATIENCE`]
//! for an answer, because a server that hangs must be an error and not a second hang.

use std::ffi::OsStr;
use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cpal::{Error, ErrorKind};
use pulseaudio::protocol::{
    self, AuthParams, AuthReply, Command, Descriptor, Prop, Props, ProtocolError, PulseError, TagStructRead,
    TagStructReader,
};
use socket2::{Domain, SockAddr, Socket, Type};

/// The dialect spoken. 14 has all that capturing needs, and its answers carry none of the enumerations (states, port
/// types, encodings) that newer servers extend and of which a single unknown value makes a whole list unreadable.
const VERSION: u16 = 14;

/// How long a server may take to accept, to answer or to take a command.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest control message read. Lists of sources with all their properties stay far below.
const CONTROL_LIMIT_BYTES: usize = 4 << 20;

/// Length of a PulseAudio cookie.
const COOKIE_BYTES: usize = 256;

/// Receive buffer: a few blocks of sound and the messages between them in one read.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// Where a server may listen, best guess first, and where the cookie may lie.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    sockets: Vec<PathBuf>,
    cookies: Vec<PathBuf>,
}

impl Place {
    /// Exactly this socket.
    pub(crate) fn at(socket: PathBuf) -> Place {
        Place { sockets: vec![socket], cookies: Vec::new() }
    }

    /// The places the PulseAudio client library and PipeWire agree on. The environment is read here, once per opening,
    /// and not in `config`: these variables belong to the sound server's own way of being found, may change when it
    /// restarts in another session, and are no settings of ours.
    pub(crate) fn from_env() -> Place {
        let uid = std::fs::metadata("/proc/self").map(|us| us.uid()).ok();
        Place::from_vars(|name| std::env::var_os(name).map(PathBuf::from), uid)
    }

    fn from_vars(var: impl Fn(&str) -> Option<PathBuf>, uid: Option<u32>) -> Place {
        let var = |name| var(name).filter(|value| !value.as_os_str().is_empty());
        let mut sockets = var("PULSE_SERVER").map(|list| sockets_in(list.as_os_str())).unwrap_or_default();
        if let Some(dir) = var("PULSE_RUNTIME_PATH") {
            // The variable names the very folder of the socket; some clients look one folder deeper.
            sockets.extend([dir.join("native"), dir.join("pulse/native")]);
        }
        sockets.extend(var("XDG_RUNTIME_DIR").map(|dir| dir.join("pulse/native")));
        sockets.extend(uid.map(|uid| PathBuf::from(format!("/run/user/{uid}/pulse/native"))));
        sockets.extend(["/run/pulse/native", "/var/run/pulse/native"].map(PathBuf::from));

        let mut cookies = Vec::from_iter(var("PULSE_COOKIE"));
        if let Some(home) = var("HOME") {
            cookies.extend([home.join(".config/pulse/cookie"), home.join(".pulse-cookie")]);
        }
        Place { sockets, cookies }
    }

    /// The first cookie that can be read. A server of the same user accepts any, hence the zeros.
    fn cookie(&self) -> Vec<u8> {
        let complete = |path: &PathBuf| std::fs::read(path).ok().filter(|cookie| cookie.len() == COOKIE_BYTES);
        self.cookies.iter().find_map(complete).unwrap_or_else(|| vec![0; COOKIE_BYTES])
    }

    /// The first socket somebody answers on.
    fn connect(&self) -> Result<UnixStream, Error> {
        let mut refused = None;
        for path in &self.sockets {
            match connect(path) {
                Ok(socket) => return Ok(socket),
                // A socket that exists but refuses says more than one that was never there.
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

/// The Unix sockets in a server list: `unix:PATH` or a bare path, each perhaps behind a `{machine}` prefix.
fn sockets_in(list: &OsStr) -> Vec<PathBuf> {
    let path_of = |one: &str| {
        let one = one.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or(one, |(_, server)| server);
        let path = one.strip_prefix("unix:").unwrap_or(one);
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    list.to_string_lossy().split_whitespace().filter_map(path_of).collect()
}

/// Through `socket2`, because connecting to a server that hangs with a full backlog waits for ever unless the time-out
/// is set before.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // A server knows its own user by the credentials that come with the first message, and lets that user in whatever
    // the cookie. It asks for them only after accepting, so a message that arrives between the two carries none and is
    // refused; asking on our side makes the kernel attach them always.
    socket.set_passcred(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    Ok(socket.into())
}

fn is_timeout(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn has_ended(e: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(e.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// The sending half. Every command leaves in one write, so that two threads can share a socket.
#[derive(Debug)]
pub(crate) struct Commands(UnixStream);

impl Commands {
    pub(crate) fn send(&self, seq: u32, command: &Command) -> Result<(), Error> {
        let mut message = Vec::new();
        protocol::encode_command_message(&mut message, seq, command, VERSION).map_err(error_of)?;
        (&self.0).write_all(&message).map_err(|e| error_of(e.into()))
    }

    /// Another sender on the same socket.
    pub(crate) fn another(&self) -> Result<Commands, Error> {
        self.0.try_clone().map(Commands).map_err(|e| error_of(e.into()))
    }

    /// Ends the connection at once, whatever the server does; whoever reads it wakes up.
    pub(crate) fn hang_up(&self) {
        // It fails only if the server has already gone, and then there is nothing to end.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A greeted server.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) commands: Commands,
    reader: BufReader<UnixStream>,
    next_seq: u32,
    control: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(place: &Place) -> Result<Connection, Error> {
        let socket = place.connect()?;
        let reader = BufReader::with_capacity(READ_BUFFER_BYTES, socket.try_clone().map_err(|e| error_of(e.into()))?);
        let mut connection = Connection { commands: Commands(socket), reader, next_seq: 0, control: Vec::new() };

        let auth = AuthParams { version: VERSION, supports_shm: false, supports_memfd: false, cookie: place.cookie() };
        let answer: AuthReply = connection.request(&Command::Auth(auth))?;
        if answer.version < VERSION {
            let why = format!("The sound server is too old: it speaks protocol {}.", answer.version);
            return Err(Error::with_message(ErrorKind::HostUnavailable, why));
        }
        let mut props = Props::new();
        props.set(Prop::ApplicationName, c"roomtone");
        connection.request_ack(&Command::SetClientName(props))?;
        Ok(connection)
    }

    /// From now on reading waits for as long as nothing comes.
    pub(crate) fn read_for_ever(&self) -> Result<(), Error> {
        self.commands.0.set_read_timeout(None).map_err(|e| error_of(e.into()))
    }

    /// Sends a command and waits for its answer, at most [`PATIENCE`] for each part of it.
    pub(crate) fn request<T: TagStructRead>(&mut self, command: &Command) -> Result<T, Error> {
        self.request_with(command, |answer| answer.read())
    }

    /// As `request`, for commands that are answered by a bare yes or by something of no interest.
    pub(crate) fn request_ack(&mut self, command: &Command) -> Result<(), Error> {
        self.request_with(command, |_| Ok(()))
    }

    pub(crate) fn request_with<T>(
        &mut self,
        command: &Command,
        parse: impl FnOnce(&mut TagStructReader<'_>) -> Result<T, ProtocolError>,
    ) -> Result<T, Error> {
        let seq = self.next_seq();
        self.commands.send(seq, command)?;
        loop {
            let head = self.read_head()?;
            if !is_control(&head) {
                self.skip(head.length)?;
                continue;
            }
            let (answered, mut body) = match self.read_control(&head)? {
                (seq, Some(Command::Reply), body) => (seq, body),
                (answered, Some(Command::Error(refusal)), _) if answered == seq => {
                    return Err(error_of(ProtocolError::ServerError(refusal)));
                }
                _ => continue,
            };
            if answered == seq {
                return parse(&mut TagStructReader::new(&mut body, VERSION)).map_err(error_of);
            }
        }
    }

    /// A number no other command on this connection has.
    pub(crate) fn next_seq(&mut self) -> u32 {
        self.next_seq += 1;
        self.next_seq
    }

    /// The head of the next message, whatever it is.
    pub(crate) fn read_head(&mut self) -> Result<Descriptor, Error> {
        protocol::read_descriptor(&mut self.reader).map_err(error_of)
    }

    /// The body of a control message: its number, the command unless it is one we do not know, and what follows it.
    pub(crate) fn read_control(&mut self, head: &Descriptor) -> Result<(u32, Option<Command>, &[u8]), Error> {
        let length = head.length as usize;
        if length > CONTROL_LIMIT_BYTES {
            return Err(error_of(ProtocolError::Invalid(format!("a message of {length} bytes"))));
        }
        self.control.resize(length, 0);
        self.reader.read_exact(&mut self.control).map_err(|e| error_of(e.into()))?;
        let mut rest = self.control.as_slice();
        match Command::read_tag_prefixed(&mut rest, VERSION) {
            Ok((seq, command)) => Ok((seq, Some(command), rest)),
            // A kind of event that this dialect does not have is no reason to stop listening.
            Err(_) => Ok((0, None, &[])),
        }
    }

    /// Sound, as much as `bytes` holds.
    pub(crate) fn read_sound(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        self.reader.read_exact(bytes).map_err(|e| error_of(e.into()))
    }

    /// Reads past `length` bytes.
    pub(crate) fn skip(&mut self, length: u32) -> Result<(), Error> {
        io::copy(&mut (&mut self.reader).take(u64::from(length)), &mut io::sink())
            .map(drop)
            .map_err(|e| error_of(e.into()))
    }
}

/// Whether a message is a command, an answer or an event, and not sound.
pub(crate) fn is_control(head: &Descriptor) -> bool {
    head.channel == u32::MAX
}

/// Reads an answer whose command was sent without waiting.
pub(crate) fn parse<T: TagStructRead>(mut body: &[u8]) -> Result<T, Error> {
    TagStructReader::new(&mut body, VERSION).read().map_err(error_of)
}

/// What went wrong, in cpal's kinds.
fn error_of(e: ProtocolError) -> Error {
    let (kind, why) = match e {
        ProtocolError::Io(e) if is_timeout(&e) => {
            (ErrorKind::HostUnavailable, "The sound server does not answer.".to_owned())
        }
        ProtocolError::Io(e) if has_ended(&e) => (ErrorKind::StreamInvalidated, "The sound server ended.".to_owned()),
        ProtocolError::Io(e) => {
            (ErrorKind::StreamInvalidated, format!("The connection to the sound server ended: {e}."))
        }
        ProtocolError::ServerError(refusal) => (kind_of(refusal), format!("The sound server refuses: {refusal}.")),
        other => (ErrorKind::BackendError, format!("The sound server said something not understood: {other}.")),
    };
    Error::with_message(kind, why)
}

fn kind_of(refusal: PulseError) -> ErrorKind {
    match refusal {
        PulseError::AccessDenied | PulseError::AuthKey => ErrorKind::PermissionDenied,
        PulseError::NoEntity | PulseError::Killed => ErrorKind::DeviceNotAvailable,
        PulseError::Busy => ErrorKind::DeviceBusy,
        PulseError::Invalid | PulseError::NotSupported => ErrorKind::UnsupportedConfig,
        PulseError::TooLarge => ErrorKind::ResourceExhausted,
        PulseError::ConnectionTerminated | PulseError::BadState => ErrorKind::StreamInvalidated,
        _ => ErrorKind::BackendError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(vars: &[(&str, &str)], uid: Option<u32>) -> Place {
        Place::from_vars(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v)), uid)
    }

    #[test]
    fn the_server_is_looked_for_where_its_own_variables_say_first() {
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
        assert_eq!(place(&vars, Some(7)).sockets, expected.map(PathBuf::from));
    }

    #[test]
    fn an_empty_environment_still_finds_the_usual_places() {
        let found = place(&[("PULSE_SERVER", ""), ("HOME", "")], None);
        assert_eq!(found.sockets, ["/run/pulse/native", "/var/run/pulse/native"].map(PathBuf::from));
        assert!(found.cookies.is_empty());
        assert_eq!(found.cookie(), [0; COOKIE_BYTES]);
    }

    #[test]
    fn nobody_listening_is_an_error_and_names_the_socket() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let missing = Connection::open(&Place::at(dir.path().join("native"))).expect_err("nobody is there");
        assert_eq!(missing.kind(), ErrorKind::HostUnavailable);

        let path = dir.path().join("dead");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("a socket"));
        let dead = Connection::open(&Place::at(path.clone())).expect_err("nobody accepts");
        assert_eq!(dead.kind(), ErrorKind::HostUnavailable);
        assert!(dead.to_string().contains(&path.display().to_string()), "{dead}");
    }

    #[test]
    fn a_server_that_never_answers_is_given_up() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("native");
        let _mute = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let started = std::time::Instant::now();
        let hung = Connection::open(&Place::at(path)).expect_err("it never answers");
        assert_eq!(hung.kind(), ErrorKind::HostUnavailable);
        assert!(started.elapsed() < PATIENCE * 2);
    }

    #[test]
    fn a_server_that_talks_nonsense_is_an_error() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("native");
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            socket.write_all(&[0xff; 64]).expect("the client reads");
        });
        Connection::open(&Place::at(path)).expect_err("nonsense");
        server.join().expect("the server ran");
    }
}
