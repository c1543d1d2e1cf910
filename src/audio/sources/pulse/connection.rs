//! One connection to a PulseAudio server (PipeWire speaks the same protocol): authentication, commands, and reading
//! messages. Runs on the thread that opens it. It knows nothing of streams. Until `wait_without_limit` is called it
//! never waits longer than `SERVER_TIMEOUT` for an answer, because a server that hangs must be an error here and must
//! not make this process hang too.

use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;

use cpal::{Error, ErrorKind};
use pulseaudio::protocol::{
    self, AuthParams, AuthReply, Command, Descriptor, Prop, Props, ProtocolError, TagStructRead, TagStructReader,
};
use socket2::Socket;

use crate::audio::sources::pulse::errors::error_of;
use crate::audio::sources::pulse::server_paths::ServerPaths;

/// The protocol version spoken. 14 has all that capturing needs. Its answers contain none of the enumerations (states,
/// port types, encodings) that newer servers extend, and of which a single unknown value makes a whole list unreadable.
const VERSION: u16 = 14;

/// Longest control message read. Lists of sources with all their properties are far smaller.
const CONTROL_LIMIT_BYTES: usize = 4 << 20;

/// Receive buffer: a few blocks of sound and the messages between them in one read.
const READ_BUFFER_BYTES: usize = 64 << 10;

/// The sending half. Every command is one write, so that two threads can share a socket.
#[derive(Debug)]
pub(crate) struct Commands(Socket);

impl Commands {
    pub(crate) fn send(&self, seq: u32, command: &Command) -> Result<(), Error> {
        let mut message = Vec::new();
        protocol::encode_command_message(&mut message, seq, command, VERSION).map_err(error_of)?;
        (&self.0).write_all(&message).map_err(|e| error_of(e.into()))
    }

    /// A second sender on the same socket.
    pub(crate) fn try_clone(&self) -> Result<Commands, Error> {
        self.0.try_clone().map(Commands).map_err(|e| error_of(e.into()))
    }

