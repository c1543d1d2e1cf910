//! A client's socket, plain or with TLS on top, on the thread of its connection. Two ways to use it: blocking, each
//! read and write within a time (`ClientSocket`), and without blocking, both directions at once, for a WebSocket or a
//! streamed response (`NonBlockingSocket`). It does not know what is sent.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustls::ServerConnection;

use crate::web::transport::first_bytes::{self, Decision};
use crate::web::transport::readiness::{self, WatchedSocket};
use crate::web::transport::tls::Tls;

/// As many bytes as are encrypted at a time: one record (RFC 8446 §5.1). No more ciphertext than this waits for the
/// socket.
const RECORD_BYTES: usize = 16 * 1024;
/// How long, and how much, input is read and discarded after the last byte was written. Closing with input unread makes
/// the kernel send a reset, which can overtake what was written (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// A client's socket, used in blocking calls.
pub(crate) struct ClientSocket<'a> {
    stream: &'a TcpStream,
    tls: Option<Box<ServerConnection>>,
}

impl<'a> ClientSocket<'a> {
    /// Looks at the first byte, and does the handshake if it is TLS and this server speaks TLS.
    ///
    /// # Errors
    /// A time-out, the end of the connection, or a handshake that failed; the client has been sent an alert, if it
    /// takes one.
    pub fn open(stream: &'a TcpStream, tls: Option<&Tls>, deadline: Instant) -> io::Result<ClientSocket<'a>> {
        let mut socket = ClientSocket { stream, tls: None };
        let Some(tls) = tls else { return Ok(socket) };
        // One byte is enough to tell TLS; what else it is does not matter here.
        if first_bytes::decide(&[socket.first_byte(deadline)?], false) == Decision::Tls {
            let connection = ServerConnection::new(tls.config()).map_err(io::Error::other)?;
            socket.tls = Some(Box::new(connection));
            socket.handshake(deadline)?;
        }
        Ok(socket)
    }

    /// Whether the client speaks TLS with this server.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Reads what has arrived, or waits for it until the deadline. Zero bytes are the end of the connection.
    pub fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        loop {
            if let Some(read) = self.tls.as_deref_mut().and_then(|tls| decrypted(tls, buffer)) {
                return read;
            }
            // The client may be waiting for what has not been sent yet.
            self.send(deadline)?;
            let arrived = self.receive(deadline, buffer)?;
            if self.tls.is_none() {
                return Ok(arrived);
            }
        }
    }

    /// Writes all bytes before the deadline.
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

    /// Closes the sending direction, then reads and discards what the client may still be sending, so that it can read
    /// the response.
    pub fn linger(&mut self) {
        self.send_close_notify();
        linger(self.stream, LINGER);
    }

    /// Closes both directions. The socket is shut down here and not left to its last owner: the client must not wait
    /// for that.
    pub fn close(mut self) {
        self.send_close_notify();
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// The same connection, read and written without blocking from now on; the calling thread is unparked when it is
    /// ready.
    pub fn non_blocking<'w>(&'w mut self, readiness: &'w readiness::Handle) -> io::Result<NonBlockingSocket<'w>> {
        self.stream.set_nonblocking(true)?;
        let watched = readiness.watch(self.stream)?;
        Ok(NonBlockingSocket { stream: self.stream, watched, tls: self.tls.as_deref_mut(), allowance: usize::MAX })
    }

    /// How much the kernel may keep of what is written, while the client does not take it. Best effort.
    pub fn set_send_buffer_bytes(&self, bytes: usize) {
        if let Err(error) = socket2::SockRef::from(self.stream).set_send_buffer_size(bytes) {
            log::debug!("the size of a send buffer stays unchanged: {error}");
        }
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

    fn handshake(&mut self, deadline: Instant) -> io::Result<()> {
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
        let mut socket = WithDeadline { stream: self.stream, deadline };
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
    fn send_close_notify(&mut self) {
        let Some(tls) = self.tls.as_deref_mut() else { return };
        tls.send_close_notify();
        if tls.wants_write() && self.stream.set_nonblocking(true).is_ok() {
            let _ = send_some(tls, &mut self.stream);
            let _ = self.stream.set_nonblocking(false);
        }
    }
}

/// A client's socket that is read and written without blocking. Reading goes on while writing is blocked and the other
/// way round. `WouldBlock` of a read means that nothing is left, neither in the socket nor decrypted, so that a thread
/// that then waits for the socket misses nothing, unless the allowance is used up; of a write or a flush, that encrypted
/// bytes wait for the socket.
pub(crate) struct NonBlockingSocket<'w> {
    stream: &'w TcpStream,
    watched: WatchedSocket<'w>,
    tls: Option<&'w mut ServerConnection>,
    /// Bytes that may still be read from the socket.
    allowance: usize,
}

impl NonBlockingSocket<'_> {
    /// See [`WatchedSocket::take_ready`].
    pub fn take_ready(&self) -> bool {
        self.watched.take_ready()
    }

    /// From now on so many bytes may be read from the socket, those of TLS included; then reading would block. A client can
    /// send TLS records and frames without content and without end, and keep whoever reads them from anything else.
    pub fn allow(&mut self, bytes: usize) {
        self.allowance = bytes;
    }

    /// How much is left of that.
    pub fn allowance(&self) -> usize {
        self.allowance
    }

    /// From now on reads and writes block, each for this long at the most.
    pub fn block_for(&self, time: Duration) -> io::Result<()> {
        self.stream.set_nonblocking(false)?;
        self.stream.set_write_timeout(Some(time))?;
        self.stream.set_read_timeout(Some(time))
    }

    /// See [`ClientSocket::linger`]. Reads and writes must block.
    pub fn linger(&mut self, time: Duration) {
        if let Some(tls) = self.tls.as_deref_mut() {
            tls.send_close_notify();
            let _ = send_all(tls, &mut self.watched);
        }
        linger(self.stream, time);
    }
}

impl Read for NonBlockingSocket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut socket = WithAllowance { socket: &mut self.watched, allowance: &mut self.allowance };
        let Some(tls) = self.tls.as_deref_mut() else { return socket.read(buffer) };
        loop {
            if let Some(read) = decrypted(tls, buffer) {
                return read;
            }
            tls.read_tls(&mut socket)?;
            let processed = tls.process_new_packets();
            // An alert, or what the protocol must answer; what the socket does not take now leaves with a flush.
            let _ = send_all(tls, socket.socket);
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }
}

impl Write for NonBlockingSocket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = self.tls.as_deref_mut() else { return self.watched.write(bytes) };
        // Nothing more is encrypted before all that was encrypted has left, so no more than a record waits here.
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

/// What rustls has decrypted, or the end of it; None if more must be read from the socket. Some clients end without the
/// `close_notify` of RFC 8446 §6.1; HTTP and WebSocket notice by themselves if something is missing then.
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

fn linger(stream: &TcpStream, time: Duration) {
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

/// A socket of which only so much is read.
struct WithAllowance<'a, S> {
    socket: &'a mut S,
    allowance: &'a mut usize,
}

impl<S: Read> Read for WithAllowance<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if *self.allowance == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = buffer.len().min(*self.allowance);
        let count = self.socket.read(&mut buffer[..length])?;
        *self.allowance -= count;
        Ok(count)
    }
}

/// A socket that is read with a deadline.
struct WithDeadline<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl Read for WithDeadline<'_> {
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
