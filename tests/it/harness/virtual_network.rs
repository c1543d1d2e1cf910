//! The server's sessions and real str0m clients on a virtual network that delays and loses datagrams, seeded, in virtual
//! time. It uses no socket and no thread, and reads the clock once, for a point in time to start from.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use roomtone::ids::session::SessionId;
use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::rtc::ice::candidates;
use roomtone::rtc::ice::credentials::LocalCredentials;
use roomtone::rtc::profile::{OpusTrack, Profile, Role};
use roomtone::rtc::session::{Reason, Session};
use roomtone::rtc::sessions::{Output, Sessions};
use roomtone::rtc::udp::batch::Batch;
use roomtone::rtc::udp::classify::{Datagram, Kind, kind};
use roomtone::rtc::udp::stun_writer::{
    BINDING_REQUEST, ICE_CONTROLLING, PRIORITY, StunWriter, USE_CANDIDATE, USERNAME,
};
use roomtone::station::timeline::{self, Capacity, TimelineWriter};
use str0m::change::SdpAnswer;
use str0m::net::{Protocol, Receive};
use str0m::rtp::RawPacket;
use str0m::rtp::rtcp::Rtcp;
use str0m::{Candidate, Event, Input, Output as ClientOutput, Rtc};

use crate::harness::media::rtc_client::recvonly_offer;
use crate::harness::random::Random;

/// The server's address, which all clients send to.
pub const SERVER: &str = "192.0.2.1:8088";

/// The track that all clients receive.
pub const TRACK: TrackId = TrackId::new(0);

/// A client that receives the track.
pub struct Client {
    pub address: SocketAddr,
    pub rtc: Rtc,
    /// Its session on the server.
    pub id: SessionId,
    /// The server's SDP answer.
    pub answer: String,
    deadline: Instant,
    /// RTP packets received, decrypted.
    pub packets: Vec<ReceivedPacket>,
    /// RTCP packets received, each with the number of RTP packets received before it.
    pub rtcp: Vec<(usize, Rtcp)>,
    second_address: Option<SocketAddr>,
    pub is_connected: bool,
    pub is_closed: bool,
}

/// An RTP packet as a client received it.
pub struct ReceivedPacket {
    /// Extended sequence number (RFC 3550 appendix A.1).
    pub sequence: u64,
    pub rtp_time: u32,
    pub payload: Arc<[u8]>,
}

/// Server, clients and the network between them.
pub struct VirtualNetwork {
    pub now: Instant,
    pub start: Instant,
    pub sessions: Sessions,
    timeline: TimelineWriter,
    /// The sessions' next deadline.
    deadline: Instant,
    pub clients: Vec<Client>,
    /// How the server sets up new sessions.
    pub profile: Profile,
    /// Datagrams on their way (source, destination, bytes) by arrival, and a count that keeps equal times in order.
    in_flight: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    datagrams_sent: u64,
    random: Random,
    pub loss_percent: u64,
    jitter_ms: u64,
    rtp_time_samples: u64,
    /// Sessions that have ended, and why.
    pub ended: Vec<(SessionId, Reason)>,
    /// Datagrams that the server sent in batches: sealed beside str0m.
    pub sealed: usize,
    /// Datagrams from and to this address are lost.
    pub blocked: Option<SocketAddr>,
    /// The clients' STUN is lost, as if they made no checks.
    pub loses_stun: bool,
    /// DTLS datagrams that the server sent.
    pub dtls_sent: usize,
    /// What arrived at addresses of no client.
    pub strays: Vec<(SocketAddr, Vec<u8>)>,
    /// What the clients sent (source, bytes), while this is Some.
    pub recorded: Option<Vec<(SocketAddr, Vec<u8>)>>,
}

