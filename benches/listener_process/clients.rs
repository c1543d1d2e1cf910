//! The listeners: genuine WebRTC sessions, all in one thread of a process of their own.
//!
//! They share a few sockets, each with an address of 127.0.0.0/8 of its own. Commands come on standard input, a line each:
//! `connect N`, `answer NUMBER JSON`, `forget` (what was heard so far), `report`. Offers and reports go to standard output.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, BufRead};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, unbounded};
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token, Waker};
use roomtone::rtc::srtp::provider;
use roomtone::rtc::udp::classify::Datagram;
use roomtone::rtc::udp::socket::{self, Datagrams};
use serde::{Deserialize, Serialize};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

/// Listeners that share a socket: a packet for each must fit into its buffer, whatever its limit.
const PER_SOCKET: usize = 128;
/// One in so many decrypts.
const SAMPLE: usize = 50;
/// Handshakes at a time: so few that their offers fit into the pipe, or whoever reads them slowly would keep this side from
/// listening.
const IN_FLIGHT: usize = 16;

/// What was heard since `forget`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Sessions whose DTLS is up.
    pub connected: usize,
    /// Packets of sound, of all.
    pub received: u64,
    /// Of the one that heard fewest.
    pub fewest: u64,
    /// Packets that the sampled listeners decrypted, and that they should have.
    pub decrypted: u64,
    pub sampled: u64,
    /// Between one packet and the next, over all listeners.
    pub gap_p50_ms: f64,
    pub gap_p99_ms: f64,
    pub gap_max_ms: f64,
}

struct Client {
    rtc: Rtc,
    address: SocketAddr,
    socket: usize,
    pending: Option<SdpPendingOffer>,
    connected: bool,
    scheduled: Option<Instant>,
    received: u64,
    decrypted: u64,
    heard: Option<Instant>,
}

struct Crowd {
    sockets: Vec<Datagrams>,
    ports: Vec<u16>,
    clients: Vec<Client>,
    deadlines: BinaryHeap<Reverse<(Instant, usize)>>,
    connected: usize,
    wanted: usize,
    gaps: Histogram<u64>,
    crypto: Arc<CryptoProvider>,
    certificate: DtlsCert,
}

const COMMANDS: Token = Token(usize::MAX);

pub fn run() {
    #[cfg(target_os = "linux")]
    super::processor::pin(1);
    let mut poll = Poll::new().expect("a poll");
    let waker = Waker::new(poll.registry(), COMMANDS).expect("a waker");
    let (sender, commands) = unbounded();
    thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() || waker.wake().is_err() {
                return;
            }
        }
        std::process::exit(0);
    });
    let crypto = provider::provider();
    let certificate = crypto.dtls_provider.generate_certificate().expect("a certificate");
    let mut crowd = Crowd {
        sockets: vec![],
        ports: vec![],
        clients: vec![],
        deadlines: BinaryHeap::new(),
        connected: 0,
        wanted: 0,
        gaps: Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds"),
        crypto,
        certificate,
    };
    let mut events = Events::with_capacity(256);
    loop {
        let now = Instant::now();
        let due = crowd.deadlines.peek().map_or(now + Duration::from_secs(1), |Reverse((due, _))| *due);
        poll.poll(&mut events, Some(due.saturating_duration_since(now))).expect("a poll");
        for socket in events.iter().map(|event| event.token()).filter(|token| *token != COMMANDS) {
            crowd.read(socket.0);
        }
        crowd.obey(&commands, &poll);
        crowd.make_offers(&poll);
        crowd.handle_timeouts();
        for socket in &mut crowd.sockets {
            socket.flush();
        }
    }
}

/// Number `n` has an address by which it is found again.
fn ip(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (n / 250) as u8, (n % 250) as u8 + 1)
}

fn number(ip: IpAddr) -> Option<usize> {
    match ip {
        IpAddr::V4(ip) => {
            let [_, _, high, low] = ip.octets();
            Some(usize::from(high) * 250 + usize::from(low).checked_sub(1)?)
        }
        IpAddr::V6(_) => None,
    }
}

impl Crowd {
    fn obey(&mut self, commands: &Receiver<String>, poll: &Poll) {
        for line in commands.try_iter() {
            let mut words = line.splitn(3, ' ');
            match (words.next(), words.next(), words.next()) {
                (Some("connect"), Some(count), None) => {
                    self.wanted += count.parse::<usize>().expect("a number");
                    self.make_offers(poll);
                }
                (Some("answer"), Some(n), Some(sdp)) => {
                    let sdp: String = serde_json::from_str(sdp).expect("JSON");
                    let n: usize = n.parse().expect("a number");
                    let client = &mut self.clients[n];
                    let answer = SdpAnswer::from_sdp_string(&sdp).expect("an answer");
                    client.rtc.sdp_api().accept_answer(client.pending.take().expect("an offer"), answer).expect("SDP");
                    self.tell_the_time(n, Instant::now());
                }
                (Some("forget"), ..) => {
                    self.gaps.reset();
                    for client in &mut self.clients {
                        (client.received, client.decrypted, client.heard) = (0, 0, None);
                    }
                }
                (Some("report"), ..) => println!("report {}", serde_json::to_string(&self.report()).expect("JSON")),
                _ => panic!("no command: {line}"),
            }
        }
    }

