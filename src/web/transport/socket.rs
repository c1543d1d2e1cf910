//! A client's socket, plain or with TLS on top, on the thread of its connection. Two ways to use it: blocking, each read
//! and write within a time (`Wire`), and without blocking, both ways at once, for a WebSocket (`Duplex`). It knows nothing
//! of what is said.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustls::ServerConnection;

use crate::web::transport::readiness::{self, Watched};
use crate::web::transport::tls::Tls;

/// ContentType `handshake`, with which every TLS connection begins (RFC 8446 §5.1). No HTTP request does.
const HANDSHAKE: u8 = 22;
/// PeerEvent is encrypted at a time: one record (RFC 8446 §5.1). No more ciphertext than this waits for the socket.
const RECORD_BYTES: usize = 16 * 1024;
/// PeerEvent the kernel may keep for a WebSocket whose browser stops reading: all that a full room sends to somebody who joins,
/// several times over, so that a short break of the network makes nobody too slow.
const DUPLEX_SEND_BUFFER_BYTES: usize = 256 * 1024;
/// How long, and how much, is read over after the last word. Closing with input unread makes the kernel send a reset,
/// which can overtake that word (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// A connection, used in blocking calls.
pub(crate) struct Wire<'a> {
    stream: &'a TcpStream,
    tls: Option<Box<ServerConnection>>,
}

impl<'a> Wire<'a> {
    /// Looks at the first byte, and shakes hands if it is TLS and TLS is spoken here.
    ///
    /// # Errors
    /// Late, gone, or not TLS; the client has been told, as far as that can be done.
    pub fn open(stream: &'a TcpStream, tls: Option<&Tls>, deadline: Instant) -> io::Result<Wire<'a>> {
        let mut wire = Wire { stream, tls: None };
        let Some(tls) = tls else { return Ok(wire) };
        if wire.first_byte(deadline)? == HANDSHAKE {
            let connection = ServerConnection::new(tls.config()).map_err(io::Error::other)?;
            wire.tls = Some(Box::new(connection));
            wire.shake_hands(deadline)?;
        }
        Ok(wire)
    }

    /// Whether nobody on the way can read along.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads something, with a time-out that does not begin anew with every byte. Nothing is the end.
    pub fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            if let Some(read) = self.tls.as_deref_mut().and_then(|tls| decrypted(tls, buffer)) {
                return read;
            }
            // The other side may be waiting for what is still here.
            self.send(deadline)?;
            let arrived = self.receive(deadline, buffer)?;
            if self.tls.is_none() {
                return Ok(arrived);
            }
        }
    }

    /// Writes all of it, within one time.
    pub fn write_all(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = match self.tls.as_deref_mut() {
                Some(tls) => tls.writer().write(&bytes[..bytes.len().min(RECORD_BYTES)])?,
                None => {
                    self.stream.set_write_timeout(Some(until(deadline)?))?;
                    match self.stream.write(bytes) {
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                        written => written?,
                    }
                }
            };
            self.send(deadline)?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[count..];
        }
        Ok(())
    }

    /// The end of what we say. Reads over what the client may still be sending, so that it gets to read our last word.
    pub fn linger(&mut self) {
        self.say_goodbye();
        end(self.stream, LINGER);
    }

    /// The end, for both sides. The socket is shut here and not left to its last owner: the client must not wait for that.
    pub fn close(mut self) {
        self.say_goodbye();
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The same connection, read and written without blocking from now on.
    pub fn duplex<'w>(&'w mut self, readiness: &'w readiness::Handle) -> io::Result<Duplex<'w>> {
        if let Err(error) = socket2::SockRef::from(self.stream).set_send_buffer_size(DUPLEX_SEND_BUFFER_BYTES) {
            log::debug!("a send buffer stays as small as it is: {error}");
        }
        self.stream.set_nonblocking(true)?;
        let watched = readiness.watch(self.stream)?;
        Ok(Duplex { stream: self.stream, watched, tls: self.tls.as_deref_mut() })
    }

    fn first_byte(&self, deadline: Instant) -> io::Result<u8> {
        let mut first = [0];
        loop {
            self.stream.set_read_timeout(Some(until(deadline)?))?;
            match self.stream.peek(&mut first) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(first[0]),
                Err(error) if is_timeout(&error) => return Err(io::ErrorKind::TimedOut.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn shake_hands(&mut self, deadline: Instant) -> io::Result<()> {
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            if self.receive(deadline, &mut [])? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.send(deadline)?;
        }
        Ok(())
    }

    /// Waits for bytes: into rustls, or, without TLS, into `buffer`.
    fn receive(&mut self, deadline: Instant, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = Timed { stream: self.stream, deadline };
        let Some(tls) = self.tls.as_deref_mut() else { return socket.read(buffer) };
        let count = tls.read_tls(&mut socket)?;
        if let Err(error) = tls.process_new_packets() {
            // With the alert that rustls has made, if the socket takes it at once.
            self.linger();
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        Ok(count)
    }

    /// Writes what has been encrypted.
    fn send(&mut self, deadline: Instant) -> io::Result<()> {
        let Some(tls) = self.tls.as_deref_mut() else { return Ok(()) };
        while tls.wants_write() {
            self.stream.set_write_timeout(Some(until(deadline)?))?;
            send_some(tls, &mut self.stream)?;
        }
        Ok(())
    }

    /// RFC 8446 §6.1. Best effort and without waiting: the client may have stopped reading long ago.
    fn say_goodbye(&mut self) {
        let Some(tls) = self.tls.as_deref_mut() else { return };
        tls.send_close_notify();
        if tls.wants_write() && self.stream.set_nonblocking(true).is_ok() {
            let _ = send_some(tls, &mut self.stream);
            let _ = self.stream.set_nonblocking(false);
        }
    }
}

/// A connection that is read and written without blocking. Reading goes on while writing is blocked and the other way
/// round. `WouldBlock` of a read means that nothing is left, neither in the socket nor decrypted, so that whoever waits
/// for the socket misses nothing; of a write or a flush, that encrypted bytes wait for the socket.
pub(crate) struct Duplex<'w> {
    stream: &'w TcpStream,
    watched: Watched<'w>,
    tls: Option<&'w mut ServerConnection>,
}

impl Duplex<'_> {
    /// See [`Watched::take_ready`].
    pub fn take_ready(&self) -> bool {
        self.watched.take_ready()
    }

    /// From now on reads and writes wait, each for this long at the most.
    pub fn block_for(&self, time: Duration) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_write_timeout(Some(time))?;
        self.stream.set_read_timeout(Some(time))
    }

    /// See [`Wire::linger`].
    pub fn end(&mut self, time: Duration) {
        if let Some(tls) = self.tls.as_deref_mut() {
            tls.send_close_notify();
            let _ = send_all(tls, &mut self.watched);
        }
        end(self.stream, time);
    }
}

