//! One WebRTC session: ICE, DTLS, the path to the client, PATCH, close. It knows no audio: what flows over it are streams
//! that SDP has negotiated, and what they carry is decided elsewhere.
//!
//! Pure: it is told what happened and what time it is, and says what to send. After every change, poll
//! [`Session::poll_output`] until it says [`Output::Wait`]; only then make the next change.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpOffer;
use str0m::media::{Mid, Pt};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::rtcp::{Nack, Rtcp};
use str0m::rtp::{Extension, RawPacket, RtpWrite, SeqNo};
use str0m::{Candidate, Event, IceConnectionState, Input, Output as EngineOutput, Rtc};

use crate::ids::session::SessionId;
use crate::media::packet::Packet;
use crate::rtc::profile::Profile;
use crate::rtc::requests::{IfMatch, PatchRefusal, Patched};
use crate::rtc::sdp::{self, AudioOffer, IceFragment};
use crate::rtc::srtp::gcm::Gcm;
use crate::rtc::srtp::provider::SessionKeys;
use crate::rtc::tracks::send::{SendPath, SendTrack, StreamParameters};
use crate::rtc::udp::batch::Route;
use crate::rtc::udp::classify::{Datagram, Kind, kind};

/// A session that lost its path, or gets no further than ICE, is given up after this long: time enough for a phone to
/// change networks and restart ICE.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// A session that has not received a single ICE check is given up after this long. A real client checks at once, and what a
/// flood of offers leaves behind is soon gone.
pub const GIVE_UP_UNCHECKED_AFTER: Duration = Duration::from_secs(10);

/// Missing packets that are read out of one report; older ones would come too late.
const MISSING_PER_REPORT: usize = 64;

/// What a session wants done or known.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Transmit(Transmit),
    /// DTLS is up; its streams may be sent from now on.
    Connected,
    /// The path to the client has changed.
    PathChanged(SendPath),
    /// The client reports that it receives our stream.
    Received,
    /// The client misses packets of our stream with these sequence numbers (RFC 4585 §6.2.1).
    Missing(Vec<u16>),
    /// The session is over and may be dropped.
    Gone(Reason),
    /// Nothing more until then.
    Wait(Instant),
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client closed it, or we did.
    Closed,
    /// No path to the client for [`GIVE_UP_AFTER`], or no check from it for [`GIVE_UP_UNCHECKED_AFTER`].
    NoPath,
    /// The engine refused to go on: a protocol violation.
    Broken,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Closed => "closed",
            Reason::NoPath => "no path to the client",
            Reason::Broken => "protocol violation",
        })
    }
}

/// One WebRTC session.
pub struct Session {
    /// How the outside speaks of it.
    pub id: SessionId,
    engine: Rtc,
    offer: AudioOffer,
    mid: Mid,
    payload_type: Pt,
    keys: Option<Arc<SessionKeys>>,
    seal: bool,
    connectivity: Connectivity,
    /// The route of the latest datagram that the engine sent, checks' answers apart, while nothing suggests another one.
    route: Option<Route>,
    /// The path that was told last.
    told_path: SendPath,
    gone: Option<Reason>,
    is_gone_told: bool,
    /// Datagrams of a closed session that are still to be sent.
    farewell: VecDeque<Transmit>,
}

/// Whether packets can reach the client.
#[derive(Clone, Copy, Debug)]
enum Connectivity {
    Connected,
    /// Since when there is no path.
    Lost(Instant),
    /// Since when a first check is expected.
    Unchecked(Instant),
}

impl Connectivity {
    fn give_up_at(self) -> Option<Instant> {
        match self {
            Connectivity::Connected => None,
            Connectivity::Lost(since) => Some(since + GIVE_UP_AFTER),
            Connectivity::Unchecked(since) => Some(since + GIVE_UP_UNCHECKED_AFTER),
        }
    }
}