    /// Ends the connection at once, even if the server hangs. A thread that reads from it wakes up.
    pub(crate) fn shut_down(&self) {
        // It fails only if the server has already closed the connection.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// A connection on which the server has accepted this client.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) commands: Commands,
    reader: BufReader<Socket>,
    next_seq: u32,
    control: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(paths: &ServerPaths) -> Result<Connection, Error> {
        let (socket, server) = paths.connect()?;
        let reader = BufReader::with_capacity(READ_BUFFER_BYTES, socket.try_clone().map_err(|e| error_of(e.into()))?);
        let mut connection = Connection { commands: Commands(socket), reader, next_seq: 0, control: Vec::new() };

        let auth = AuthParams { version: VERSION, supports_shm: false, supports_memfd: false, cookie: paths.cookie() };
        let answer: AuthReply = connection.request(&Command::Auth(auth)).map_err(|e| match e.kind() {
            ErrorKind::PermissionDenied => {
                let why = format!(
                    "The sound server at {server} refuses this cookie; set PULSE_COOKIE to a file with its own."
                );
                Error::with_message(ErrorKind::PermissionDenied, why)
            }
            _ => e,
        })?;
        if answer.version < VERSION {
            let why = format!(
                "The sound server is too old: it speaks version {} of the protocol, and {VERSION} is needed.",
                answer.version
            );
            return Err(Error::with_message(ErrorKind::HostUnavailable, why));
        }
        let mut props = Props::new();
        props.set(Prop::ApplicationName, c"roomtone");
        connection.request_ack(&Command::SetClientName(props))?;
        Ok(connection)
    }

    /// From now on reading waits without a time-out.
    pub(crate) fn wait_without_limit(&self) -> Result<(), Error> {
        self.commands.0.set_read_timeout(None).map_err(|e| error_of(e.into()))
    }

    /// Sends a command and waits for its answer, at most `SERVER_TIMEOUT` for each part of it.
    pub(crate) fn request<T: TagStructRead>(&mut self, command: &Command) -> Result<T, Error> {
        self.request_with(command, |answer| answer.read())
    }

    /// As `request`, for commands whose answer has no content, or none of interest.
    pub(crate) fn request_ack(&mut self, command: &Command) -> Result<(), Error> {
        self.request_with(command, |_| Ok(()))
    }

    /// As `request`, with a parser for the answer.
    pub(crate) fn request_with<T>(
        &mut self,
        command: &Command,
        parse: impl FnOnce(&mut TagStructReader<'_>) -> Result<T, ProtocolError>,
    ) -> Result<T, Error> {
        let seq = self.next_seq();
        self.commands.send(seq, command)?;
        loop {
            let header = self.read_header()?;
            if !is_control(&header) {
                self.skip(header.length)?;
                continue;
            }
            let (answered, mut body) = match self.read_control(&header)? {
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

    /// A sequence number that no other command on this connection has.
    pub(crate) fn next_seq(&mut self) -> u32 {
        self.next_seq += 1;
        self.next_seq
    }

    /// The header of the next message of any kind.
    pub(crate) fn read_header(&mut self) -> Result<Descriptor, Error> {
        protocol::read_descriptor(&mut self.reader).map_err(error_of)
    }

    /// The body of a control message: its sequence number, its command if that is known, and the bytes that follow.
    pub(crate) fn read_control(&mut self, header: &Descriptor) -> Result<(u32, Option<Command>, &[u8]), Error> {
        let length = header.length as usize;
        if length > CONTROL_LIMIT_BYTES {
            return Err(error_of(ProtocolError::Invalid(format!("a message of {length} bytes"))));
        }
        self.control.resize(length, 0);
        self.reader.read_exact(&mut self.control).map_err(|e| error_of(e.into()))?;
        let mut rest = self.control.as_slice();
        match Command::read_tag_prefixed(&mut rest, VERSION) {
            Ok((seq, command)) => Ok((seq, Some(command), rest)),
            // An event that this version of the protocol does not have is ignored.
            Err(_) => Ok((0, None, &[])),
        }
    }

    /// Fills `bytes` with sound.
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

/// Whether a message is a command, an answer or an event; else it is sound.
pub(crate) fn is_control(header: &Descriptor) -> bool {
    header.channel == u32::MAX
}

/// Parses an answer that was read after its command had been sent without waiting.
pub(crate) fn parse<T: TagStructRead>(mut body: &[u8]) -> Result<T, Error> {
    TagStructReader::new(&mut body, VERSION).read().map_err(error_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::sources::pulse::server_paths::SERVER_TIMEOUT;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_missing_or_dead_server_is_unavailable_and_a_dead_one_is_named() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let missing =
            Connection::open(&ServerPaths::of_socket(dir.path().join("native"))).expect_err("no socket exists");
        assert_eq!(missing.kind(), ErrorKind::HostUnavailable);

        let path = dir.path().join("dead");
        drop(UnixListener::bind(&path).expect("a socket"));
        let dead = Connection::open(&ServerPaths::of_socket(path.clone())).expect_err("no server accepts");
        assert_eq!(dead.kind(), ErrorKind::HostUnavailable);
        assert!(dead.to_string().contains(&path.display().to_string()), "{dead}");
    }

    #[test]
    fn opening_a_server_that_never_answers_times_out() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("native");
        let _silent = UnixListener::bind(&path).expect("a socket");
        let started = std::time::Instant::now();
        let hung = Connection::open(&ServerPaths::of_socket(path)).expect_err("it never answers");
        assert_eq!(hung.kind(), ErrorKind::HostUnavailable);
        assert!(started.elapsed() < SERVER_TIMEOUT * 2);
    }

    #[test]
    fn a_server_that_sends_garbage_is_an_error() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("native");
        let listener = UnixListener::bind(&path).expect("a socket");
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().expect("a client");
            socket.write_all(&[0xff; 64]).expect("the client reads");
        });
        Connection::open(&ServerPaths::of_socket(path)).expect_err("garbage");
        server.join().expect("the server ran");
    }
}
