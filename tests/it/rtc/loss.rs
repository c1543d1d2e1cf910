//! A listener behind a bad line, over real sockets: what does not arrive is asked for, and comes again.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::listener::{Dice, Ear, Wish};
use crate::harness::program::Program;
use crate::harness::wait::wait_until;

/// Twelve of them are the 0.3 % that may be missing; 200 are what the line loses.
const PACKETS: u64 = 4_000;

/// A line between one client and the server that loses datagrams, either way, from when it is told to.
struct Line {
    front: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    loss_percent: AtomicU64,
    enough: AtomicBool,
    client: Mutex<Option<SocketAddr>>,
    sound: Mutex<Sound>,
}

/// RTP that the server sent since the line became bad, arrived or not.
#[derive(Clone, Default)]
struct Sound {
    packets: u64,
    sequences: BTreeSet<u16>,
}

impl Line {
    fn to(server: SocketAddr, seed: u64) -> Line {
        let front = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let back = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        back.connect(server).unwrap();
        let shared: Arc<Shared> = Arc::default();
        let address = front.local_addr().unwrap();
        let ends = [(front.try_clone().unwrap(), back.try_clone().unwrap()), (back, front)];
        let thread = |(n, (from, to)): (usize, (UdpSocket, UdpSocket))| {
            let shared = shared.clone();
            thread::spawn(move || carry(&from, &to, n == 0, &mut Dice(seed + n as u64), &shared))
        };
        let threads = ends.into_iter().enumerate().map(thread).collect();
        Line { front: address, shared, threads }
    }

    fn lose(&self, percent: u64) {
        self.shared.loss_percent.store(percent, Ordering::Relaxed);
    }

    fn sound(&self) -> Sound {
        self.shared.sound.lock().unwrap().clone()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.enough.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// One direction.
fn carry(from: &UdpSocket, to: &UdpSocket, outbound: bool, dice: &mut Dice, shared: &Shared) {
    let mut bytes = [0; 2_000];
    from.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    while !shared.enough.load(Ordering::Relaxed) {
        let Ok((length, source)) = from.recv_from(&mut bytes) else { continue };
        let datagram = &bytes[..length];
        let loss_percent = shared.loss_percent.load(Ordering::Relaxed);
        if loss_percent > 0 && !outbound && is_sound(datagram) {
            let mut sound = shared.sound.lock().unwrap();
            sound.packets += 1;
            sound.sequences.insert(u16::from_be_bytes([datagram[2], datagram[3]]));
        }
        if dice.next() % 100 < loss_percent {
            continue;
        }
        if outbound {
            *shared.client.lock().unwrap() = Some(source);
            let _ = to.send(datagram);
        } else if let Some(client) = *shared.client.lock().unwrap() {
            let _ = to.send_to(datagram, client);
        }
    }
}

/// RTP, not RTCP (RFC 7983 §7, RFC 5761 §4).
fn is_sound(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, second, _, _, ..] if !(64..=95).contains(&(second & 0x7f)))
}

/// Somebody at the end of a line that is good at first, and then as bad as that.
struct Sufferer {
    ear: Ear,
    line: Line,
    lost_before: u64,
    span_before: u64,
}

impl Sufferer {
    fn new(port: u16, n: u8, nack: bool, loss_percent: u64) -> Sufferer {
        let line = Line::to((Ipv4Addr::LOCALHOST, port).into(), u64::from(n));
        let wish = Wish { nack, by_way_of: Some(line.front) };
        let ear = Ear::listen_as(wish, port, Ipv4Addr::new(127, 0, 0, 10 + n)).unwrap();
        assert_eq!(ear.answer.contains(" nack\r\n"), nack, "{}", ear.answer);
        wait_until("sound", || ear.heard().packets > 100);
        let before = ear.heard();
        line.lose(loss_percent);
        Sufferer { ear, line, lost_before: before.lost, span_before: before.span() }
    }

    /// The share of packets that never arrived.
    fn missing(&self) -> f64 {
        let heard = self.ear.heard();
        assert!(heard.last.elapsed() < Duration::from_secs(5), "nothing is heard any more");
        (heard.lost - self.lost_before) as f64 / (heard.span() - self.span_before) as f64
    }

    /// Packets that the server sent, and those of them that were sent for the first time.
    fn sent(&self) -> (u64, u64) {
        let Sound { packets, sequences } = self.line.sound();
        (packets, sequences.len() as u64)
    }
}

#[test]
fn who_asks_for_what_one_packet_in_twenty_lost_gets_it_and_who_asks_for_everything_does_not() {
    let program = Program::start(&["--sine-wave", "--packet-ms", "5", "--log-file", "none"], None);
    let asks = Sufferer::new(program.port, 1, true, 5);
    let suffers = Sufferer::new(program.port, 2, false, 5);
    // Asks for each packet up to five times, far more than there is in its purse.
    let begs = Sufferer::new(program.port, 3, true, 60);
    let begun = Instant::now();
    while begs.sent().1 < PACKETS {
        assert!(begun.elapsed() < Duration::from_secs(120), "{:?} after {:?}", begs.sent(), begun.elapsed());
        thread::sleep(Duration::from_millis(100));
    }
    let (healed, unhealed) = (asks.missing(), suffers.missing());
    let [asked, silent, begged] = [&asks, &suffers, &begs].map(Sufferer::sent);
    println!("missing {healed:.4} with resends, {unhealed:.4} without; sent in all, and new:");
    println!(
        "{asked:?} to who asks, {silent:?} to who does not, {begged:?} to who begs and still misses {:.4}",
        begs.missing()
    );
    assert!(healed < 0.003, "{healed} is missing after resends");
    assert!((0.03..0.07).contains(&unhealed), "{unhealed} is missing without");
    assert_eq!(silent.0, silent.1, "nobody had asked");
    let (sent, new) = begged;
    assert!(sent - new > new / 8, "{sent} sent, {new} new: it was never in earnest");
    // A quarter, what was in the purse, and a few that were sent but never reached the line.
    assert!(sent - new <= new / 4 + 16 + 16, "{sent} sent, {new} new");
}