impl VirtualNetwork {
    /// A server without clients. Each datagram takes 5 ms and up to `jitter_ms` more.
    pub fn new(seed: u64, loss_percent: u64, jitter_ms: u64) -> VirtualNetwork {
        let now = Instant::now();
        let certificate = str0m::crypto::from_feature_flags().dtls_provider.generate_certificate().unwrap();
        let capacity = Capacity::new(Duration::ZERO, Duration::from_millis(20), 128_000);
        let (writer, timeline) = timeline::new(capacity, now);
        let mut sessions = Sessions::default();
        sessions.add_track(TRACK, timeline);
        let opus = OpusTrack { stereo: true, fec: false, min_packet_ms: 10 };
        VirtualNetwork {
            now,
            start: now,
            sessions,
            timeline: writer,
            deadline: now,
            clients: vec![],
            profile: Profile { certificate, role: Role::Listener(opus), seal: true },
            in_flight: BTreeMap::new(),
            datagrams_sent: 0,
            random: Random(seed),
            loss_percent,
            jitter_ms,
            rtp_time_samples: 0,
            ended: vec![],
            sealed: 0,
            blocked: None,
            loses_stun: false,
            dtls_sent: 0,
            strays: vec![],
            recorded: None,
        }
    }

    /// Admits a new client; it connects as time passes. Returns its index.
    pub fn add_client(&mut self) -> usize {
        self.add_client_with(None)
    }

    /// The same for a client that has a second address.
    pub fn add_client_with(&mut self, second_address: Option<SocketAddr>) -> usize {
        self.add(second_address, client_engine(self.now), &str::to_owned)
    }

    /// The same for a client that leaves it to the server to begin the DTLS handshake.
    pub fn add_client_that_waits_for_dtls(&mut self) -> usize {
        self.add_client_that_offers(&|offer| offer.replace("a=setup:actpass", "a=setup:passive"))
    }

    /// The same for a client whose offer is changed on its way.
    pub fn add_client_that_offers(&mut self, change: &dyn Fn(&str) -> String) -> usize {
        self.add(None, client_engine(self.now), change)
    }

