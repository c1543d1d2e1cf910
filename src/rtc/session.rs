//! One listener: a WebRTC session that receives a station.
//!
//! Pure: it is told what happened and what time it is, and says what to send. After every change, poll
//! [`Listener::poll_output`] until it says [`Output::Wait`]; only then make the next change.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::config::DtlsCert;
use str0m::format::{Codec, FormatParams};
use str0m::media::{Frequency, Mid, Pt};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::rtcp::{Nack, Rtcp};
use str0m::rtp::{Extension, RawPacket, RtpWrite, SeqNo};
use str0m::{Candidate, Event, IceConnectionState, Input, Output as EngineOutput, Rtc};

use crate::ids::session::SessionId;
use crate::media::packet::Packet;
use crate::rtc::requests::{IfMatch, PatchRefusal, Patched};
use crate::rtc::sdp::{self, AudioOffer, IceFragment};
use crate::rtc::srtp::gcm::Gcm;
use crate::rtc::srtp::provider::{self, Secrets};
use crate::rtc::tracks::send::{Stream, Voice};
use crate::rtc::udp::batch::Route;

/// A session that lost its path, or gets no further than ICE, is given up after this long: time enough for a phone to
/// change networks and restart ICE.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// A session that not one check of ICE has found is given up after this long: a client that means it checks at once, and
/// what a flood of offers left behind is soon gone.
pub const GIVE_UP_UNCHECKED_AFTER: Duration = Duration::from_secs(10);

/// Packets the engine may hold. It sends each at once, and what is sent again comes from the station's history.
const SEND_BUFFER_PACKETS: usize = 2;

/// Missing packets that are read out of one report; more are not to be had anyway.
const MISSING_PER_REPORT: usize = 64;

/// Payload type when the client leaves the choice to us (it never does in an offer).
const OPUS_PAYLOAD_TYPE: u8 = 111;

/// What every listener of this host shares.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Certificate of this process; its fingerprint is in every answer.
    pub certificate: DtlsCert,
    /// Whether the station has two channels.
    pub stereo: bool,
    /// Whether the station carries in-band FEC.
    pub fec: bool,
    /// Shortest packet the station may send, in whole milliseconds.
    pub min_packet_ms: u8,
    /// Whether packets are sealed beside the engine where that can be. Without it all go through the engine: the reference
    /// that tests and benches compare with.
    pub seal: bool,
}

/// What a listener wants done.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Transmit(Transmit),
    /// DTLS is up; sound flows from the next packet on.
    Connected,
    /// The client reports that it receives the stream.
    Acknowledged,
    /// The client misses packets of these sequence numbers (RFC 4585 §6.2.1).
    Missing(Vec<u16>),
    /// The session is over and may be dropped.
    Gone(Reason),
    /// Nothing more until then.
    Wait(Instant),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client said goodbye, or was told to go.
    Closed,
    /// No path to the client for [`GIVE_UP_AFTER`], or no check from it for [`GIVE_UP_UNCHECKED_AFTER`].
    NoPath,
    /// The engine refused to go on: a protocol violation.
    Broken,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Closed => "said goodbye",
            Reason::NoPath => "not reachable any more",
            Reason::Broken => "broke the protocol",
        })
    }
}

/// One WebRTC session.
pub struct Listener {
    /// How the outside speaks of it.
    pub id: SessionId,
    /// Which station it hears.
    pub station: usize,
    rtc: Rtc,
    offer: AudioOffer,
    mid: Mid,
    pt: Pt,
    secrets: Option<Arc<Secrets>>,
    seal: bool,
    /// Which way the engine last sent anything but checks' answers, and whether it may have changed its mind since.
    route: Option<Route>,
    route_in_doubt: bool,
    path: Path,
    gone: Option<Reason>,
    announced_gone: bool,
    /// What is still to be sent of a session that was closed.
    farewell: VecDeque<Transmit>,
}

/// Whether packets can reach the client.
#[derive(Clone, Copy, Debug)]
enum Path {
    Connected,
    /// Since when there is none.
    Missing(Instant),
    /// Since when a first check is waited for.
    Unchecked(Instant),
}

impl Path {
    fn give_up_at(self) -> Option<Instant> {
        match self {
            Path::Connected => None,
            Path::Missing(since) => Some(since + GIVE_UP_AFTER),
            Path::Unchecked(since) => Some(since + GIVE_UP_UNCHECKED_AFTER),
        }
    }
}

