//! The server's side of the bodies: sessions with tracks, in virtual time.

use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use roomtone::ids::session::SessionId;
use roomtone::media::track::TrackId;
use roomtone::rtc::ice::candidates;
use roomtone::rtc::ice::credentials::LocalCredentials;
use roomtone::rtc::profile::{OpusTrack, Profile, Role};
use roomtone::rtc::session::Session;
use roomtone::rtc::sessions::{Output, Sessions};
use roomtone::rtc::udp::batch::Batch;
use roomtone::rtc::udp::classify::Datagram;
use roomtone::station::timeline::{self, Capacity, TimelineWriter};
use str0m::Rtc;
use str0m::change::SdpPendingOffer;
use str0m::media::{Direction, MediaKind};
use str0m::net::Protocol;

/// Outputs of the sessions after one change; more would mean that they never stop sending.
const MAX_OUTPUTS: usize = 10_000;

/// The server's address.
pub fn server() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 8088))
}

/// A datagram that arrives at the server.
pub fn datagram_from(source: SocketAddr, bytes: &[u8]) -> Datagram<'_> {
    Datagram { protocol: Protocol::Udp, source, destination: server(), bytes }
}

/// Sessions that may receive so many tracks, numbered from 0, and the tracks' timelines.
pub fn sessions_with_tracks(count: u64, now: Instant) -> (Sessions, Vec<TimelineWriter>) {
    let mut sessions = Sessions::default();
    let writers = (0..count).map(|nth| {
        let capacity = Capacity::new(Duration::ZERO, Duration::from_millis(20), 128_000);
        let (writer, timeline) = timeline::new(capacity, now);
        sessions.add_track(TrackId::new(nth), timeline);
        writer
    });
    let writers = writers.collect();
    (sessions, writers)
}

/// A new session for an offer, and its SDP answer.
///
/// # Errors
/// A sentence that says what is wrong with the offer.
pub fn accept(offer: &str, now: Instant) -> Result<(Session, String), String> {
    let candidates = candidates::lines(&[server()], &[]);
    Session::accept(SessionId::random(0), offer, profile(), LocalCredentials::random(), &candidates, now)
}

/// Takes everything that the sessions want to send, and returns the sessions that have ended. Panics if there is no end.
pub fn drain(sessions: &mut Sessions, now: Instant) -> Vec<SessionId> {
    let mut ended = vec![];
    let mut batch = Batch::default();
    for _ in 0..MAX_OUTPUTS {
        match sessions.poll_output(now, &mut batch) {
            Output::Wait(_) => return ended,
            Output::Gone { session, .. } => ended.push(session),
            _ => {}
        }
    }
    panic!("the sessions never stop sending")
}

/// A client's engine.
pub fn client(now: Instant) -> Rtc {
    Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false).build(now)
}

/// An SDP offer to receive one audio track.
pub fn recvonly_offer(rtc: &mut Rtc) -> (String, SdpPendingOffer) {
    let mut change = rtc.sdp_api();
    change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    let (offer, pending) = change.apply().expect("a change to offer");
    (offer.to_sdp_string(), pending)
}

fn profile() -> &'static Profile {
    static PROFILE: OnceLock<Profile> = OnceLock::new();
    PROFILE.get_or_init(|| {
        let dtls = str0m::crypto::from_feature_flags().dtls_provider;
        let certificate = dtls.generate_certificate().expect("a certificate can be made");
        let role = Role::Listener(OpusTrack { stereo: true, fec: false, min_packet_ms: 10 });
        Profile { certificate, role, seal: true }
    })
}