impl Read for Duplex<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = self.tls.as_deref_mut() else { return self.watched.read(buffer) };
        loop {
            if let Some(read) = decrypted(tls, buffer) {
                return read;
            }
            tls.read_tls(&mut self.watched)?;
            let processed = tls.process_new_packets();
            // An alert, or what the protocol wants to be answered; what the socket does not take now leaves with a flush.
            let _ = send_all(tls, &mut self.watched);
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

impl Write for Duplex<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = self.tls.as_deref_mut() else { return self.watched.write(bytes) };
        // Nothing more is encrypted before all that was has left: so no more than a record waits here.
        send_all(tls, &mut self.watched)?;
        let count = tls.writer().write(&bytes[..bytes.len().min(RECORD_BYTES)])?;
        match send_all(tls, &mut self.watched) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.tls.as_deref_mut() {
            Some(tls) => send_all(tls, &mut self.watched),
            None => self.watched.flush(),
        }
    }
}

/// PeerEvent rustls has in the clear, or the end of it; None if more must be read from the socket. Some clients end without the
/// goodbye of RFC 8446 §6.1; HTTP and WebSocket notice by themselves if something is missing then.
fn decrypted(tls: &mut ServerConnection, buffer: &mut [u8]) -> Option<io::Result<usize>> {
    match tls.reader().read(buffer) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some(Ok(0)),
        read => Some(read),
    }
}

fn send_all(tls: &mut ServerConnection, socket: &mut impl Write) -> io::Result<()> {
    while tls.wants_write() {
        send_some(tls, socket)?;
    }
    Ok(())
}

fn send_some(tls: &mut ServerConnection, socket: &mut impl Write) -> io::Result<()> {
    match tls.write_tls(socket) {
        Ok(0) => Err(io::ErrorKind::WriteZero.into()),
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

fn end(stream: &TcpStream, time: Duration) {
    let _ = stream.shutdown(Shutdown::Write);
    let deadline = Instant::now() + time;
    let (mut buffer, mut total) = ([0; 4 * 1024], 0);
    while total < LINGER_BYTES {
        match read_plain(stream, &mut buffer, deadline) {
            Ok(count) if count > 0 => total += count,
            _ => return,
        }
    }
}

/// A socket that is read until a moment.
struct Timed<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        read_plain(self.stream, buffer, self.deadline)
    }
}

fn read_plain(mut stream: &TcpStream, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        stream.set_read_timeout(Some(until(deadline)?))?;
        match stream.read(buffer) {
            Err(error) if is_timeout(&error) => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The time left, which a socket option can express; an error if there is none.
fn until(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left.max(Duration::from_millis(1))) }
}

/// Unix and Windows name it differently.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
