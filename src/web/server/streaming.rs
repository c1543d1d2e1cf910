//! Sends a streamed response, on the `conn-<n>` thread of its connection, which is the response's own from then on: the
//! connection is closed after it. The thread sleeps until its socket is ready, the stream unparks it, or the stream's
//! own deadline. It reads no request meanwhile, and does not know what it sends.
//!
//! Memory is bounded: one piece of the body is taken from the stream, and the next only when the client has taken that
//! one. A client that takes a piece too slowly is disconnected; no other client waits for it.

use std::io::{self, Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::os::threads;
use crate::web::http::body::{BodyStream, Next};
use crate::web::http::chunked::{self, LAST_CHUNK};
use crate::web::transport::readiness;
use crate::web::transport::socket::{ClientSocket, NonBlockingSocket};

/// What is taken from a stream at a time, and must be taken by the client within the write time-out: a floor of 1.6
/// KB/s at 10 s, as for every response.
const PIECE_BYTES: usize = 16 * 1024;
/// What a client may send behind its request, with everything that TLS adds. It is read and discarded, to notice when the client leaves.
const MAX_INPUT_BYTES: usize = 64 * 1024;
/// How long a client may take to close after the end of the body.
const LINGER: Duration = Duration::from_secs(2);

/// Sends `head` and then the body, chunked (RFC 9112 §7.1) or delimited by the end of the connection.
///
/// # Errors
/// Why the client did not get all of it: it left, took too little, or sent too much, or the server stops.
pub(crate) fn send(
    socket: &mut ClientSocket<'_>,
    readiness: &readiness::Handle,
    head: Vec<u8>,
    body: &mut dyn BodyStream,
    is_chunked: bool,
    write_timeout: Duration,
) -> io::Result<()> {
    let socket = socket.non_blocking(readiness)?;
    let mut sender = Sender {
        socket,
        outgoing: head,
        written: 0,
        write_deadline: None,
        piece: vec![0; PIECE_BYTES],
        is_chunked,
        is_complete: false,
    };
    sender.socket.allow(MAX_INPUT_BYTES);
    sender.run(body, write_timeout)?;
    sender.socket.block_for(LINGER)?;
    sender.socket.linger(LINGER);
    Ok(())
}

struct Sender<'a> {
    socket: NonBlockingSocket<'a>,
    /// The head, a piece of the body with its framing, or the end of it.
    outgoing: Vec<u8>,
    /// How much of that has been written.
    written: usize,
    /// Until when the client must have taken it; None until a write blocks.
    write_deadline: Option<Instant>,
    piece: Vec<u8>,
    is_chunked: bool,
    /// Nothing follows what is outgoing.
    is_complete: bool,
}

enum Step {
    Wait(Option<Instant>),
    Done,
}

impl Sender<'_> {
    fn run(&mut self, body: &mut dyn BodyStream, write_timeout: Duration) -> io::Result<()> {
        let mut is_stack_released = false;
        loop {
            if self.socket.take_ready() {
                self.discard_input()?;
            }
            let deadline = match self.step(body, write_timeout)? {
                Step::Done => return Ok(()),
                Step::Wait(deadline) => deadline,
            };
            // From here on this thread sleeps most of the time.
            if !std::mem::replace(&mut is_stack_released, true) {
                threads::release_stack();
            }
            match deadline {
                None => thread::park(),
                Some(deadline) => thread::park_timeout(deadline.saturating_duration_since(Instant::now())),
            }
        }
    }

    /// Writes and takes pieces until one of both must be waited for.
    fn step(&mut self, body: &mut dyn BodyStream, write_timeout: Duration) -> io::Result<Step> {
        loop {
            let is_taken = self.write()?;
            let now = Instant::now();
            if !is_taken {
                let deadline = *self.write_deadline.get_or_insert(now + write_timeout);
                return if now < deadline {
                    Ok(Step::Wait(Some(deadline)))
                } else {
                    Err(io::ErrorKind::TimedOut.into())
                };
            }
            self.write_deadline = None;
            if self.is_complete {
                return Ok(Step::Done);
            }
            match body.next(&mut self.piece, now) {
                Next::Wait(deadline) => return Ok(Step::Wait(deadline)),
                Next::End => {
                    self.is_complete = true;
                    self.set_outgoing(|outgoing, is_chunked, _| {
                        if is_chunked {
                            outgoing.extend_from_slice(LAST_CHUNK);
                        }
                    });
                }
                // An empty chunk would end the body as if it were complete.
                Next::Bytes(count) if count == 0 || count > self.piece.len() => {
                    return Err(io::Error::other(format!("bug: a stream returned {count} bytes")));
                }
                Next::Bytes(count) => self.set_outgoing(|outgoing, is_chunked, piece| {
                    let data = &piece[..count];
                    if is_chunked { chunked::write_chunk(data, outgoing) } else { outgoing.extend_from_slice(data) }
                }),
            }
        }
    }

    fn set_outgoing(&mut self, fill: impl FnOnce(&mut Vec<u8>, bool, &[u8])) {
        self.outgoing.clear();
        self.written = 0;
        fill(&mut self.outgoing, self.is_chunked, &self.piece);
    }

    /// Whether all that is outgoing has been taken.
    fn write(&mut self) -> io::Result<bool> {
        while self.written < self.outgoing.len() {
            match self.socket.write(&self.outgoing[self.written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        match self.socket.flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            flushed => flushed.map(|()| true),
        }
    }

    /// Reads until nothing is left, as readiness is reported once. A client that closes its sending direction has left.
    fn discard_input(&mut self) -> io::Result<()> {
        let mut buffer = [0; 1024];
        while self.socket.allowance() > 0 {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if self.socket.allowance() == 0 && error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("the client sends too much during a streamed response"))
    }
}
