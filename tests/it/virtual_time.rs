//! The fanout against real str0m clients, over a seeded lossy network, in virtual time: no socket, no thread, no clock.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use roomtone::audio::pcm::OpusPacket;
use roomtone::rtc::fanout::{Fanout, Output};
use roomtone::rtc::listener::{GIVE_UP_AFTER, Listener, Reason, SessionConfig};
use roomtone::rtc::session::{IfMatch, ListenerId, PatchRefusal, Patched};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output as ClientOutput, Rtc};

const SERVER: &str = "192.0.2.1:8088";

/// xorshift64*: the same seed gives the same network.
struct Dice(u64);

impl Dice {
    fn percent(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % 100
    }
}

struct Client {
    address: SocketAddr,
    rtc: Rtc,
    id: ListenerId,
    answer: String,
    deadline: Instant,
    /// RTP sequence number and time of each packet heard.
    heard: Vec<(u64, u32)>,
    connected: bool,
    closed: bool,
}

struct World {
    now: Instant,
    start: Instant,
    fanout: Fanout,
    deadline: Instant,
    clients: Vec<Client>,
    config: SessionConfig,
    /// Datagrams on their way: due, and a count that keeps equal times in order.
    wire: BTreeMap<(Instant, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    dice: Dice,
    loss_percent: u64,
    jitter_ms: u64,
    position: u64,
    gone: Vec<(ListenerId, Reason)>,
    unknown: usize,
}

impl World {
    fn new(seed: u64, loss_percent: u64, jitter_ms: u64) -> World {
        let now = Instant::now();
        let certificate = str0m::crypto::from_feature_flags().dtls_provider.generate_certificate().unwrap();
        World {
            now,
            start: now,
            fanout: Fanout::default(),
            deadline: now,
            clients: vec![],
            config: SessionConfig { certificate, stereo: true, fec: false, min_packet_ms: 10 },
            wire: BTreeMap::new(),
            sent: 0,
            dice: Dice(seed | 1),
            loss_percent,
            jitter_ms,
            position: 0,
            gone: vec![],
            unknown: 0,
        }
    }

    fn join(&mut self) -> usize {
        let n = self.clients.len();
        let address: SocketAddr = format!("198.51.100.{}:5000", n + 1).parse().unwrap();
        let mut rtc = client_engine(self.now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).unwrap());
        let (offer, pending) = recvonly_offer(&mut rtc);
        let server = SERVER.parse().unwrap();
        let (listener, answer) = Listener::accept(&offer, 0, &self.config, &[server], None, self.now).unwrap();
        assert!(answer.contains("a=sendonly") && answer.contains("stereo=1") && answer.contains("sprop-stereo=1"));
        assert!(answer.contains("a=ice-lite") && answer.contains("192.0.2.1 8088 typ host"), "{answer}");
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer).unwrap()).unwrap();
        let id = listener.id;
        self.fanout.admit(listener, self.now);
        self.clients.push(Client {
            address,
            rtc,
            id,
            answer,
            deadline: self.now,
            heard: vec![],
            connected: false,
            closed: false,
        });
        n
    }

    /// Lets time pass, with a packet every 20 ms.
    fn run(&mut self, duration: Duration) {
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
            self.fanout.handle_timeout(self.now);
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
        let packet =
            OpusPacket { payload: vec![0xfc, 0xff, 0xfe].into(), rtp_time_samples: self.position, captured: self.now };
        self.position += 960;
        self.fanout.handle_packet(0, &packet, self.now);
    }

    fn deliver(&mut self) {
        while let Some(entry) = self.wire.first_entry()
            && entry.key().0 <= self.now
        {
            let (source, destination, bytes) = entry.remove();
            if destination == SERVER.parse().unwrap() {
                if !self.fanout.handle_datagram(source, destination, &bytes, self.now) {
                    self.unknown += 1;
                }
            } else if let Some(client) = self.clients.iter_mut().find(|c| c.address == destination) {
                let contents = bytes.as_slice().try_into().unwrap();
                let receive = Receive { proto: Protocol::Udp, source, destination, contents };
                client.rtc.handle_input(Input::Receive(self.now, receive)).unwrap();
                client.deadline = self.now;
            }
            self.drain();
        }
    }

    fn drain(&mut self) {
        loop {
            match self.fanout.poll_output(self.now) {
                Output::Transmit(t) => self.post(t.source, t.destination, t.contents.to_vec()),
                Output::Connected { .. } => {}
                Output::Gone { listener, reason, .. } => self.gone.push((listener, reason)),
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
                ClientOutput::Event(Event::RtpPacket(p)) => client.heard.push((*p.seq_no, p.header.timestamp)),
                ClientOutput::Event(_) => {}
            }
        }
    }

    fn post(&mut self, source: SocketAddr, destination: SocketAddr, bytes: Vec<u8>) {
        self.sent += 1;
        if self.dice.percent() < self.loss_percent {
            return;
        }
        let delay = 5 + if self.jitter_ms == 0 { 0 } else { self.dice.percent() % self.jitter_ms };
        self.wire.insert((self.now + Duration::from_millis(delay), self.sent), (source, destination, bytes));
    }
}

