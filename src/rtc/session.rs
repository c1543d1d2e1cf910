//! One WebRTC session: ICE, DTLS, the path to the client, PATCH, close. It knows no audio: what flows over it are streams
//! that SDP has negotiated, and what they carry is decided elsewhere.
//!
//! Pure: it is told what happened and what time it is, and says what to send. After every change, poll
//! [`Session::poll_output`] until it says [`Output::Wait`]; only then make the next change.
//!
//! ICE is [`Agent`]'s. The engine (str0m) does DTLS, SRTP and RTCP, and sees one path that never changes, between two
//! addresses that no datagram ever has. So nothing in it grows with what a client sends, and nothing that it sends leaves
//! for an address before the agent permits it.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::ice::{IceCreds, StunMessage};
use str0m::media::{Direction, Media, MediaKind, Mid, Pt};
use str0m::net::{Protocol, Receive, Transmit};
use str0m::rtp::rtcp::{Nack, Rtcp};
use str0m::rtp::{RawPacket, RtpWrite, SeqNo};
use str0m::{Candidate, Event, Input, Output as EngineOutput, Rtc, RtcError};

use crate::ids::session::SessionId;
use crate::media::packet::Packet;
use crate::net::token_bucket::{Rate, TokenBucket};
use crate::rtc::ice::agent::{self, Agent};
use crate::rtc::ice::credentials::{LocalCredentials, RemoteCredentials};
use crate::rtc::ice::patch::{IcePatch, Patched};
use crate::rtc::profile::{Profile, Role};
use crate::rtc::requests::{IfMatch, PatchRefusal};
use crate::rtc::sdp::answer::Local;
use crate::rtc::sdp::fragment;
use crate::rtc::sdp::offer::Offer;
use crate::rtc::srtp::gcm::Gcm;
use crate::rtc::srtp::provider::SessionKeys;
use crate::rtc::tracks::send::{SendTrack, StreamParameters};
use crate::rtc::udp::batch::Route;
use crate::rtc::udp::classify::{Datagram, Kind, kind};
use crate::rtc::udp::stun_writer::{BINDING_REQUEST, ICE_CONTROLLING, PRIORITY, StunWriter, USE_CANDIDATE, USERNAME};

/// A session that lost its path, or gets no further than ICE, is given up after this long: time enough for a phone to
/// change networks and restart ICE.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(30);

/// A session that has not received a single ICE check is given up after this long. A real client checks at once, and what a
/// flood of offers leaves behind is soon gone.
pub const GIVE_UP_UNCHECKED_AFTER: Duration = Duration::from_secs(10);

/// Missing packets that are read out of one report; older ones would come too late.
const MISSING_PER_REPORT: usize = 64;

/// ICE restarts of one session. A phone that changes networks needs one, and a page that gets no answer tries again.
const RESTARTS: Rate = Rate { per_s: 0.5, burst: 5.0 };

/// The two ends of the path that the engine sees (addresses for documentation, RFC 5737).
const ENGINE_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
const CLIENT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 9);

