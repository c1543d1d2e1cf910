//! All browsers of the bench: they join rooms and send offers at a chosen pace. One thread, in [`reader`](crate::reader), reads
//! for all of them.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Interest, Poll, Registry, Token};

use crate::reader::{Reader, Received};
use crate::wire;

/// Peers in one room.
pub const PEERS_PER_ROOM: usize = 10;
const PATIENCE: Duration = Duration::from_secs(30);

/// All browsers, and the channel to the thread that reads for them.
pub struct Crowd {
    registry: Registry,
    to_reader: Sender<(usize, Arc<TcpStream>)>,
    received: Receiver<Received>,
    streams: Vec<Arc<TcpStream>>,
    /// Streams of peers, with the peers' ids. The echo is none.
    peers: Vec<(usize, String)>,
}

impl Crowd {
    /// A crowd without browsers; starts the reader.
    pub fn new() -> Crowd {
        let poll = Poll::new().expect("a poll");
        let registry = poll.registry().try_clone().expect("a registry");
        let ((to_reader, streams), (sender, received)) = (unbounded(), unbounded());
        thread::spawn(move || Reader::new(poll, streams, sender).run());
        Crowd { registry, to_reader, received, streams: vec![], peers: vec![] }
    }

    /// Connects and sends a request; the stream's number and when it began.
    pub fn connect(&mut self, address: SocketAddr, request: &[u8]) -> (usize, Instant) {
        let begin = Instant::now();
        let stream = std::net::TcpStream::connect(address).expect("a connection");
        stream.set_nodelay(true).expect("an option");
        (&stream).write_all(request).expect("a write");
        stream.set_nonblocking(true).expect("an option");
        let mut stream = TcpStream::from_std(stream);
        let number = self.streams.len();
        self.registry.register(&mut stream, Token(number), Interest::READABLE).expect("a place");
        let stream = Arc::new(stream);
        self.streams.push(Arc::clone(&stream));
        self.to_reader.send((number, stream)).expect("a reader");
        (number, begin)
    }

    /// Joins a room; nanoseconds from `connect` to `init-peers`.
    pub fn join(&mut self, server: SocketAddr, room: usize) -> u64 {
        let request = format!(
            "GET /ws?room=r{room} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let (_, begin) = self.connect(server, request.as_bytes());
        match self.receive() {
            Received::Joined(number, id) => self.peers.push((number, id)),
            _ => panic!("something else than init-peers"),
        }
        begin.elapsed().as_nanos() as u64
    }

    fn receive(&mut self) -> Received {
        let received = self.received.recv_timeout(PATIENCE).expect("the server answers");
        assert!(!matches!(received, Received::Closed), "the server closed a connection");
        received
    }

    /// An offer of one peer to the next in its room, and the socket to write it to.
    pub fn offer(&self, from: usize) -> (usize, Vec<u8>) {
        let first = from / PEERS_PER_ROOM * PEERS_PER_ROOM;
        let size = PEERS_PER_ROOM.min(self.peers.len() - first);
        let (_, target) = &self.peers[first + (from - first + 1) % size];
        let text = wire::offer(target);
        (self.peers[from].0, wire::frame(0x81, text.as_bytes()))
    }

    /// One message after another, each after the one before has arrived; their times in nanoseconds.
    pub fn one_at_a_time(&mut self, rounds: usize, next: impl Fn(&Crowd, usize) -> (usize, Vec<u8>)) -> Histogram<u64> {
        let mut times = histogram();
        for round in 0..rounds {
            let (number, bytes) = next(self, round);
            wire::write_all(&self.streams[number], &bytes);
            if let Received::Relayed(nanos) = self.receive() {
                times.saturating_record(nanos);
            }
            // In real use a message finds all threads asleep. Without this pause it would find them awake.
            thread::sleep(Duration::from_micros(300));
        }
        times
    }

    /// All peers in turn, so many messages per second in all; their times in nanoseconds.
    pub fn paced(&mut self, per_s: usize, time: Duration) -> Histogram<u64> {
        let (begin, mut times, mut sent, mut got) = (Instant::now(), histogram(), 0, 0);
        let total = (per_s as f64 * time.as_secs_f64()) as usize;
        while got < total {
            let due = (begin.elapsed().as_secs_f64() * per_s as f64) as usize;
            while sent < due.min(total) {
                // 7919 is prime: neighbours do not send one after another.
                let (number, bytes) = self.offer(sent * 7919 % self.peers.len());
                wire::write_all(&self.streams[number], &bytes);
                sent += 1;
            }
            while !self.received.is_empty() {
                if let Received::Relayed(nanos) = self.receive() {
                    got += 1;
                    times.saturating_record(nanos);
                }
            }
            assert!(begin.elapsed() < time + PATIENCE, "{got} of {total} arrived");
            thread::sleep(Duration::from_micros(500));
        }
        times
    }

    /// Messages relayed, and the seconds that took.
    pub fn as_fast_as_possible(&mut self, each: usize) -> (usize, f64) {
        // As many senders as keep the server busy; with more, the scheduler would be measured.
        let senders = self.peers.len().min(1_000);
        let frames: Vec<(usize, Vec<u8>)> = (0..senders).map(|from| self.offer(from)).collect();
        let begin = Instant::now();
        // Not more under way than may wait for one browser, or it would be closed as too slow.
        const AT_ONCE: usize = 50;
        let (mut got, mut sent) = (0, 0);
        for _ in 0..each / AT_ONCE {
            for (number, bytes) in &frames {
                wire::write_all(&self.streams[*number], &bytes.repeat(AT_ONCE));
                sent += AT_ONCE;
            }
            while got < sent {
                got += usize::from(matches!(self.receive(), Received::Relayed(_)));
            }
        }
        (got, begin.elapsed().as_secs_f64())
    }
}

/// Times in nanoseconds, up to 10 s.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("bounds that hdrhistogram takes")
}
