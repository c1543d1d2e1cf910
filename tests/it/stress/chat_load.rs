//! Five hundred peers in rooms of ten that send chat messages, on one thread.

use std::io::{ErrorKind, Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::harness::loopback_client::join_room;
use crate::stress::background_load::BackgroundLoad;
use crate::stress::hostile_clients::address;

const PEERS: usize = 500;
const PEERS_PER_ROOM: usize = 10;
/// Messages of each peer to the nine others.
const MESSAGES_PER_PEER_PER_SECOND: usize = 4;

/// Lets the peers join, then send until the load is dropped. Counts the messages that they receive.
pub fn start(port: u16) -> BackgroundLoad {
    let mut peers: Vec<TcpStream> = (0..PEERS)
        .map(|n| {
            let stream = join_room(port, address(n), &format!("load{}", n / PEERS_PER_ROOM));
            stream.set_nonblocking(true).unwrap();
            TcpStream::from_std(stream)
        })
        .collect();
    let poll = Poll::new().unwrap();
    for (n, peer) in peers.iter_mut().enumerate() {
        poll.registry().register(peer, Token(n), Interest::READABLE).unwrap();
    }
    let parts = Mutex::new(Some((peers, poll)));
    BackgroundLoad::start(1, move |_, received, stopping| {
        let (peers, poll) = parts.lock().unwrap().take().unwrap();
        chat(peers, poll, received, stopping);
    })
}

fn chat(mut peers: Vec<TcpStream>, mut poll: Poll, received: &AtomicU64, stopping: &AtomicBool) {
    let text = br#"{"type":"chat","payload":{"text":"Has anybody seen my umbrella?"}}"#;
    // A whole text message with a mask of zeros (RFC 6455 §5.2).
    let message = [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], &text[..]].concat();
    let mut unread = vec![vec![]; peers.len()];
    let mut events = Events::with_capacity(256);
    let (begun, mut sent) = (Instant::now(), 0);
    while !stopping.load(Ordering::Relaxed) {
        poll.poll(&mut events, Some(Duration::from_millis(5))).unwrap();
        for event in events.iter() {
            let (peer, unread) = (&mut peers[event.token().0], &mut unread[event.token().0]);
            match peer.read_to_end(unread) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => panic!("the server has closed a peer: {other:?}"),
            }
            received.fetch_add(take_messages(unread), Ordering::Relaxed);
        }
        let due = begun.elapsed().as_millis() as usize * PEERS * MESSAGES_PER_PEER_PER_SECOND / 1000;
        for n in sent..due {
            // Fails if the buffer is full, which means that the server has not read for seconds.
            peers[n % PEERS].write_all(&message).unwrap();
        }
        sent = due;
    }
}

/// Counts and removes the whole WebSocket messages at the beginning (RFC 6455 §5.2).
fn take_messages(bytes: &mut Vec<u8>) -> u64 {
    let (mut count, mut taken) = (0, 0);
    while let [_, short, rest @ ..] = &bytes[taken..] {
        let (head, length) = match (short, rest) {
            (126, [high, low, ..]) => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            (0..126, _) => (2, usize::from(*short)),
            _ => break,
        };
        if bytes.len() < taken + head + length {
            break;
        }
        taken += head + length;
        count += 1;
    }
    bytes.drain(..taken);
    count
}
