//! A UDP proxy between one client and the server that loses datagrams in both directions, and counts the RTP packets that
//! the server sends. It runs on two threads, one for each direction.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::harness::random::Random;

/// Runs until it is dropped. It loses nothing until `set_loss_percent` is called.
pub struct LossyProxy {
    /// Where the client sends to.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    loss_percent: AtomicU64,
    stopping: AtomicBool,
    client: Mutex<Option<SocketAddr>>,
    sent: Mutex<SentRtp>,
}

/// RTP packets that the server has sent since the proxy began to lose some, lost ones too.
#[derive(Default)]
struct SentRtp {
    packets: u64,
    sequences: BTreeSet<u16>,
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    ToServer,
    ToClient,
}

impl LossyProxy {
    pub fn start(server: SocketAddr, seed: u64) -> LossyProxy {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        back.connect(server).unwrap();
        let shared: Arc<Shared> = Arc::default();
        let address = front.local_addr().unwrap();
        let to_server = (Direction::ToServer, front.try_clone().unwrap(), back.try_clone().unwrap());
        let to_client = (Direction::ToClient, back, front);
        let spawn = |(nth, (direction, from, to)): (u64, _)| {
            let shared = shared.clone();
            thread::spawn(move || forward(direction, &from, &to, &mut Random(seed + nth), &shared))
        };
        let threads = (0..).zip([to_server, to_client]).map(spawn).collect();
        LossyProxy { address, shared, threads }
    }

    pub fn set_loss_percent(&self, percent: u64) {
        self.shared.loss_percent.store(percent, Ordering::Relaxed);
    }

    /// RTP packets that the server has sent since the loss began, and how many different ones: the others were resends.
    pub fn sent(&self) -> (u64, u64) {
        let sent = self.shared.sent.lock().unwrap();
        (sent.packets, sent.sequences.len() as u64)
    }
}

impl Drop for LossyProxy {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn forward(direction: Direction, from: &UdpSocket, to: &UdpSocket, random: &mut Random, shared: &Shared) {
    let mut bytes = [0; 2_000];
    from.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while !shared.stopping.load(Ordering::Relaxed) {
        let Ok((length, source)) = from.recv_from(&mut bytes) else { continue };
        let datagram = &bytes[..length];
        let loss_percent = shared.loss_percent.load(Ordering::Relaxed);
        if loss_percent > 0 && direction == Direction::ToClient && is_rtp(datagram) {
            let mut sent = shared.sent.lock().unwrap();
            sent.packets += 1;
            sent.sequences.insert(u16::from_be_bytes([datagram[2], datagram[3]]));
        }
        if random.is_within_percent(loss_percent) {
            continue;
        }
        if direction == Direction::ToServer {
            *shared.client.lock().unwrap() = Some(source);
            let _ = to.send(datagram);
        } else if let Some(client) = *shared.client.lock().unwrap() {
            let _ = to.send_to(datagram, client);
        }
    }
}

/// RTP, not RTCP (RFC 7983 §7, RFC 5761 §4).
fn is_rtp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, second, _, _, ..] if !(64..=95).contains(&(second & 0x7f)))
}
