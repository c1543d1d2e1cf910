//! Sessions against real str0m clients over a seeded lossy network, in virtual time. No socket, no thread, no clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use roomtone::ids::session::SessionId;
use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::rtc::profile::{OpusTrack, Profile, Role};
use roomtone::rtc::session::{Reason, Session};
use roomtone::rtc::sessions::{Output, Sessions};
use roomtone::rtc::udp::batch::Batch;
use roomtone::rtc::udp::classify::Datagram;
use roomtone::station::timeline::{self, Capacity, TimelineWriter};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RawPacket;
use str0m::rtp::rtcp::Rtcp;
use str0m::{Candidate, Event, Input, Output as ClientOutput, Rtc};

pub const SERVER: &str = "192.0.2.1:8088";

/// The one track there is.
pub const TRACK: TrackId = TrackId::new(0);

/// xorshift64*: the same seed gives the same network.
pub struct Dice(pub u64);

impl Dice {
    pub fn percent(&mut self) -> u64 {
        self.below(100)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % limit
    }
}

pub struct Client {
    pub address: SocketAddr,
    pub rtc: Rtc,
    pub id: SessionId,
    pub answer: String,
    pub deadline: Instant,
    /// RTP sequence number, time and payload of each packet heard.
    pub heard: Vec<(u64, u32, Arc<[u8]>)>,
    /// RTCP packets heard, and how many packets of sound before each.
    pub told: Vec<(usize, Rtcp)>,
    /// Another address of the same client.
    pub second_address: Option<SocketAddr>,
    pub connected: bool,
    pub closed: bool,
}

pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub sessions: Sessions,
    pub timeline: TimelineWriter,
    pub deadline: Instant,
    pub clients: Vec<Client>,
    pub profile: Profile,
    /// Datagrams on their way: due, and a count that keeps equal times in order.
    pub wire: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    pub sent: u64,
    pub dice: Dice,
    pub loss_percent: u64,
    pub jitter_ms: u64,
    pub position: u64,
    pub gone: Vec<(SessionId, Reason)>,
    pub unknown: usize,
    /// Datagrams that left in batches.
    pub batched: usize,
    /// Nothing comes from or to this address.
    pub blocked: Option<SocketAddr>,
    /// What the clients sent, while this is Some.
    pub recorded: Option<Vec<(SocketAddr, Vec<u8>)>>,
}

impl World {
    pub fn new(seed: u64, loss_percent: u64, jitter_ms: u64) -> World {
        let now = Instant::now();
        let certificate = str0m::crypto::from_feature_flags().dtls_provider.generate_certificate().unwrap();
        let capacity = Capacity::new(Duration::ZERO, Duration::from_millis(20), 128_000);
        let (writer, timeline) = timeline::new(capacity, now);
        let mut sessions = Sessions::default();
        sessions.add_track(TRACK, timeline);
        let opus = OpusTrack { stereo: true, fec: false, min_packet_ms: 10 };
        World {
            now,
            start: now,
            sessions,
            timeline: writer,
            deadline: now,
            clients: vec![],
            profile: Profile { certificate, role: Role::Listener(opus), seal: true },
            wire: BTreeMap::new(),
            sent: 0,
            dice: Dice(seed | 1),
            loss_percent,
            jitter_ms,
            position: 0,
            gone: vec![],
            unknown: 0,
            batched: 0,
            blocked: None,
            recorded: None,
        }
    }

    pub fn join(&mut self) -> usize {
        self.join_with(None)
    }

