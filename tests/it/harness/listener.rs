//! A listener of a running server: a WebRTC client on a thread of its own, over real sockets, that counts what it receives.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::loopback_client::{post_offer, session_path};
use crate::harness::media::rtc_client::{ClientEvent, RtcClient};

/// A client that receives the default station until it is dropped.
pub struct Listener {
    received: Arc<Mutex<Received>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    /// The SDP answer, as the client took it.
    pub answer: String,
    /// The session's path, from the response's `Location`.
    pub session_path: String,
}

/// What a listener has received since it was started.
#[derive(Clone, Debug)]
pub struct Received {
    /// Packets; none is counted twice.
    pub packets: u64,
    /// Packets missing between the first and the latest in sequence.
    pub lost: u64,
    /// Time from each packet's arrival to that of the next, by the kernel's time stamps.
    pub gaps: Vec<Duration>,
    /// Arrival of the last packet.
    pub last_arrival: Instant,
    first_sequence: u64,
    last_sequence: u64,
    /// The server has closed the session and said so.
    pub is_closed: bool,
}

impl Received {
    fn none(now: Instant) -> Received {
        Received {
            packets: 0,
            lost: 0,
            gaps: vec![],
            last_arrival: now,
            first_sequence: 0,
            last_sequence: 0,
            is_closed: false,
        }
    }

    pub fn longest_gap(&self) -> Duration {
        self.gaps.iter().max().copied().unwrap_or_default()
    }

    /// Packets from the first to the latest in sequence, received or lost.
    pub fn sent(&self) -> u64 {
        self.packets + self.lost
    }

    fn add(&mut self, sequence: u64, arrived: Instant) {
        if self.packets == 0 {
            self.first_sequence = sequence;
        } else {
            self.gaps.push(arrived.saturating_duration_since(self.last_arrival));
        }
        self.packets += 1;
        self.last_arrival = arrived;
        self.last_sequence = self.last_sequence.max(sequence);
        self.lost = (self.last_sequence - self.first_sequence + 1).saturating_sub(self.packets);
    }
}

/// In what a listener differs from the plain one.
#[derive(Clone, Copy, Default)]
pub struct ListenerOptions {
    /// Ask for packets that are missing.
    pub nack: bool,
    /// Send to this address in place of the server's candidates.
    pub proxy: Option<SocketAddr>,
}

impl Listener {
    /// Starts a listener at this address. It is admitted when this returns, but not connected yet.
    ///
    /// # Errors
    /// The server's response, if it refused the offer.
    pub fn start(port: u16, from: Ipv4Addr) -> Result<Listener, String> {
        Listener::start_with(ListenerOptions::default(), port, from)
    }

    /// The same with options.
    pub fn start_with(options: ListenerOptions, port: u16, from: Ipv4Addr) -> Result<Listener, String> {
        let now = Instant::now();
        let (mut client, offer) = RtcClient::new(from, options.nack);
        let response = post_offer(port, from, &offer).map_err(|error| error.to_string())?;
        let (head, answer) = response.split_once("\r\n\r\n").ok_or("no response")?;
        if !head.starts_with("HTTP/1.1 201") {
            return Err(response);
        }
        let location = head.lines().find_map(|line| line.strip_prefix("Location: "));
        let session_path = session_path(location.ok_or("no Location")?);
        let answer = options.proxy.map_or(answer.to_owned(), |address| with_only_candidate(address, answer));
        client.accept_answer(&answer);
        let received = Arc::new(Mutex::new(Received::none(now)));
        let stopping = Arc::new(AtomicBool::new(false));
        let thread = {
            let (received, stopping) = (received.clone(), stopping.clone());
            thread::spawn(move || receive(client, &received, &stopping))
        };
        Ok(Listener { received, stopping, thread: Some(thread), answer, session_path })
    }

    pub fn received(&self) -> Received {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// The SDP answer with this address as its only candidate.
fn with_only_candidate(address: SocketAddr, answer: &str) -> String {
    let candidate = format!("a=candidate:1 1 udp 2130706431 {} {} typ host\r\n", address.ip(), address.port());
    answer
        .split_inclusive("\r\n")
        .filter(|line| !line.starts_with("a=candidate:"))
        .map(|line| if line.starts_with("a=end-of-candidates") { candidate.clone() + line } else { line.to_owned() })
        .collect()
}

fn receive(mut client: RtcClient, received: &Mutex<Received>, stopping: &AtomicBool) {
    while !stopping.load(Ordering::Relaxed) {
        match client.next_event() {
            Some(ClientEvent::Packet(packet, arrived)) => received.lock().unwrap().add(*packet.seq_no, arrived),
            Some(ClientEvent::Closed) => {
                received.lock().unwrap().is_closed = true;
                return;
            }
            None => {}
        }
    }
}