impl Listener {
    /// Takes an offer: the session of that id, and the answer.
    ///
    /// `candidates` are this host's own addresses; `reached_at` is offered besides them as an address that some router
    /// maps to the first of them.
    ///
    /// # Errors
    /// A sentence for the client, naming what is wrong with the offer.
    pub fn accept(
        id: SessionId,
        offer: &str,
        station: usize,
        config: &SessionConfig,
        candidates: &[SocketAddr],
        reached_at: Option<IpAddr>,
        now: Instant,
    ) -> Result<(Listener, String), String> {
        let offer = AudioOffer::parse(offer)?;
        let mut rtc = new_engine(config, now);
        let secrets = provider::take_secrets();
        for address in candidates {
            if let Ok(candidate) = Candidate::host(*address, Protocol::Udp) {
                rtc.add_local_candidate(candidate);
            }
        }
        if let Some(candidate) = forwarded_candidate(candidates, reached_at) {
            rtc.add_local_candidate(candidate);
        }
        let text = accept_offer(&mut rtc, offer.text())?;
        let mid = Mid::from(sdp_value(&text, "a=mid:").ok_or("the audio section has no a=mid")?);
        let pt = rtc
            .media(mid)
            .and_then(|media| media.remote_pts().first().copied())
            .ok_or("the Opus payload type cannot be used")?;
        let answer = offer.answer(&text);
        let listener = Listener {
            id,
            station,
            rtc,
            offer,
            mid,
            pt,
            secrets,
            seal: config.seal,
            route: None,
            route_in_doubt: true,
            path: Path::Unchecked(now),
            gone: None,
            announced_gone: false,
            farewell: VecDeque::new(),
        };
        Ok((listener, answer))
    }

