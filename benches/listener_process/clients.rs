//! The listeners: real WebRTC sessions (ICE, DTLS-SRTP) that share a few sockets, each with an address of 127.0.0.0/8 of
//! its own. All run on one thread. Only a sample of them decrypts; the others look at headers and count.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Interest, Registry, Token};
use roomtone::rtc::srtp::provider;
use roomtone::rtc::udp::classify::Datagram;
use roomtone::rtc::udp::socket::{self, Datagrams};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::config::{CryptoProvider, DtlsCert};
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

use super::protocol::{Message, Report};

/// Listeners that share a socket: a packet for each must fit into its receive buffer, whatever the system's limit is.
const PER_SOCKET: usize = 128;
/// One listener in so many decrypts.
const DECRYPTING: usize = 50;
/// Handshakes at a time. Their offers must fit into the pipe: this process receives nothing while a write to a full pipe
/// waits for the bench to read.
const MAX_HANDSHAKES: usize = 16;
/// The bench's packets have a payload of so many bytes.
const PAYLOAD_BYTES: usize = 160;
/// First byte of the datagrams that the bench sends without a session, to measure the bare work.
const BARE_DATAGRAM: u8 = 0xff;

struct Client {
    rtc: Rtc,
    address: SocketAddr,
    socket: usize,
    pending: Option<SdpPendingOffer>,
    /// Its earliest deadline in the heap.
    scheduled: Option<Instant>,
    received: u64,
    decrypted: u64,
    last_arrival: Option<Instant>,
}

/// All listeners of the process.
pub struct Clients {
    registry: Registry,
    sockets: Vec<Datagrams>,
    ports: Vec<u16>,
    clients: Vec<Client>,
    deadlines: BinaryHeap<Reverse<(Instant, usize)>>,
    connected: usize,
    wanted: usize,
    gaps_us: Histogram<u64>,
    crypto: Arc<CryptoProvider>,
    certificate: DtlsCert,
}

/// Each listener has an address from which its number can be read.
fn ip_of(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (n / 250) as u8, (n % 250) as u8 + 1)
}

fn number_of(ip: IpAddr) -> Option<usize> {
    let IpAddr::V4(ip) = ip else { return None };
    let [_, _, high, low] = ip.octets();
    Some(usize::from(high) * 250 + usize::from(low).checked_sub(1)?)
}

impl Clients {
    pub fn new(registry: Registry) -> Clients {
        let crypto = provider::provider();
        let certificate = crypto.dtls_provider.generate_certificate().expect("a certificate");
        Clients {
            registry,
            sockets: vec![],
            ports: vec![],
            clients: vec![],
            deadlines: BinaryHeap::new(),
            connected: 0,
            wanted: 0,
            gaps_us: Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds"),
            crypto,
            certificate,
        }
    }

