//! A WebRTC client over a real UDP socket that receives one Opus track. It runs on the thread that polls it, and reads no
//! HTTP: the caller brings the offer to the server, and the answer back.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::format::CodecConfig;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpPacket;
use str0m::{Candidate, Event, Input, Output, Rtc};

use super::timestamps;

/// One wait for a datagram, at most, so that the caller can stop in time.
const MAX_WAIT: Duration = Duration::from_millis(100);

/// A client that has made an offer. It connects once it has the answer.
pub struct RtcClient {
    rtc: Rtc,
    socket: UdpSocket,
    local: SocketAddr,
    with_nack: bool,
    pending: Option<SdpPendingOffer>,
    /// When the latest datagram arrived, by the kernel's time stamp.
    arrived: Instant,
}

/// What happened to a client.
pub enum ClientEvent {
    /// A packet was received and decrypted; when the kernel had its datagram.
    Packet(Box<RtpPacket>, Instant),
    /// The server has closed the session and said so.
    Closed,
}

impl RtcClient {
    /// A client at a port of this loopback address, and its SDP offer. With `with_nack` it asks for packets that are missing.
    pub fn new(address: Ipv4Addr, with_nack: bool) -> (RtcClient, String) {
        let socket = UdpSocket::bind((address, 0)).expect("a UDP port");
        timestamps::enable_timestamps(&socket);
        let local = socket.local_addr().expect("an address");
        let now = Instant::now();
        let mut config = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false);
        let mut opus = config.codec_config().params().to_vec();
        opus.iter_mut().for_each(|params| params.set_fb_nack(with_nack));
        *config.codec_config() = CodecConfig::new_from_payload_params(opus);
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(local, Protocol::Udp).expect("a candidate"));
        let (offer, pending) = recvonly_offer(&mut rtc);
        (RtcClient { rtc, socket, local, with_nack, pending: Some(pending), arrived: now }, offer)
    }

    /// Takes the server's SDP answer.
    pub fn accept_answer(&mut self, answer: &str) {
        let pending = self.pending.take().expect("the answer comes once");
        let answer = SdpAnswer::from_sdp_string(answer).expect("an SDP answer");
        self.rtc.sdp_api().accept_answer(pending, answer).expect("an answer to the offer");
    }

    /// The next event; None if there was none while it waited for one datagram, 0.1 s at most.
    pub fn next_event(&mut self) -> Option<ClientEvent> {
        let deadline = loop {
            match self.rtc.poll_output().expect("the client's engine goes on") {
                Output::Timeout(deadline) => break deadline,
                Output::Transmit(t) => drop(self.socket.send_to(&t.contents, t.destination)),
                Output::Event(Event::RtpPacket(packet)) => {
                    // By itself str0m sends a NACK only for streams whose packets are resent in an RTX stream (RFC 4588).
                    if let Some(stream) = self.rtc.direct_api().stream_rx(&packet.header.ssrc) {
                        stream.suppress_nack(!self.with_nack);
                    }
                    return Some(ClientEvent::Packet(Box::new(packet), self.arrived));
                }
                Output::Event(Event::Closed) => return Some(ClientEvent::Closed),
                Output::Event(_) => {}
            }
        };
        self.receive(deadline);
        None
    }

    /// Takes one datagram, or lets the deadline pass.
    fn receive(&mut self, deadline: Instant) {
        let wait = deadline.saturating_duration_since(Instant::now()).clamp(Duration::from_millis(1), MAX_WAIT);
        self.socket.set_read_timeout(Some(wait)).expect("a time-out that is not zero");
        let mut bytes = [0; 2_000];
        let input = match timestamps::receive(&self.socket, &mut bytes) {
            Ok((length, source, arrived)) => {
                self.arrived = arrived;
                let Ok(contents) = bytes[..length].try_into() else { return };
                let receive = Receive { proto: Protocol::Udp, source, destination: self.local, contents };
                Input::Receive(Instant::now(), receive)
            }
            Err(_) => Input::Timeout(Instant::now()),
        };
        self.rtc.handle_input(input).expect("the client's engine goes on");
    }
}

/// An SDP offer to receive one audio track.
pub fn recvonly_offer(rtc: &mut Rtc) -> (String, SdpPendingOffer) {
    let mut change = rtc.sdp_api();
    change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    let (offer, pending) = change.apply().expect("a change to offer");
    (offer.to_sdp_string(), pending)
}