    /// Our ICE user fragment: STUN checks name it, and it changes with every ICE restart.
    pub fn ufrag(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    /// Strong entity tag of the present ICE session, quotes included (RFC 9725 §4.3.1).
    pub fn etag(&mut self) -> String {
        format!("\"{}\"", self.ufrag())
    }

    /// Whether sound can flow: DTLS is up and a path exists.
    pub fn is_connected(&self) -> bool {
        matches!(self.path, Path::Connected)
    }

    /// Whether a STUN message really comes from this session's client (its integrity is checked).
    pub fn accepts(&self, source: SocketAddr, destination: SocketAddr, bytes: &[u8], now: Instant) -> bool {
        let Ok(contents) = bytes.try_into() else { return false };
        self.rtc.accepts(&Input::Receive(now, Receive { proto: Protocol::Udp, source, destination, contents }))
    }

    /// A datagram arrived from an address that a check of this session came from.
    pub fn handle_datagram(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8], now: Instant) {
        if let Path::Unchecked(since) = self.path {
            self.path = Path::Missing(since);
        }
        // Only a check can make the engine go another way.
        self.route_in_doubt |= is_stun(bytes) && self.route != Some(Route { source: destination, destination: source });
        let Ok(contents) = bytes.try_into() else { return };
        let input = Input::Receive(now, Receive { proto: Protocol::Udp, source, destination, contents });
        // What anybody could have sent is dropped without an error, by the engine or by the crypto beneath it.
        if self.rtc.handle_input(input).is_err() {
            self.end(Reason::Broken);
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.path.give_up_at().is_some_and(|at| now >= at) {
            self.end(Reason::NoPath);
        } else if self.rtc.handle_input(Input::Timeout(now)).is_err() {
            self.end(Reason::Broken);
        }
    }

    /// The stream of a session that has just connected: sealed if it may and can be.
    pub fn voice(&mut self, seat: usize) -> Voice {
        // RFC 3711 §3.3.1: starting in the lower half keeps both ends' rollover counters together.
        let mut voice = Voice::new(seat, u64::from(self.id.low_bits() & 0x7fff));
        let ssrc = self.ssrc();
        let keys = self.secrets.as_ref().filter(|_| self.seal).and_then(|secrets| secrets.keys());
        if let (Some(keys), Some(ssrc)) = (keys, ssrc)
            && let Some(key) = Gcm::new(&keys.rtp)
        {
            let extension = self.rtc.media(self.mid).and_then(|media| media.remote_extmap().id_of(Extension::RtpMid));
            let mid = extension.map(|id| (id, &*self.mid));
            voice.seal_with(key, keys.rtp_salt, Stream { ssrc, payload_type: *self.pt, mid });
        }
        voice
    }

    /// Which way packets may go that do not pass the engine; None while it is not certain.
    pub fn route(&self) -> Option<Route> {
        self.route.filter(|_| !self.route_in_doubt)
    }

    /// What the engine's next sender report shall say of packets that it did not send; see [`Voice::report`].
    pub fn report(&self, (rtp_time, packets, octets): (u32, u32, u32)) {
        if let Some(secrets) = &self.secrets {
            secrets.report(rtp_time, packets, octets);
        }
    }

    /// A packet that the engine shall send.
    pub fn write(&mut self, sequence: u64, packet: &Packet, now: Instant) {
        // RTP's 32-bit clock is the station's 64-bit one, cut (RFC 3550 §5.1).
        let rtp_time = packet.rtp_time_samples as u32;
        let write = RtpWrite::new(self.pt, SeqNo::from(sequence), rtp_time, now, packet.payload.clone());
        if let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(self.mid, None) {
            stream.write_rtp(write);
        }
    }

    fn ssrc(&mut self) -> Option<u32> {
        self.rtc.direct_api().stream_tx_by_mid(self.mid, None).map(|stream| *stream.ssrc())
    }

    /// Adds candidates or restarts ICE.
    ///
    /// # Errors
    /// [`PatchRefusal`]; the session goes on as it was.
    pub fn handle_patch(&mut self, fragment: &str, if_match: &IfMatch) -> Result<Patched, PatchRefusal> {
        let fragment = IceFragment::parse(fragment).map_err(PatchRefusal::BadFragment)?;
        let restart = fragment.credentials.filter(|(ufrag, _)| Some(ufrag.as_str()) != self.offer.ufrag());
        let tag_fits = match if_match {
            IfMatch::Absent | IfMatch::Any => true,
            IfMatch::Tags(tags) => tags.contains(&self.etag()),
        };
        if !tag_fits {
            return Err(PatchRefusal::StaleTag);
        }
        if let Some(mid) = fragment.mid.filter(|mid| *mid != self.mid.to_string()) {
            let sentence = format!("this session carries a=mid:{}, not a=mid:{mid}", self.mid);
            return Err(PatchRefusal::Unprocessable(sentence));
        }
        let Some((ufrag, pwd)) = restart else { return Ok(Patched::Trickled) };
        // RFC 9725 §4.3.3: a restart says `If-Match: *`; without it an old trickle could tear a new session down.
        if *if_match == IfMatch::Absent {
            return Err(PatchRefusal::TagRequired);
        }
        let text = accept_offer(&mut self.rtc, &self.offer.with_credentials(&ufrag, &pwd))
            .map_err(PatchRefusal::Unprocessable)?;
        self.offer.adopt_credentials(&ufrag, &pwd);
        Ok(Patched::Restarted { fragment: sdp::answer_fragment(&text), etag: self.etag() })
    }

    /// Says goodbye: RTCP BYE and DTLS close_notify are the next outputs.
    pub fn close(&mut self) {
        if self.rtc.close().is_err() {
            self.rtc.disconnect();
        }
        self.gone.get_or_insert(Reason::Closed);
        while let Ok(output) = self.rtc.poll_output() {
            match output {
                EngineOutput::Transmit(transmit) => self.farewell.push_back(transmit),
                EngineOutput::Event(_) => {}
                EngineOutput::Timeout(_) => break,
            }
        }
        // The engine takes leave of DTLS first, and then a client listens no more.
        self.farewell.make_contiguous().sort_by_key(|transmit| is_dtls(&transmit.contents));
    }

    /// The next thing to do.
    pub fn poll_output(&mut self, now: Instant) -> Output {
        if let Some(transmit) = self.farewell.pop_front() {
            return Output::Transmit(transmit);
        }
        loop {
            match self.rtc.poll_output() {
                Ok(EngineOutput::Transmit(transmit)) => {
                    if !is_stun(&transmit.contents) {
                        self.route = Some(Route { source: transmit.source, destination: transmit.destination });
                        self.route_in_doubt = false;
                    }
                    return Output::Transmit(transmit);
                }
                Ok(EngineOutput::Event(event)) => {
                    if let Some(output) = self.handle_event(event, now) {
                        return output;
                    }
                }
                Ok(EngineOutput::Timeout(deadline)) => return self.wait_or_gone(deadline),
                // A session that was ended says `Timeout` next time round.
                Err(_) => self.end(Reason::Broken),
            }
        }
    }

    fn handle_event(&mut self, event: Event, now: Instant) -> Option<Output> {
        match event {
            Event::Connected => {
                self.path = Path::Connected;
                Some(Output::Connected)
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) if self.is_connected() => {
                self.path = Path::Missing(now);
                None
            }
            Event::IceConnectionStateChange(state) if state.is_connected() && self.rtc.is_connected() => {
                self.path = Path::Connected;
                None
            }
            Event::Closed => {
                self.gone.get_or_insert(Reason::Closed);
                None
            }
            Event::RawPacket(packet) => match *packet {
                RawPacket::RtcpRx(report) => self.handle_report(&report),
                _ => None,
            },
            _ => None,
        }
    }

    /// What the client says of our stream; the engine has authenticated it.
    fn handle_report(&mut self, report: &Rtcp) -> Option<Output> {
        let ours = self.ssrc()?;
        let receptions = match report {
            Rtcp::ReceiverReport(report) => &report.reports,
            Rtcp::SenderReport(report) => &report.reports,
            Rtcp::Nack(nack) if *nack.ssrc == ours => return Some(Output::Missing(missing(nack))),
            _ => return None,
        };
        receptions.iter().any(|reception| *reception.ssrc == ours).then_some(Output::Acknowledged)
    }

    fn wait_or_gone(&mut self, deadline: Instant) -> Output {
        match self.gone {
            Some(reason) if !self.announced_gone => {
                self.announced_gone = true;
                Output::Gone(reason)
            }
            Some(_) => Output::Wait(deadline),
            None => Output::Wait(self.path.give_up_at().map_or(deadline, |at| at.min(deadline))),
        }
    }

    fn end(&mut self, reason: Reason) {
        self.gone.get_or_insert(reason);
        self.rtc.disconnect();
    }
}

fn new_engine(config: &SessionConfig, now: Instant) -> Rtc {
    let mut engine = Rtc::builder()
        .set_ice_lite(true)
        .set_rtp_mode(true)
        // Only what clients report; what is sealed here the engine does not see.
        .enable_raw_packets(config.seal)
        // Nothing but the mid: all else costs memory and time, and tells us nothing we act upon.
        .clear_extension_map()
        .set_extension(4, Extension::RtpMid)
        .set_crypto_provider(provider::provider())
        .set_dtls_cert(config.certificate.clone())
        .set_send_buffer_audio(SEND_BUFFER_PACKETS)
        // The client sends no media; a receive buffer would only cost memory.
        .set_reordering_size_audio(1)
        .clear_codecs();
    engine.codec_config().add_config(
        Pt::new_with_value(OPUS_PAYLOAD_TYPE),
        None,
        Codec::Opus,
        Frequency::FORTY_EIGHT_KHZ,
        Some(2),
        FormatParams {
            min_p_time: Some(config.min_packet_ms),
            use_inband_fec: Some(config.fec),
            stereo: Some(config.stereo),
            sprop_stereo: Some(config.stereo),
            ..FormatParams::default()
        },
    );
    engine.build(now)
}

fn accept_offer(rtc: &mut Rtc, offer: &str) -> Result<String, String> {
    let offer = SdpOffer::from_sdp_string(offer)
        .map_err(|e| format!("the SDP cannot be read: {}", complaint(&e.to_string())))?;
    let answer = rtc.sdp_api().accept_offer(offer).map_err(|e| format!("the SDP cannot be accepted: {e}"))?;
    Ok(answer.to_sdp_string())
}

/// What the engine's parser says of an offer, on one line and without the place in our memory where it stood.
fn complaint(error: &str) -> String {
    let telling = error.lines().filter(|line| !line.contains("PointerOffset"));
    telling.collect::<Vec<_>>().join("; ").chars().take(200).collect()
}

/// Behind a router that forwards our port, the address the client typed is a mapping of our own (RFC 8445 §5.1.1.1).
fn forwarded_candidate(candidates: &[SocketAddr], reached_at: Option<IpAddr>) -> Option<Candidate> {
    let ip = reached_at?;
    let base = candidates.iter().find(|c| c.is_ipv4() == ip.is_ipv4())?;
    if candidates.iter().any(|c| c.ip() == ip) {
        return None;
    }
    Candidate::server_reflexive(SocketAddr::new(ip, base.port()), *base, Protocol::Udp).ok()
}

/// RFC 4585 §6.2.1: a sequence number, and a bit for each of the sixteen that follow it.
fn missing(nack: &Nack) -> Vec<u16> {
    let each = nack.reports.iter().flat_map(|entry| {
        let following = (0..16).filter(|bit| entry.blp >> bit & 1 == 1).map(|bit| entry.pid.wrapping_add(bit + 1));
        std::iter::once(entry.pid).chain(following)
    });
    each.take(MISSING_PER_REPORT).collect()
}

/// RFC 7983 §7.
fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(0..=3))
}

/// RFC 7983 §7.
fn is_dtls(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(20..=63))
}

fn sdp_value<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(prefix))
}
