//! A server with one connected listener, over a network without delay, in virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::rtc::sessions::{Output, Sessions};
use roomtone::rtc::udp::batch::Batch;
use roomtone::station::timeline::TimelineWriter;
use str0m::change::SdpAnswer;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output as ClientOutput, Rtc};

use super::setup::{accept, client, datagram_from, recvonly_offer, sessions_with_tracks};

/// The track that the listener receives.
const TRACK: TrackId = TrackId::new(0);

/// The pair; `exchange` after each change.
pub struct ConnectedPair {
    pub now: Instant,
    pub sessions: Sessions,
    timeline: TimelineWriter,
    rtc: Rtc,
    /// The listener's address.
    pub address: SocketAddr,
    rtp_time_samples: u64,
    /// Packets that the listener has received.
    pub received: usize,
    /// Datagrams that the listener has sent.
    pub sent_by_client: Vec<Vec<u8>>,
}

impl ConnectedPair {
    /// Connects, and sends packets until three have arrived.
    pub fn new() -> ConnectedPair {
        let now = Instant::now();
        let address = SocketAddr::from(([198, 51, 100, 1], 5000));
        let mut rtc = client(now);
        rtc.add_local_candidate(Candidate::host(address, Protocol::Udp).expect("an address"));
        let (offer, pending) = recvonly_offer(&mut rtc);
        let (session, answer) = accept(&offer, now).expect("our own offer is a good one");
        let answer = SdpAnswer::from_sdp_string(&answer).expect("our own answer");
        rtc.sdp_api().accept_answer(pending, answer).expect("our own answer");
        let (mut sessions, mut writers) = sessions_with_tracks(1, now);
        sessions.admit(session, TRACK, now);
        let timeline = writers.remove(0);
        let (rtp_time_samples, received, sent_by_client) = (0, 0, vec![]);
        let mut pair =
            ConnectedPair { now, sessions, timeline, rtc, address, rtp_time_samples, received, sent_by_client };
        for _ in 0..200 {
            pair.send_packet();
            if pair.received >= 3 {
                return pair;
            }
        }
        panic!("the pair never connected");
    }

    /// Sends a packet of the track and lets 20 ms pass.
    pub fn send_packet(&mut self) {
        let payload = vec![0xfc, 0xff, 0xfe].into();
        let packet = Packet { payload, rtp_time_samples: self.rtp_time_samples, captured: self.now };
        self.rtp_time_samples += 960;
        let index = self.timeline.push(&packet);
        self.sessions.handle_packet(TRACK, index, packet, self.now);
        self.exchange();
        for _ in 0..4 {
            self.now += Duration::from_millis(5);
            self.sessions.handle_timeout(self.now);
            let _ = self.rtc.handle_input(Input::Timeout(self.now));
            self.exchange();
        }
    }

    /// Delivers datagrams in both directions until neither side sends any more. Panics if there is no end.
    pub fn exchange(&mut self) {
        for _ in 0..1_000 {
            if !self.exchange_once() {
                return;
            }
        }
        panic!("the two never stop sending")
    }

    /// False if neither side had anything to send to the other.
    fn exchange_once(&mut self) -> bool {
        let mut batch = Batch::default();
        let mut has_sent = false;
        loop {
            match self.sessions.poll_output(self.now, &mut batch) {
                Output::Transmit(t) => has_sent |= self.deliver_to_client(t.source, t.destination, &t.contents),
                Output::Batch => {
                    for (route, bytes) in batch.iter() {
                        has_sent |= self.deliver_to_client(route.source, route.destination, bytes);
                    }
                }
                Output::Wait(_) => break,
                _ => {}
            }
        }
        has_sent | self.drain_client()
    }

    /// False if the datagram is not for the client.
    fn deliver_to_client(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) -> bool {
        let Ok(contents) = bytes.try_into() else { return false };
        if destination != self.address {
            return false;
        }
        let receive = Receive { proto: Protocol::Udp, source, destination, contents };
        let _ = self.rtc.handle_input(Input::Receive(self.now, receive));
        self.drain_client();
        true
    }

    /// Delivers what the client wants to send. False if there was nothing.
    fn drain_client(&mut self) -> bool {
        let mut has_sent = false;
        while let Ok(output) = self.rtc.poll_output() {
            match output {
                ClientOutput::Timeout(_) => break,
                ClientOutput::Transmit(t) => {
                    has_sent = true;
                    self.sent_by_client.push(t.contents.to_vec());
                    self.sessions.handle_datagram(&datagram_from(t.source, &t.contents), self.now);
                }
                ClientOutput::Event(Event::RtpPacket(_)) => self.received += 1,
                ClientOutput::Event(_) => {}
            }
        }
        has_sent
    }
}