    /// The same for a client with this engine.
    pub fn add(&mut self, second_address: Option<SocketAddr>, mut rtc: Rtc, change: &dyn Fn(&str) -> String) -> usize {
        let n = self.clients.len();
        let address: SocketAddr = format!("198.51.100.{}:5000", n + 1).parse().unwrap();
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).unwrap());
        if let Some(second) = second_address {
            rtc.add_local_candidate(Candidate::host(second, Protocol::Udp).unwrap());
        }
        let (offer, pending) = recvonly_offer(&mut rtc);
        let offer = change(&offer);
        let server = SERVER.parse().unwrap();
        let id = SessionId::random(0);
        let local = LocalCredentials::random();
        let candidates = candidates::lines(&[server], &[]);
        let (session, answer) = Session::accept(id, &offer, &self.profile, local, &candidates, self.now).unwrap();
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
            packets: vec![],
            rtcp: vec![],
            second_address,
            is_connected: false,
            is_closed: false,
        });
        n
    }

    /// Lets time pass. The station sends a packet every 20 ms.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        let mut next_packet = self.now;
        while self.now < end {
            self.drain();
            let mut next = end.min(next_packet).min(self.deadline);
            next = self.clients.iter().map(|c| c.deadline).fold(next, Instant::min);
            if let Some(((due, _), _)) = self.in_flight.first_key_value() {
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
                    // At least 1 ms ahead, so that time passes even if the engine asks for the same instant again.
                    client.deadline = self.now + Duration::from_millis(1);
                }
            }
        }
        self.drain();
    }

    fn send_packet(&mut self) {
        // All packets differ, in size too.
        let mut payload = self.rtp_time_samples.to_be_bytes().to_vec();
        payload.resize(8 + (self.rtp_time_samples / 960 % 200) as usize, self.rtp_time_samples as u8);
        let packet = Packet { payload: payload.into(), rtp_time_samples: self.rtp_time_samples, captured: self.now };
        self.rtp_time_samples += 960;
        let index = self.timeline.push(&packet);
        self.sessions.handle_packet(TRACK, index, packet, self.now);
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.in_flight.first_entry()
            && entry.key().0 <= self.now
        {
            let (source, destination, bytes) = entry.remove();
            if destination == SERVER.parse().unwrap() {
                self.deliver_to_server(source, &bytes);
            } else if let Some(client) =
                self.clients.iter_mut().find(|c| c.address == destination || c.second_address == Some(destination))
            {
                let contents = bytes.as_slice().try_into().unwrap();
                let receive = Receive { proto: Protocol::Udp, source, destination, contents };
                client.rtc.handle_input(Input::Receive(self.now, receive)).unwrap();
                client.deadline = self.now;
            } else {
                self.strays.push((destination, bytes));
            }
            self.drain();
        }
    }

    /// Delivers a datagram to the server at once. False if it belongs to no session.
    pub fn deliver_to_server(&mut self, source: SocketAddr, bytes: &[u8]) -> bool {
        let datagram = Datagram { protocol: Protocol::Udp, source, destination: SERVER.parse().unwrap(), bytes };
        self.sessions.handle_datagram(&datagram, self.now)
    }

    /// A genuine check of a client, with a transaction id of this number.
    pub fn check(&mut self, n: usize, nth: u32, priority: u32) -> Vec<u8> {
        let client = &mut self.clients[n];
        let value = |name: &str| client.answer.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        let (ufrag, password) = (value("a=ice-ufrag:"), value("a=ice-pwd:"));
        let username = format!("{ufrag}:{}", client.rtc.direct_api().local_ice_credentials().ufrag);
        let mut transaction = [0xc4; 12];
        transaction[..4].copy_from_slice(&nth.to_be_bytes());
        StunWriter::new(BINDING_REQUEST, &transaction)
            .attribute(USERNAME, username.as_bytes())
            .attribute(PRIORITY, &priority.to_be_bytes())
            .attribute(USE_CANDIDATE, &[])
            .attribute(ICE_CONTROLLING, &[1; 8])
            .finish_with_integrity(password)
    }

    /// Puts what the sessions and the clients want to send on its way, and takes note of their events.
    pub fn drain(&mut self) {
        let mut batch = Batch::default();
        loop {
            match self.sessions.poll_output(self.now, &mut batch) {
                Output::Transmit(t) => {
                    self.dtls_sent += usize::from(kind(&t.contents) == Kind::Dtls);
                    self.send(t.source, t.destination, t.contents.to_vec());
                }
                Output::Batch => {
                    for (route, bytes) in batch.iter() {
                        self.sealed += 1;
                        self.send(route.source, route.destination, bytes.to_vec());
                    }
                }
                Output::Connected { .. } => {}
                Output::Gone { session, reason, .. } => self.ended.push((session, reason)),
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
            // A client's handshake fails by time-out if all its datagrams are lost; it stops then.
            let Ok(output) = client.rtc.poll_output() else { return client.rtc.disconnect() };
            match output {
                ClientOutput::Timeout(deadline) => {
                    client.deadline = deadline.max(self.now + Duration::from_millis(1));
                    return;
                }
                ClientOutput::Transmit(t) => self.send(t.source, t.destination, t.contents.to_vec()),
                ClientOutput::Event(Event::Connected) => client.is_connected = true,
                ClientOutput::Event(Event::Closed) => client.is_closed = true,
                ClientOutput::Event(Event::RtpPacket(p)) => {
                    let (sequence, rtp_time) = (*p.seq_no, p.header.timestamp);
                    client.packets.push(ReceivedPacket { sequence, rtp_time, payload: p.payload });
                }
                ClientOutput::Event(Event::RawPacket(raw)) => {
                    if let RawPacket::RtcpRx(packet) = *raw {
                        client.rtcp.push((client.packets.len(), packet));
                    }
                }
                ClientOutput::Event(_) => {}
            }
        }
    }

    fn send(&mut self, source: SocketAddr, destination: SocketAddr, bytes: Vec<u8>) {
        self.datagrams_sent += 1;
        if let Some(recorded) = self.recorded.as_mut().filter(|_| destination == SERVER.parse().unwrap()) {
            recorded.push((source, bytes.clone()));
        }
        let is_blocked = self.blocked.is_some_and(|address| address == source || address == destination);
        let is_lost_stun = self.loses_stun && destination == SERVER.parse().unwrap() && kind(&bytes).is_stun();
        if self.random.is_within_percent(self.loss_percent) || is_blocked || is_lost_stun {
            return;
        }
        let delay_ms = 5 + if self.jitter_ms == 0 { 0 } else { self.random.below(self.jitter_ms) };
        let arrival = self.now + Duration::from_millis(delay_ms);
        self.in_flight.insert((arrival, self.datagrams_sent), (source, destination, bytes));
    }
}

pub fn client_engine(now: Instant) -> Rtc {
    Rtc::builder().set_rtp_mode(true).enable_raw_packets(true).clear_codecs().enable_opus(true, false).build(now)
}