    /// Until the first deadline of a session. None if there is no session.
    pub fn next_timeout(&self) -> Option<Duration> {
        let Reverse((deadline, _)) = self.deadlines.peek()?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    pub fn connect(&mut self, count: usize) {
        self.wanted += count;
        self.make_offers();
    }

    pub fn accept_answer(&mut self, n: usize, sdp: &str) {
        let client = &mut self.clients[n];
        let answer = SdpAnswer::from_sdp_string(sdp).expect("an answer");
        client.rtc.sdp_api().accept_answer(client.pending.take().expect("an offer"), answer).expect("SDP");
        self.handle_timeout(n, Instant::now());
    }

    /// Makes further offers as handshakes complete.
    pub fn make_offers(&mut self) {
        while self.clients.len() < self.wanted && self.clients.len() - self.connected < MAX_HANDSHAKES {
            self.make_offer();
        }
    }

    fn make_offer(&mut self) {
        let n = self.clients.len();
        let socket = n / PER_SOCKET;
        if socket == self.sockets.len() {
            self.open_socket();
        }
        let address = SocketAddr::new(ip_of(n).into(), self.ports[socket]);
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
        Message::Offer { listener: n, sdp: offer.to_sdp_string() }.send();
        self.clients.push(Client {
            rtc,
            address,
            socket,
            pending: Some(pending),
            scheduled: None,
            received: 0,
            decrypted: 0,
            last_arrival: None,
        });
    }

    fn open_socket(&mut self) {
        let bound = socket::bind(Some(Ipv4Addr::UNSPECIFIED.into()), 0).expect("a socket");
        self.ports.push(bound.local_addr().expect("an address").port());
        let mut datagrams = Datagrams::new(bound).expect("a socket");
        let (token, interest) = (Token(self.sockets.len()), Interest::READABLE | Interest::WRITABLE);
        self.registry.register(datagrams.source(), token, interest).expect("a place in the poll");
        self.sockets.push(datagrams);
    }

    /// Reads a socket until it is empty.
    pub fn read(&mut self, socket: usize) {
        let mut inputs: Vec<(usize, SocketAddr, Vec<u8>)> = vec![];
        loop {
            let now = Instant::now();
            let (clients, gaps_us) = (&mut self.clients, &mut self.gaps_us);
            let read = self.sockets[socket].receive(|datagram| {
                let &Datagram { source, destination, bytes, .. } = datagram;
                let Some(n) = number_of(destination.ip()).filter(|n| *n < clients.len()) else { return };
                if bytes.first() == Some(&BARE_DATAGRAM) {
                    return;
                }
                // RTP, not RTCP (RFC 5761 §4).
                let is_rtp = matches!(bytes, [0x80..=0xbf, kind, ..] if !(192..224).contains(kind));
                if is_rtp {
                    let client = &mut clients[n];
                    client.received += 1;
                    if let Some(before) = client.last_arrival.replace(now) {
                        gaps_us.saturating_record(now.duration_since(before).as_micros() as u64);
                    }
                }
                if !is_rtp || n % DECRYPTING == 0 {
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

    pub fn handle_timeouts(&mut self) {
        let now = Instant::now();
        while let Some(&Reverse((due, n))) = self.deadlines.peek()
            && due <= now
        {
            self.deadlines.pop();
            if self.clients[n].scheduled == Some(due) {
                self.clients[n].scheduled = None;
                self.handle_timeout(n, now);
            }
        }
    }

    fn handle_timeout(&mut self, n: usize, now: Instant) {
        self.clients[n].rtc.handle_input(Input::Timeout(now)).expect("a session that goes on");
        self.drain(n, now);
    }

    /// Sends datagrams that a socket had no room for.
    pub fn flush(&mut self) {
        for socket in &mut self.sockets {
            socket.flush();
        }
    }

    fn drain(&mut self, n: usize, now: Instant) {
        let client = &mut self.clients[n];
        loop {
            match client.rtc.poll_output().expect("a session that goes on") {
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
                    self.connected += 1;
                    if self.connected == self.wanted {
                        Message::Connected.send();
                    }
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    client.decrypted += u64::from(packet.payload.len() == PAYLOAD_BYTES);
                }
                Output::Event(_) => {}
            }
        }
    }

    pub fn reset(&mut self) {
        self.gaps_us.reset();
        for client in &mut self.clients {
            (client.received, client.decrypted, client.last_arrival) = (0, 0, None);
        }
    }

    pub fn report(&self) -> Report {
        let gap_ms = |quantile| self.gaps_us.value_at_quantile(quantile) as f64 / 1e3;
        let decrypting = self.clients.iter().step_by(DECRYPTING);
        Report {
            connected: self.connected,
            addresses: self.clients.iter().map(|client| client.address).collect(),
            received: self.clients.iter().map(|client| client.received).sum(),
            fewest: self.clients.iter().map(|client| client.received).min().unwrap_or_default(),
            decrypted: decrypting.clone().map(|client| client.decrypted).sum(),
            sampled: decrypting.map(|client| client.received).sum(),
            gap_p50_ms: gap_ms(0.5),
            gap_p99_ms: gap_ms(0.99),
            gap_max_ms: self.gaps_us.max() as f64 / 1e3,
        }
    }
}