    pub fn join_with(&mut self, second_address: Option<SocketAddr>) -> usize {
        let n = self.clients.len();
        let address: SocketAddr = format!("198.51.100.{}:5000", n + 1).parse().unwrap();
        let mut rtc = client_engine(self.now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).unwrap());
        if let Some(second) = second_address {
            rtc.add_local_candidate(Candidate::host(second, Protocol::Udp).unwrap());
        }
        let (offer, pending) = recvonly_offer(&mut rtc);
        let server = SERVER.parse().unwrap();
        let id = SessionId::random(0);
        let (session, answer) = Session::accept(id, &offer, &self.profile, &[server], None, self.now).unwrap();
        assert!(answer.contains("a=sendonly") && answer.contains("stereo=1") && answer.contains("sprop-stereo=1"));
        assert!(answer.contains("a=ice-lite") && answer.contains("192.0.2.1 8088 typ host"), "{answer}");
        assert!(!answer.contains("transport-cc") && !answer.contains("transport-wide-cc"), "{answer}");
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer).unwrap()).unwrap();
        self.sessions.admit(session, TRACK, self.now);
        self.clients.push(Client {
            address,
            rtc,
            id,
            answer,
            deadline: self.now,
            heard: vec![],
            told: vec![],
            second_address,
            connected: false,
            closed: false,
        });
        n
    }

    /// Lets time pass, with a packet every 20 ms.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut next_packet = self.now;
        while self.now < end {
            self.drain();
            let mut next = end.min(next_packet).min(self.deadline);
            next = self.clients.iter().map(|c| c.deadline).fold(next, Instant::min);
            if let Some(((due, _), _)) = self.wire.first_key_value() {
                next = next.min(*due);
            }
            self.now = self.now.max(next);
            if self.now >= next_packet {
                next_packet += Duration::from_millis(20);
                self.send_packet();
            }
            self.deliver();
            self.sessions.handle_timeout(self.now);
            for client in &mut self.clients {
                if client.deadline <= self.now {
                    client.rtc.handle_input(Input::Timeout(self.now)).unwrap();
                    // Moves on even if the engine wants the same instant again.
                    client.deadline = self.now + Duration::from_millis(1);
                }
            }
        }
        self.drain();
    }

    fn send_packet(&mut self) {
        // No two packets alike, and of various sizes.
        let mut payload = self.position.to_be_bytes().to_vec();
        payload.resize(8 + (self.position / 960 % 200) as usize, self.position as u8);
        let packet = Packet { payload: payload.into(), rtp_time_samples: self.position, captured: self.now };
        self.position += 960;
        let index = self.timeline.push(&packet);
        self.sessions.handle_packet(TRACK, index, packet, self.now);
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.wire.first_entry()
            && entry.key().0 <= self.now
        {
            let (source, destination, bytes) = entry.remove();
            if destination == SERVER.parse().unwrap() {
                if !self.receive(source, &bytes) {
                    self.unknown += 1;
                }
            } else if let Some(client) =
                self.clients.iter_mut().find(|c| c.address == destination || c.second_address == Some(destination))
            {
                let contents = bytes.as_slice().try_into().unwrap();
                let receive = Receive { proto: Protocol::Udp, source, destination, contents };
                client.rtc.handle_input(Input::Receive(self.now, receive)).unwrap();
                client.deadline = self.now;
            }
            self.drain();
        }
    }

    /// A datagram reaches the server. False if it belongs to nobody.
    pub fn receive(&mut self, source: SocketAddr, bytes: &[u8]) -> bool {
        let datagram = Datagram { protocol: Protocol::Udp, source, destination: SERVER.parse().unwrap(), bytes };
        self.sessions.handle_datagram(&datagram, self.now)
    }

    pub fn drain(&mut self) {
        let mut batch = Batch::default();
        loop {
            match self.sessions.poll_output(self.now, &mut batch) {
                Output::Transmit(t) => self.post(t.source, t.destination, t.contents.to_vec()),
                Output::Batch => {
                    for (route, bytes) in batch.iter() {
                        self.batched += 1;
                        self.post(route.source, route.destination, bytes.to_vec());
                    }
                }
                Output::Connected { .. } => {}
                Output::Gone { session, reason, .. } => self.gone.push((session, reason)),
                Output::Wait(deadline) => {
                    self.deadline = deadline;
                    break;
                }
            }
        }
        for n in 0..self.clients.len() {
            self.drain_client(n);
        }
    }

    fn drain_client(&mut self, n: usize) {
        loop {
            let client = &mut self.clients[n];
            // A client's handshake may time out where nothing gets through; then it is out.
            let Ok(output) = client.rtc.poll_output() else { return client.rtc.disconnect() };
            match output {
                ClientOutput::Timeout(deadline) => {
                    client.deadline = deadline.max(self.now + Duration::from_millis(1));
                    return;
                }
                ClientOutput::Transmit(t) => self.post(t.source, t.destination, t.contents.to_vec()),
                ClientOutput::Event(Event::Connected) => client.connected = true,
                ClientOutput::Event(Event::Closed) => client.closed = true,
                ClientOutput::Event(Event::RtpPacket(p)) => {
                    client.heard.push((*p.seq_no, p.header.timestamp, p.payload));
                }
                ClientOutput::Event(Event::RawPacket(raw)) => {
                    if let RawPacket::RtcpRx(packet) = *raw {
                        client.told.push((client.heard.len(), packet));
                    }
                }
                ClientOutput::Event(_) => {}
            }
        }
    }

    fn post(&mut self, source: SocketAddr, destination: SocketAddr, bytes: Vec<u8>) {
        self.sent += 1;
        if let Some(recorded) = self.recorded.as_mut().filter(|_| destination == SERVER.parse().unwrap()) {
            recorded.push((source, bytes.clone()));
        }
        let is_blocked = self.blocked.is_some_and(|address| address == source || address == destination);
        if self.dice.percent() < self.loss_percent || is_blocked {
            return;
        }
        let delay = 5 + if self.jitter_ms == 0 { 0 } else { self.dice.percent() % self.jitter_ms };
        self.wire.insert((self.now + Duration::from_millis(delay), self.sent), (source, destination, bytes));
    }
}

fn client_engine(now: Instant) -> Rtc {
    Rtc::builder().set_rtp_mode(true).enable_raw_packets(true).clear_codecs().enable_opus(true, false).build(now)
}

pub fn recvonly_offer(rtc: &mut Rtc) -> (String, SdpPendingOffer) {
    let mut change = rtc.sdp_api();
    change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    let (offer, pending) = change.apply().unwrap();
    (offer.to_sdp_string(), pending)
}