    fn make_offers(&mut self, poll: &Poll) {
        while self.clients.len() < self.wanted && self.clients.len() - self.connected < IN_FLIGHT {
            let n = self.clients.len();
            let socket = n / PER_SOCKET;
            if socket == self.sockets.len() {
                let bound = socket::bind(Some(Ipv4Addr::UNSPECIFIED.into()), 0).expect("a socket");
                self.ports.push(bound.local_addr().expect("an address").port());
                let mut datagrams = Datagrams::new(bound).expect("a socket");
                let interest = Interest::READABLE | Interest::WRITABLE;
                poll.registry().register(datagrams.source(), Token(socket), interest).expect("a place");
                self.sockets.push(datagrams);
            }
            let address = SocketAddr::new(ip(n).into(), self.ports[socket]);
            let mut rtc = Rtc::builder()
                .set_crypto_provider(self.crypto.clone())
                .set_dtls_cert(self.certificate.clone())
                .set_rtp_mode(true)
                .clear_codecs()
                .enable_opus(true, false)
                .build(Instant::now());
            rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).expect("a candidate"));
            let mut change = rtc.sdp_api();
            change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
            let (offer, pending) = change.apply().expect("an offer");
            println!("offer {n} {}", serde_json::to_string(&offer.to_sdp_string()).expect("JSON"));
            let pending = Some(pending);
            let (connected, scheduled, received, decrypted, heard) = (false, None, 0, 0, None);
            self.clients.push(Client {
                rtc,
                address,
                socket,
                pending,
                connected,
                scheduled,
                received,
                decrypted,
                heard,
            });
        }
    }

    fn read(&mut self, socket: usize) {
        let mut inputs: Vec<(usize, SocketAddr, Vec<u8>)> = vec![];
        loop {
            let now = Instant::now();
            let (clients, gaps) = (&mut self.clients, &mut self.gaps);
            let read = self.sockets[socket].receive(|datagram| {
                let &Datagram { source, destination, bytes, .. } = datagram;
                let Some(n) = number(destination.ip()).filter(|n| *n < clients.len()) else { return };
                // The floor's.
                if bytes.first() == Some(&0xff) {
                    return;
                }
                // RFC 5761 §4: RTP, unless it is RTCP.
                let is_sound = matches!(bytes, [0x80..=0xbf, kind, ..] if !(192..224).contains(kind));
                if is_sound {
                    let client = &mut clients[n];
                    client.received += 1;
                    if let Some(before) = client.heard.replace(now) {
                        gaps.saturating_record(now.duration_since(before).as_micros() as u64);
                    }
                }
                if !is_sound || n % SAMPLE == 0 {
                    inputs.push((n, source, bytes.to_vec()));
                }
            });
            for (n, source, bytes) in inputs.drain(..) {
                let client = &mut self.clients[n];
                let Ok(contents) = bytes.as_slice().try_into() else { continue };
                let receive = Receive { proto: Protocol::Udp, source, destination: client.address, contents };
                let _ = client.rtc.handle_input(Input::Receive(now, receive));
                self.drain(n, now);
            }
            if !matches!(read, Ok(true)) {
                return;
            }
        }
    }

    fn handle_timeouts(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((due, n))) = self.deadlines.peek()
            && due <= now
        {
            self.deadlines.pop();
            if self.clients[n].scheduled == Some(due) {
                self.clients[n].scheduled = None;
                self.tell_the_time(n, now);
            }
        }
    }

    fn tell_the_time(&mut self, n: usize, now: Instant) {
        self.clients[n].rtc.handle_input(Input::Timeout(now)).expect("a session that lives");
        self.drain(n, now);
    }

    fn drain(&mut self, n: usize, now: Instant) {
        let client = &mut self.clients[n];
        loop {
            match client.rtc.poll_output().expect("a session that lives") {
                Output::Timeout(due) => {
                    let due = due.max(now + Duration::from_millis(1));
                    if client.scheduled.is_none_or(|scheduled| due < scheduled) {
                        client.scheduled = Some(due);
                        self.deadlines.push(Reverse((due, n)));
                    }
                    return;
                }
                Output::Transmit(transmit) => self.sockets[client.socket].queue(transmit),
                Output::Event(Event::Connected) => {
                    client.connected = true;
                    self.connected += 1;
                    if self.connected == self.wanted {
                        println!("connected");
                    }
                }
                Output::Event(Event::RtpPacket(packet)) => client.decrypted += u64::from(packet.payload.len() == 160),
                Output::Event(_) => {}
            }
        }
    }

    fn report(&self) -> Report {
        let ms = |quantile| self.gaps.value_at_quantile(quantile) as f64 / 1e3;
        let sampled = self.clients.iter().step_by(SAMPLE);
        Report {
            connected: self.connected,
            received: self.clients.iter().map(|client| client.received).sum(),
            fewest: self.clients.iter().map(|client| client.received).min().unwrap_or_default(),
            decrypted: sampled.clone().map(|client| client.decrypted).sum(),
            sampled: sampled.map(|client| client.received).sum(),
            gap_p50_ms: ms(0.5),
            gap_p99_ms: ms(0.99),
            gap_max_ms: self.gaps.max() as f64 / 1e3,
        }
    }
}