fn client_engine(now: Instant) -> Rtc {
    Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false).build(now)
}

fn recvonly_offer(rtc: &mut Rtc) -> (String, SdpPendingOffer) {
    let mut change = rtc.sdp_api();
    change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    let (offer, pending) = change.apply().unwrap();
    (offer.to_sdp_string(), pending)
}

#[test]
fn every_packet_arrives_once_in_order_and_on_the_stations_clock() {
    let mut world = World::new(1, 0, 0);
    let a = world.join();
    let b = world.join();
    world.run(Duration::from_secs(10));
    for n in [a, b] {
        let heard = &world.clients[n].heard;
        assert!(heard.len() > 450, "{} packets in 10 s", heard.len());
        assert!(heard.windows(2).all(|w| w[1].0 == w[0].0 + 1 && w[1].1 == w[0].1 + 960));
    }
    let last = |n: usize| world.clients[n].heard.last().unwrap().1;
    assert_eq!(last(a), last(b), "both hear the same moment");
}

#[test]
fn loss_and_jitter_cost_what_was_lost_and_nothing_more() {
    for seed in 1..=5 {
        let mut world = World::new(seed, 5, 30);
        let n = world.join();
        world.run(Duration::from_secs(20));
        let mut heard = world.clients[n].heard.clone();
        assert!(world.clients[n].connected, "seed {seed}: never connected");
        heard.sort_unstable();
        let before = heard.len();
        heard.dedup();
        assert_eq!(heard.len(), before, "seed {seed}: a packet came twice");
        let expected = (heard.last().unwrap().0 - heard[0].0 + 1) as f64;
        let share = heard.len() as f64 / expected;
        assert!((0.90..=0.99).contains(&share), "seed {seed}: {share} of the packets arrived");
        assert!(heard.windows(2).all(|w| (w[1].1 - w[0].1) as u64 == (w[1].0 - w[0].0) * 960), "seed {seed}");
    }
}

#[test]
fn a_dismissed_listener_is_told_and_forgotten_and_the_other_hears_on() {
    let mut world = World::new(2, 0, 0);
    let a = world.join();
    let b = world.join();
    world.run(Duration::from_secs(2));
    assert!(world.fanout.dismiss(world.clients[a].id, world.now));
    assert!(!world.fanout.dismiss(world.clients[a].id, world.now), "a session ends once");
    world.run(Duration::from_millis(100));
    assert!(world.clients[a].closed, "no goodbye arrived");
    let before = world.clients[b].heard.len();
    world.run(Duration::from_secs(2));
    assert!(world.clients[b].heard.len() >= before + 99);
    assert_eq!(world.gone, [(world.clients[a].id, Reason::Closed)]);
    assert_eq!(world.fanout.len(), 1);
}

