//! The bare work: what sending a packet to every listener costs at least.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use roomtone::rtc::srtp::gcm::Gcm;
use roomtone::rtc::udp::batch::{Batch, Route};
use roomtone::rtc::udp::socket::{self, Datagrams};

use super::listener_process::processor;
use super::server::{PACKET_MS, PAYLOAD_BYTES};

const RTP_HEADER_BYTES: usize = 12;
const GCM_TAG_BYTES: usize = 16;

/// Processor time for one packet to one address: AES-GCM and its share of a `sendmmsg`, in the server's rhythm, on a thread
/// of its own that is pinned to the first processor.
pub fn us_per_packet(addresses: &[SocketAddr], rounds: u32) -> f64 {
    let addresses = addresses.to_vec();
    let bare = thread::spawn(move || {
        processor::pin(processor::this_thread(), 0);
        send(&addresses, rounds)
    });
    bare.join().expect("no panic")
}

fn send(addresses: &[SocketAddr], rounds: u32) -> f64 {
    let socket = socket::bind(None, 0).expect("a UDP port");
    let port = socket.local_addr().expect("an address").port();
    let mut datagrams = Datagrams::new(socket).expect("a socket");
    let source = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let receivers: Vec<(Gcm, Route)> = (addresses.iter().enumerate())
        .map(|(n, destination)| (key(n), Route { source, destination: *destination }))
        .collect();
    let mut batch = Batch::default();
    let (start, before) = (Instant::now(), processor::time_of(processor::this_thread()));
    for round in 0..rounds {
        for (key, route) in &receivers {
            push_packet(&mut batch, *route, key, round);
            if batch.is_full() {
                datagrams.send(&batch);
                batch.clear();
            }
        }
        datagrams.send(&batch);
        batch.clear();
        let due = start + Duration::from_millis(PACKET_MS) * (round + 1);
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    let spent = processor::time_of(processor::this_thread()) - before;
    spent.as_secs_f64() * 1e6 / (receivers.len() as f64 * f64::from(rounds))
}

/// A key of each receiver's own.
fn key(n: usize) -> Gcm {
    let bytes: [u8; 32] = std::array::from_fn(|at| (n >> (at % 4)) as u8);
    Gcm::new(&bytes.into()).expect("a key")
}

fn push_packet(batch: &mut Batch, route: Route, key: &Gcm, round: u32) {
    let length = RTP_HEADER_BYTES + PAYLOAD_BYTES + GCM_TAG_BYTES;
    batch.push(route, length, |out| {
        let (header, rest) = out.split_at_mut(RTP_HEADER_BYTES);
        let (body, tag) = rest.split_last_chunk_mut().expect("a tag");
        // Neither RTP nor anything else that a listener reads: it knows these datagrams by this byte.
        header.fill(0xff);
        body.copy_from_slice(&[0xfc; PAYLOAD_BYTES]);
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&round.to_be_bytes());
        key.seal(&nonce, header, body, tag)
    });
}