/// What a session wants done or known.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Transmit(Transmit),
    /// DTLS is up; its streams may be sent from now on.
    Connected,
    /// The path to the client has changed; None if there is none.
    PathChanged(Option<Route>),
    /// What the ICE agent has learned of the client's addresses, or wants sent.
    Ice(agent::Output),
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
    agent: Agent,
    /// The check by which the engine takes its path for good, until it has seen it.
    nomination: Option<Vec<u8>>,
    /// Over which path the latest datagram came that was not STUN.
    latest_path: Option<(Protocol, Route)>,
    restarts: TokenBucket,
    /// The sections that its transport carries; the first one names it in SDP fragments.
    mids: Box<[Box<str>]>,
    /// What the engine calls the track's section.
    mid: Mid,
    stream: StreamParameters,
    keys: Arc<SessionKeys>,
    seal: bool,
    is_dtls_up: bool,
    connectivity: Connectivity,
    /// The path that was told last.
    told_path: Option<Route>,
    gone: Option<Reason>,
    is_gone_told: bool,
    /// What a closed session still has to send.
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
    /// Takes an offer: the session of that id, and the answer. The session has these credentials, and the answer these
    /// lines of candidates.
    ///
    /// # Errors
    /// A sentence for the client, naming what is wrong with the offer.
    pub fn accept(
        id: SessionId,
        offer: &str,
        profile: &Profile,
        local: LocalCredentials,
        candidates: &[String],
        now: Instant,
    ) -> Result<(Session, String), String> {
        let offer = Offer::read(offer)?;
        let (mut engine, keys) =
            profile.build_engine(offer.payload_type(), offer.mid_extension().map(|(id, _)| id), now);
        // Without it nobody would check the client's certificate.
        let keys = keys.ok_or("the crypto library made no DTLS endpoint")?;
        keys.expect_certificate(offer.fingerprint().clone());
        let mid = engine_mid(offer.mid_extension().map_or("", |(_, mid)| mid));
        let ssrc = set_up(&mut engine, mid, &offer).map_err(|error| format!("no session can be made: {error}"))?;
        let Role::Listener(track) = profile.role;
        let answer = offer.answer(&Local {
            credentials: &local,
            candidates,
            fingerprint: &engine.direct_api().local_dtls_fingerprint().to_string(),
            parameters: &track.parameters(),
            ssrc,
            cname: engine.media(mid).map_or("", Media::cname),
        });
        let nomination = nomination(&mut engine, offer.credentials());
        let extension = offer.mid_extension().map(|(id, mid)| (id, mid.to_owned()));
        let stream = StreamParameters { ssrc, payload_type: offer.payload_type(), mid: extension };
        let session = Session {
            id,
            engine,
            agent: Agent::new(local, offer.credentials().clone(), now),
            nomination: Some(nomination),
            latest_path: None,
            restarts: TokenBucket::full(RESTARTS, now),
            mids: offer.mids().into_iter().map(Box::from).collect(),
            mid,
            stream,
            keys,
            seal: profile.seal,
            is_dtls_up: false,
            connectivity: Connectivity::Unchecked(now),
            told_path: None,
            gone: None,
            is_gone_told: false,
            farewell: VecDeque::new(),
        };
        Ok((session, answer))
    }

    /// Our ICE user fragment: STUN checks name it, and it changes with every ICE restart.
    pub fn ufrag(&self) -> &str {
        &self.agent.local().ufrag
    }

    /// All addresses of the client that are remembered.
    pub fn addresses(&self) -> impl Iterator<Item = (Protocol, SocketAddr)> {
        self.agent.addresses()
    }

    /// A check of ICE arrived that names this session. False if it is not the client's, or comes too fast. `key` as in
    /// [`Agent::handle_check`].
    pub fn handle_check(&mut self, datagram: &Datagram<'_>, message: &StunMessage<'_>, key: u32, now: Instant) -> bool {
        let is_genuine = self.agent.handle_check(datagram, message, key, now);
        if let Connectivity::Unchecked(since) = self.connectivity
            && is_genuine
        {
            self.connectivity = Connectivity::Lost(since);
        }
        self.nominate(now);
        is_genuine
    }

    /// What may be the response to a check of this session's agent. False if it is not.
    pub fn handle_response(&mut self, datagram: &Datagram<'_>, key: u32, now: Instant) -> bool {
        let is_genuine = self.agent.handle_response(datagram, key, now);
        self.nominate(now);
        is_genuine
    }

    /// A DTLS record or an RTP or RTCP packet arrived from an address that a check of this session came from.
    pub fn handle_datagram(&mut self, datagram: &Datagram<'_>, now: Instant) {
        let route = Route { source: datagram.destination, destination: datagram.source };
        self.latest_path = Some((datagram.protocol, route));
        // Datagrams that anybody could have sent are dropped without an error, by the engine or by the crypto beneath it.
        if !self.tell_engine(datagram.bytes, now) {
            self.end(Reason::Broken);
        }
    }

    /// Lets the engine take its path once there is one in truth: from then on it sends what it has to send.
    fn nominate(&mut self, now: Instant) {
        if self.agent.selected(now).is_some()
            && let Some(check) = self.nomination.take()
            && !self.tell_engine(&check, now)
        {
            self.end(Reason::Broken);
        }
    }

    /// False if the engine refuses to go on. A datagram of no kind that the engine knows is dropped.
    fn tell_engine(&mut self, bytes: &[u8], now: Instant) -> bool {
        let Ok(contents) = bytes.try_into() else { return true };
        let (proto, source, destination) = (Protocol::Udp, CLIENT_ADDRESS, ENGINE_ADDRESS);
        self.engine.handle_input(Input::Receive(now, Receive { proto, source, destination, contents })).is_ok()
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
        if let Some(keys) = self.keys.get().filter(|_| self.seal)
            && let Some(gcm) = Gcm::new(&keys.rtp)
        {
            track.seal_with(gcm, keys.rtp_salt, &self.stream);
        }
        track
    }

    /// Sends a packet through the engine.
    pub fn write(&mut self, sequence: u64, packet: &Packet, now: Instant) {
        // RTP's 32-bit timestamp is the track's 64-bit time, modulo 2³² (RFC 3550 §5.1).
        let rtp_time = packet.rtp_time_samples as u32;
        let payload_type = Pt::new_with_value(self.stream.payload_type);
        let write = RtpWrite::new(payload_type, SeqNo::from(sequence), rtp_time, now, packet.payload.clone());
        if let Some(stream) = self.engine.direct_api().stream_tx_by_mid(self.mid, None) {
            stream.write_rtp(write);
        }
    }

    /// Adds candidates, which are not used, or restarts ICE with these credentials if the client has new ones.
    ///
    /// # Errors
    /// [`PatchRefusal`]; the session goes on as it was.
    pub fn handle_patch(&mut self, patch: IcePatch, now: Instant) -> Result<Patched, PatchRefusal> {
        let is_tag_current = match &patch.if_match {
            IfMatch::Absent | IfMatch::Any => true,
            IfMatch::Tags(tags) => tags.contains(&self.agent.local().etag()),
        };
        if !is_tag_current {
            return Err(PatchRefusal::StaleTag);
        }
        // Every section of a BUNDLE group names the one transport (RFC 9725 §4.3.2).
        if let Some(mid) = patch.mid.as_deref().filter(|mid| !self.mids.iter().any(|ours| **ours == **mid)) {
            return Err(PatchRefusal::Unprocessable(fragment::refuse_mid(mid)));
        }
        let restart = patch.restart.filter(|(_, remote)| remote.ufrag != self.agent.remote().ufrag);
        let Some((local, remote)) = restart else { return Ok(Patched::Trickled) };
        // RFC 9725 §4.3.3: a restart says `If-Match: *`; without it a late trickle request could restart a newer session.
        if patch.if_match == IfMatch::Absent {
            return Err(PatchRefusal::TagRequired);
        }
        self.restarts.take(RESTARTS, now).map_err(PatchRefusal::TooFast)?;
        self.agent.restart(local, remote);
        Ok(Patched::Restarted { mid: patch.mid.or_else(|| self.mids.first().map(|mid| mid.to_string())) })
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
        if let Some(output) = self.agent.poll_output() {
            return Output::Ice(output);
        }
        while let Some(transmit) = self.farewell.pop_front() {
            if let Some(transmit) = self.addressed(transmit, now) {
                return Output::Transmit(transmit);
            }
        }
        loop {
            match self.engine.poll_output() {
                Ok(EngineOutput::Transmit(transmit)) => {
                    if let Some(transmit) = self.addressed(transmit, now) {
                        return Output::Transmit(transmit);
                    }
                }
                Ok(EngineOutput::Event(event)) => {
                    if let Some(output) = self.handle_event(event, now) {
                        return output;
                    }
                }
                Ok(EngineOutput::Timeout(deadline)) => return self.path_gone_or_wait(deadline, now),
                // A session that was ended says `Timeout` next time.
                Err(_) => self.end(Reason::Broken),
            }
        }
    }

    /// What the engine wants sent, with the addresses of the present path; None if there is none, and for what the engine
    /// answers to its own check.
    fn addressed(&self, mut transmit: Transmit, now: Instant) -> Option<Transmit> {
        let route = self.agent.selected(now).filter(|_| !kind(&transmit.contents).is_stun())?;
        (transmit.source, transmit.destination) = (route.source, route.destination);
        Some(transmit)
    }

    fn handle_event(&mut self, event: Event, now: Instant) -> Option<Output> {
        match event {
            Event::Connected => {
                self.is_dtls_up = true;
                self.connectivity = Connectivity::Connected;
                Some(Output::Connected)
            }
            Event::Closed => {
                self.gone.get_or_insert(Reason::Closed);
                None
            }
            Event::RawPacket(packet) => match *packet {
                RawPacket::RtcpRx(report) => {
                    // The client is there, even if it makes no checks.
                    if let Some(path) = self.latest_path {
                        self.agent.handle_report(path, now);
                    }
                    self.handle_report(&report)
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// What the client says of our stream; the engine has authenticated it.
    fn handle_report(&mut self, report: &Rtcp) -> Option<Output> {
        let ours = self.stream.ssrc;
        let receptions = match report {
            Rtcp::ReceiverReport(report) => &report.reports,
            Rtcp::SenderReport(report) => &report.reports,
            Rtcp::Nack(nack) if *nack.ssrc == ours => return Some(Output::Missing(missing(nack))),
            _ => return None,
        };
        receptions.iter().any(|reception| *reception.ssrc == ours).then_some(Output::Received)
    }

    fn path_gone_or_wait(&mut self, deadline: Instant, now: Instant) -> Output {
        let selected = self.agent.selected(now);
        match (self.connectivity, selected) {
            (Connectivity::Connected, None) => self.connectivity = Connectivity::Lost(now),
            (Connectivity::Lost(_), Some(_)) if self.is_dtls_up => self.connectivity = Connectivity::Connected,
            _ => {}
        }
        let path = selected.filter(|_| self.is_connected());
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
            None => {
                let expires = self.agent.expires().filter(|_| self.is_connected());
                let ours = [self.connectivity.give_up_at(), expires].into_iter().flatten().min();
                Output::Wait(ours.map_or(deadline, |at| at.min(deadline)))
            }
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

/// The check that nominates the path that the engine sees.
fn nomination(engine: &mut Rtc, remote: &RemoteCredentials) -> Vec<u8> {
    let mut api = engine.direct_api();
    let local = api.local_ice_credentials();
    // The engine may have read other ones, of those that an offer can have.
    api.set_remote_ice_credentials(IceCreds { ufrag: remote.ufrag.clone(), pass: remote.password.clone() });
    StunWriter::new(BINDING_REQUEST, &[0; 12])
        .attribute(USERNAME, format!("{}:{}", local.ufrag, remote.ufrag).as_bytes())
        .attribute(PRIORITY, &1u32.to_be_bytes())
        .attribute(USE_CANDIDATE, &[])
        .attribute(ICE_CONTROLLING, &[0; 8])
        .finish_with_integrity(&local.pass)
}

/// Has the engine do what was understood of the offer; it sees no SDP.
///
/// Returns the synchronization source of the track.
fn set_up(engine: &mut Rtc, mid: Mid, offer: &Offer<'_>) -> Result<u32, RtcError> {
    if let Ok(candidate) = Candidate::host(ENGINE_ADDRESS, Protocol::Udp) {
        engine.add_local_candidate(candidate);
    }
    let mut api = engine.direct_api();
    api.set_ice_controlling(false);
    // It does not compare this one, see `Profile::build_engine`, but asks for one.
    let unchecked = api.local_dtls_fingerprint().clone();
    api.set_remote_fingerprint(unchecked);
    api.declare_media(mid, MediaKind::Audio);
    let ssrc = api.new_ssrc();
    api.declare_stream_tx(ssrc, None, mid, None);
    api.start_dtls(offer.is_dtls_client())?;
    engine.sdp_api().set_direction(mid, Direction::SendOnly);
    Ok(*ssrc)
}

/// A mid as the engine has it: sixteen bytes, the last ones blank.
fn engine_mid(mid: &str) -> Mid {
    let mut bytes = [b' '; 16];
    bytes.iter_mut().zip(mid.bytes()).for_each(|(to, from)| *to = from);
    Mid::from_array(bytes)
}

/// RFC 4585 §6.2.1: a sequence number, and a bit for each of the sixteen that follow it.
fn missing(nack: &Nack) -> Vec<u16> {
    let each = nack.reports.iter().flat_map(|entry| {
        let following = (0..16).filter(|bit| entry.blp >> bit & 1 == 1).map(|bit| entry.pid.wrapping_add(bit + 1));
        std::iter::once(entry.pid).chain(following)
    });
    each.take(MISSING_PER_REPORT).collect()
}
