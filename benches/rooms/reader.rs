//! The thread that reads for all browsers of the bench and answers pings.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use crossbeam_channel::{Receiver, SendError, Sender};
use mio::net::TcpStream;
use mio::{Events, Poll, Token};

use crate::wire::{self, Piece};

/// What the reader has received.
pub enum Received {
    /// `init-peers`: the stream's number, and the id that it was given.
    Joined(usize, String),
    /// An offer or echo arrived so many nanoseconds after it was sent.
    Relayed(u64),
    /// The server closed a connection.
    Closed,
}

/// Reads all streams, whose numbers are their mio tokens.
pub struct Reader {
    poll: Poll,
    new_streams: Receiver<(usize, Arc<TcpStream>)>,
    received: Sender<Received>,
    /// Each with what has arrived of its next piece.
    streams: HashMap<usize, (Arc<TcpStream>, Vec<u8>)>,
}

impl Reader {
    /// `new_streams` carries each stream after it was registered with `poll`.
    pub fn new(poll: Poll, new_streams: Receiver<(usize, Arc<TcpStream>)>, received: Sender<Received>) -> Reader {
        Reader { poll, new_streams, received, streams: HashMap::new() }
    }

    /// Runs until the crowd is gone.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(1024);
        let mut bytes = vec![0; 64 * 1024];
        loop {
            self.poll.poll(&mut events, None).expect("events");
            for event in &events {
                let Token(number) = event.token();
                while !self.streams.contains_key(&number) {
                    let Ok((number, stream)) = self.new_streams.recv() else { return };
                    self.streams.insert(number, (stream, vec![]));
                }
                if self.read(number, &mut bytes).is_err() {
                    return;
                }
            }
        }
    }

    fn read(&mut self, number: usize, bytes: &mut [u8]) -> Result<(), SendError<Received>> {
        let Some((stream, inbox)) = self.streams.get_mut(&number) else { return Ok(()) };
        loop {
            match (&**stream).read(bytes) {
                Ok(0) => return self.received.send(Received::Closed),
                Ok(count) => inbox.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return self.received.send(Received::Closed),
            }
        }
        let mut at = 0;
        while let Some((piece, length)) = wire::read(&inbox[at..]) {
            match piece {
                Piece::InitPeers { id } => self.received.send(Received::Joined(number, id))?,
                Piece::Stamped { sent_ns } => self.received.send(Received::Relayed(wire::now_ns() - sent_ns))?,
                Piece::Ping { payload } => wire::write_all(stream, &wire::frame(0x8a, payload)),
                Piece::Other => {}
            }
            at += length;
        }
        inbox.drain(..at);
        Ok(())
    }
}