impl Session {
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
        profile: &Profile,
        candidates: &[SocketAddr],
        reached_at: Option<IpAddr>,
        now: Instant,
    ) -> Result<(Session, String), String> {
        let offer = AudioOffer::parse(offer)?;
        let (mut engine, keys) = profile.build_engine(now);
        for address in candidates {
            if let Ok(candidate) = Candidate::host(*address, Protocol::Udp) {
                engine.add_local_candidate(candidate);
            }
        }
        if let Some(candidate) = forwarded_candidate(candidates, reached_at) {
            engine.add_local_candidate(candidate);
        }
        let text = accept_offer(&mut engine, offer.text())?;
        let mid = text.lines().find_map(|line| line.strip_prefix("a=mid:"));
        let mid = Mid::from(mid.ok_or("the audio section has no a=mid")?);
        let payload_type = engine
            .media(mid)
            .and_then(|media| media.remote_pts().first().copied())
            .ok_or("the Opus payload type cannot be used")?;
        let answer = offer.answer(&text);
        let session = Session {
            id,
            engine,
            offer,
            mid,
            payload_type,
            keys,
            seal: profile.seal,
            connectivity: Connectivity::Unchecked(now),
            route: None,
            told_path: SendPath::None,
            gone: None,
            is_gone_told: false,
            farewell: VecDeque::new(),
        };
        Ok((session, answer))
    }

    /// Our ICE user fragment: STUN checks name it, and it changes with every ICE restart.
    pub fn ufrag(&mut self) -> String {
        self.engine.direct_api().local_ice_credentials().ufrag
    }

    /// Strong entity tag of the present ICE session, quotes included (RFC 9725 §4.3.1).
    pub fn etag(&mut self) -> String {
        format!("\"{}\"", self.ufrag())
    }

    /// Whether a STUN message really comes from this session's client: its integrity is checked.
    pub fn accepts(&self, datagram: &Datagram<'_>, now: Instant) -> bool {
        receive(datagram, now).is_some_and(|input| self.engine.accepts(&input))
    }

    /// A datagram arrived from an address that a check of this session came from.
    pub fn handle_datagram(&mut self, datagram: &Datagram<'_>, now: Instant) {
        if let Connectivity::Unchecked(since) = self.connectivity {
            self.connectivity = Connectivity::Lost(since);
        }
        // Only a check from elsewhere can make the engine change its route.
        let from = Route { source: datagram.destination, destination: datagram.source };
        if kind(datagram.bytes).is_stun() && self.route != Some(from) {
            self.route = None;
        }
        let Some(input) = receive(datagram, now) else { return };
        // Datagrams that anybody could have sent are dropped without an error, by the engine or by the crypto beneath it.
        if self.engine.handle_input(input).is_err() {
            self.end(Reason::Broken);
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.connectivity.give_up_at().is_some_and(|at| now >= at) {
            self.end(Reason::NoPath);
        } else if self.engine.handle_input(Input::Timeout(now)).is_err() {
            self.end(Reason::Broken);
        }
    }

    /// The stream that a session that has just connected sends; `key` is the session's own. It is sealed beside the engine if
    /// the profile and the negotiated SRTP profile allow it.
    pub fn send_track(&mut self, key: usize) -> SendTrack {
        // RFC 3711 §3.3.1: a start in the lower half keeps both ends' rollover counters together.
        let mut track = SendTrack::new(key, u64::from(self.id.random_bits() & 0x7fff));
        let stream = self.stream_parameters();
        let keys = self.keys.as_ref().filter(|_| self.seal).and_then(|keys| keys.get());
        if let (Some(keys), Some(stream)) = (keys, stream)
            && let Some(gcm) = Gcm::new(&keys.rtp)
        {
            track.seal_with(gcm, keys.rtp_salt, &stream);
        }
        track
    }

    fn stream_parameters(&mut self) -> Option<StreamParameters> {
        let ssrc = self.ssrc()?;
        let extension = self.engine.media(self.mid).and_then(|media| media.remote_extmap().id_of(Extension::RtpMid));
        let mid = extension.map(|id| (id, self.mid.to_string()));
        Some(StreamParameters { ssrc, payload_type: *self.payload_type, mid })
    }

    /// Sends a packet through the engine.
    pub fn write(&mut self, sequence: u64, packet: &Packet, now: Instant) {
        // RTP's 32-bit timestamp is the track's 64-bit time, modulo 2³² (RFC 3550 §5.1).
        let rtp_time = packet.rtp_time_samples as u32;
        let write = RtpWrite::new(self.payload_type, SeqNo::from(sequence), rtp_time, now, packet.payload.clone());
        if let Some(stream) = self.engine.direct_api().stream_tx_by_mid(self.mid, None) {
            stream.write_rtp(write);
        }
    }

    fn ssrc(&mut self) -> Option<u32> {
        self.engine.direct_api().stream_tx_by_mid(self.mid, None).map(|stream| *stream.ssrc())
    }

    /// Adds candidates or restarts ICE.
    ///
    /// # Errors
    /// [`PatchRefusal`]; the session goes on as it was.
    pub fn handle_patch(&mut self, fragment: &str, if_match: &IfMatch) -> Result<Patched, PatchRefusal> {
        let fragment = IceFragment::parse(fragment).map_err(PatchRefusal::BadFragment)?;
        let restart = fragment.credentials.filter(|(ufrag, _)| Some(ufrag.as_str()) != self.offer.ufrag());
        let is_tag_current = match if_match {
            IfMatch::Absent | IfMatch::Any => true,
            IfMatch::Tags(tags) => tags.contains(&self.etag()),
        };
        if !is_tag_current {
            return Err(PatchRefusal::StaleTag);
        }
        if let Some(mid) = fragment.mid.filter(|mid| *mid != self.mid.to_string()) {
            let sentence = format!("this session carries a=mid:{}, not a=mid:{mid}", self.mid);
            return Err(PatchRefusal::Unprocessable(sentence));
        }
        let Some((ufrag, pwd)) = restart else { return Ok(Patched::Trickled) };
        // RFC 9725 §4.3.3: a restart says `If-Match: *`; without it a late trickle request could restart a newer session.
        if *if_match == IfMatch::Absent {
            return Err(PatchRefusal::TagRequired);
        }
        let text = accept_offer(&mut self.engine, &self.offer.with_credentials(&ufrag, &pwd))
            .map_err(PatchRefusal::Unprocessable)?;
        self.offer.adopt_credentials(&ufrag, &pwd);
        Ok(Patched::Restarted { fragment: sdp::answer_fragment(&text), etag: self.etag() })
    }

    /// Closes the session: RTCP BYE and DTLS close_notify are the next outputs.
    pub fn close(&mut self) {
        if self.engine.close().is_err() {
            self.engine.disconnect();
        }
        self.gone.get_or_insert(Reason::Closed);
        while let Ok(output) = self.engine.poll_output() {
            match output {
                EngineOutput::Transmit(transmit) => self.farewell.push_back(transmit),
                EngineOutput::Event(_) => {}
                EngineOutput::Timeout(_) => break,
            }
        }
        // The engine closes DTLS first, and a client does not read RTCP after that.
        self.farewell.make_contiguous().sort_by_key(|transmit| kind(&transmit.contents) == Kind::Dtls);
    }

    /// The next thing to do.
    pub fn poll_output(&mut self, now: Instant) -> Output {
        if let Some(transmit) = self.farewell.pop_front() {
            return Output::Transmit(transmit);
        }
        loop {
            match self.engine.poll_output() {
                Ok(EngineOutput::Transmit(transmit)) => {
                    if !kind(&transmit.contents).is_stun() {
                        self.route = Some(Route { source: transmit.source, destination: transmit.destination });
                    }
                    return Output::Transmit(transmit);
                }
                Ok(EngineOutput::Event(event)) => {
                    if let Some(output) = self.handle_event(event, now) {
                        return output;
                    }
                }
                Ok(EngineOutput::Timeout(deadline)) => return self.path_gone_or_wait(deadline),
                // A session that was ended says `Timeout` next time.
                Err(_) => self.end(Reason::Broken),
            }
        }
    }

    fn handle_event(&mut self, event: Event, now: Instant) -> Option<Output> {
        match event {
            Event::Connected => {
                self.connectivity = Connectivity::Connected;
                Some(Output::Connected)
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) if self.is_connected() => {
                self.connectivity = Connectivity::Lost(now);
                None
            }
            Event::IceConnectionStateChange(state) if state.is_connected() && self.engine.is_connected() => {
                self.connectivity = Connectivity::Connected;
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
        receptions.iter().any(|reception| *reception.ssrc == ours).then_some(Output::Received)
    }

    fn path_gone_or_wait(&mut self, deadline: Instant) -> Output {
        let path = self.path();
        if path != self.told_path {
            self.told_path = path;
            return Output::PathChanged(path);
        }
        match self.gone {
            Some(reason) if !self.is_gone_told => {
                self.is_gone_told = true;
                Output::Gone(reason)
            }
            Some(_) => Output::Wait(deadline),
            None => Output::Wait(self.connectivity.give_up_at().map_or(deadline, |at| at.min(deadline))),
        }
    }

    fn path(&self) -> SendPath {
        match self.route {
            _ if !self.is_connected() => SendPath::None,
            Some(route) => SendPath::Direct(route),
            None => SendPath::Engine,
        }
    }

    /// Whether DTLS is up and a path exists.
    fn is_connected(&self) -> bool {
        matches!(self.connectivity, Connectivity::Connected)
    }

    fn end(&mut self, reason: Reason) {
        self.gone.get_or_insert(reason);
        self.engine.disconnect();
    }
}

/// What the engine is told of a datagram; None if it is of no kind that the engine knows.
fn receive<'a>(datagram: &Datagram<'a>, now: Instant) -> Option<Input<'a>> {
    let contents = datagram.bytes.try_into().ok()?;
    let &Datagram { protocol: proto, source, destination, .. } = datagram;
    Some(Input::Receive(now, Receive { proto, source, destination, contents }))
}

fn accept_offer(engine: &mut Rtc, offer: &str) -> Result<String, String> {
    let offer = SdpOffer::from_sdp_string(offer)
        .map_err(|e| format!("the SDP cannot be read: {}", without_pointers(&e.to_string())))?;
    let answer = engine.sdp_api().accept_offer(offer).map_err(|e| format!("the SDP cannot be accepted: {e}"))?;
    Ok(answer.to_sdp_string())
}

/// The error of the engine's parser on one line, without the address in our memory that it names.
fn without_pointers(error: &str) -> String {
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
