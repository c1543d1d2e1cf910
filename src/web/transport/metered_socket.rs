//! The socket of a WebSocket. Of what has arrived, only so much can be read in one turn of its thread, and it is counted:
//! tungstenite reads on as long as there is input, and keeps its caller from everything else meanwhile, if a client sends
//! fragments without end.

use std::io::{self, Read, Write};
use std::time::Duration;

use crate::web::transport::frame_counter::FrameCounter;
use crate::web::transport::socket::NonBlockingSocket;

/// A non-blocking socket that is read in turns.
pub(crate) struct MeteredSocket<'w> {
    socket: NonBlockingSocket<'w>,
    /// Arrived before the handshake was answered.
    early: Vec<u8>,
    frames: FrameCounter,
    turn_bytes: usize,
}

/// What was read in a turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Frames that began, those of pings and fragments among them.
    pub frames: usize,
    /// Bytes that were taken from the network, with everything that TLS adds.
    pub bytes: usize,
    /// All of the turn's bytes were read, so there may be more.
    pub is_used_up: bool,
}

impl<'w> MeteredSocket<'w> {
    /// `early` is what has been read already.
    pub fn new(socket: NonBlockingSocket<'w>, early: Vec<u8>) -> MeteredSocket<'w> {
        MeteredSocket { socket, early, frames: FrameCounter::default(), turn_bytes: 0 }
    }

    /// From here on, reading so many bytes is possible; then it would block.
    pub fn begin_turn(&mut self, bytes: usize) {
        self.turn_bytes = bytes;
        self.socket.allow(bytes);
    }

    /// What was read since the turn began.
    pub fn end_turn(&mut self) -> Turn {
        let left = self.socket.allowance();
        Turn { frames: self.frames.take(), bytes: self.turn_bytes - left, is_used_up: left == 0 }
    }

    /// See [`NonBlockingSocket::take_ready`].
    pub fn take_ready(&self) -> bool {
        self.socket.take_ready()
    }

    /// See [`NonBlockingSocket::block_for`].
    pub fn block_for(&self, time: Duration) -> io::Result<()> {
        self.socket.block_for(time)
    }

    /// See [`NonBlockingSocket::linger`].
    pub fn linger(&mut self, time: Duration) {
        self.socket.linger(time);
    }
}

impl Read for MeteredSocket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = if self.early.is_empty() {
            self.socket.read(buffer)?
        } else {
            let count = buffer.len().min(self.early.len());
            buffer[..count].copy_from_slice(&self.early[..count]);
            self.early.drain(..count);
            if self.early.is_empty() {
                self.early = Vec::new();
            }
            count
        };
        self.frames.push(&buffer[..count]);
        Ok(count)
    }
}

impl Write for MeteredSocket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}
