//! What the station's latency is compared with: handing data over without any sound, and encoding alone.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use hdrhistogram::Histogram;
use roomtone::audio::encoder::{Encoder, Encoding};
use roomtone::audio::sources::tone::Sine;

use super::latency::histogram;
use super::media::timestamps;

/// The station's threads with nothing to do: a thread with a timer, a channel, a thread, a channel, a thread that sends a
/// datagram, and this one, which receives it.
pub fn hand_over(rounds: usize) -> Histogram<u64> {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a UDP port");
    timestamps::enable_timestamps(&receiver);
    let target = receiver.local_addr().expect("an address");
    let (blocks, to_encode) = bounded::<Instant>(8);
    let (packets, to_send) = bounded::<Instant>(8);
    let (begin, begun) = bounded(rounds);
    thread::spawn(move || to_encode.iter().try_for_each(|at| packets.send(at)));
    thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP port");
        for at in to_send {
            let _ = begin.send(at);
            let _ = socket.send_to(&[0; 200], target);
        }
    });
    thread::spawn(move || {
        for _ in 0..rounds {
            thread::sleep(Duration::from_millis(5));
            let _ = blocks.send(Instant::now());
        }
    });
    let mut latencies = histogram();
    let mut bytes = [0; 300];
    for _ in 0..rounds {
        let (_, _, arrived) = timestamps::receive(&receiver, &mut bytes).expect("a datagram");
        if let Ok(begun) = begun.recv() {
            latencies.saturating_record(arrived.saturating_duration_since(begun).as_nanos() as u64);
        }
    }
    latencies
}

/// The Opus encoder alone.
pub fn encode(encoding: &Encoding) -> Histogram<u64> {
    let mut encoder = Encoder::new(encoding).expect("an encoder");
    let mut sine = Sine::new(440.0);
    let mut latencies = histogram();
    for _ in 0..1_000 {
        let samples = sine.next_block(encoding.packet_samples, encoding.channels);
        let begin = Instant::now();
        encoder.encode(&samples).expect("a packet");
        latencies.saturating_record(begin.elapsed().as_nanos() as u64);
    }
    latencies
}