#[test]
fn a_client_that_says_goodbye_is_gone_at_once() {
    let mut world = World::new(3, 0, 0);
    let n = world.join();
    world.run(Duration::from_secs(2));
    world.clients[n].rtc.close().unwrap();
    world.run(Duration::from_millis(200));
    assert_eq!(world.gone, [(world.clients[n].id, Reason::Closed)]);
}

#[test]
fn a_client_that_never_comes_or_vanishes_is_given_up() {
    let mut world = World::new(4, 0, 0);
    let n = world.join();
    world.run(Duration::from_secs(2));
    world.loss_percent = 100;
    let never = world.join();
    world.run(GIVE_UP_AFTER + Duration::from_secs(1));
    assert!(world.gone.contains(&(world.clients[never].id, Reason::NoPath)), "{:?}", world.gone);
    world.run(GIVE_UP_AFTER);
    assert!(world.gone.contains(&(world.clients[n].id, Reason::NoPath)), "{:?}", world.gone);
    assert!(world.fanout.is_empty());
    assert!(world.now.duration_since(world.start) < Duration::from_secs(70));
}

#[test]
fn ice_restarts_only_with_the_right_tag_and_sound_goes_on() {
    let mut world = World::new(5, 0, 0);
    let n = world.join();
    world.run(Duration::from_secs(2));
    let id = world.clients[n].id;
    let mut change = world.clients[n].rtc.sdp_api();
    let fresh = change.ice_restart(true);
    let (_offer, pending) = change.apply().unwrap();
    let fragment =
        format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", fresh.ufrag, fresh.pass);
    let mut patch = |if_match: IfMatch| world.fanout.handle_patch(id, &fragment, &if_match, world.now);
    assert_eq!(patch(IfMatch::Absent), Err(PatchRefusal::TagRequired));
    assert_eq!(patch(IfMatch::Tags(vec!["\"other\"".into()])), Err(PatchRefusal::StaleTag));
    let Ok(Patched::Restarted { fragment: answer, etag }) = patch(IfMatch::Any) else { panic!("no restart") };
    assert!(answer.contains("a=candidate:") && answer.contains("a=end-of-candidates"), "{answer}");
    let value = |name: &str| answer.lines().find_map(|l| l.strip_prefix(name)).unwrap().to_owned();
    assert_eq!(etag, format!("\"{}\"", value("a=ice-ufrag:")));
    // The client puts its answer together from the first one and the fragment, as a page does.
    let sdp: String = (world.clients[n].answer.lines())
        .map(|line| match line {
            l if l.starts_with("a=ice-ufrag:") => format!("a=ice-ufrag:{}\r\n", value("a=ice-ufrag:")),
            l if l.starts_with("a=ice-pwd:") => format!("a=ice-pwd:{}\r\n", value("a=ice-pwd:")),
            l => format!("{l}\r\n"),
        })
        .collect();
    world.clients[n].rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&sdp).unwrap()).unwrap();
    let before = world.clients[n].heard.len();
    world.run(Duration::from_secs(40));
    assert!(world.clients[n].heard.len() >= before + 1_990, "{}", world.clients[n].heard.len() - before);
    assert!(world.gone.is_empty());
}

#[test]
fn strangers_datagrams_change_nothing() {
    let mut world = World::new(6, 0, 0);
    let n = world.join();
    world.run(Duration::from_secs(2));
    let (known, server) = (world.clients[n].address, SERVER.parse().unwrap());
    let stranger: SocketAddr = "203.0.113.9:9".parse().unwrap();
    let mut seed = Dice(99);
    for round in 0..20_000u64 {
        let length = (seed.percent() * 15) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| (seed.percent() * 3 % 256) as u8).collect();
        let source = if round % 2 == 0 { stranger } else { known };
        let taken = world.fanout.handle_datagram(source, server, &bytes, world.now);
        assert!(!taken || source == known, "a stranger's datagram found a session");
        world.drain();
    }
    let before = world.clients[n].heard.len();
    world.run(Duration::from_secs(2));
    assert!(world.clients[n].heard.len() >= before + 99);
    assert!(world.gone.is_empty());
}
