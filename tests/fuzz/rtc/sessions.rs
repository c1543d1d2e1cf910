//! Events of sessions in any order.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use roomtone::ids::session::SessionId;
use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::rtc::ice::credentials::LocalCredentials;
use roomtone::rtc::ice::patch::IcePatch;
use roomtone::rtc::requests::IfMatch;
use roomtone::rtc::sdp::fragment::IceFragment;

use super::setup::{accept, client, datagram_from, drain, recvonly_offer, sessions_with_tracks};

/// Sessions at a time.
const MAX_SESSIONS: usize = 8;

/// Sessions are admitted, closed, patched, sent datagrams and packets, and time passes: each session ends once, and all are
/// counted.
pub fn sessions(bytes: &[u8]) {
    let mut now = Instant::now();
    let (mut sessions, mut writers) = sessions_with_tracks(2, now);
    // Every session that there has been, and those that have not ended.
    let mut ids: Vec<SessionId> = vec![];
    let mut alive: HashSet<SessionId> = HashSet::new();
    let mut rest = bytes;
    while let [event, argument, tail @ ..] = rest {
        rest = tail;
        let nth = usize::from(*argument);
        match event % 7 {
            0 if alive.len() < MAX_SESSIONS => {
                let (session, _) = accept(valid_offer(), now).expect("our own offer is a good one");
                alive.insert(session.id);
                ids.push(session.id);
                sessions.admit(session, TrackId::new(nth as u64 % 2), now);
            }
            1 => {
                if let Some(&id) = ids.get(nth % ids.len().max(1)) {
                    assert_eq!(sessions.close(id, now), alive.contains(&id));
                }
            }
            2 => {
                let fragment = String::from_utf8_lossy(take(&mut rest, nth));
                let if_match = [IfMatch::Absent, IfMatch::Any, IfMatch::Tags(vec!["\"x\"".into()])][nth % 3].clone();
                if let (Some(&id), Ok(fragment)) = (ids.get(nth % ids.len().max(1)), IceFragment::parse(&fragment)) {
                    let restart = fragment.credentials.map(|remote| (LocalCredentials::random(), remote));
                    let _ = sessions.handle_patch(id, IcePatch { mid: fragment.mid, restart, if_match }, now);
                }
            }
            3 => {
                let source = SocketAddr::from(([203, 0, 113, 1], 9));
                sessions.handle_datagram(&datagram_from(source, take(&mut rest, nth)), now);
            }
            4 => {
                let packet = Packet { payload: vec![0xfc; nth].into(), rtp_time_samples: 960, captured: now };
                let index = writers[nth % 2].push(&packet);
                sessions.handle_packet(TrackId::new(nth as u64 % 2), index, packet, now);
            }
            5 => {
                now += Duration::from_millis(nth as u64 * 50);
                sessions.handle_timeout(now);
            }
            _ => {}
        }
        for id in drain(&mut sessions, now) {
            assert!(alive.remove(&id), "a session ended twice");
        }
        assert_eq!(sessions.len(), alive.len());
    }
    sessions.close_all(now);
    drain(&mut sessions, now);
    assert!(sessions.is_empty());
}

/// Takes up to so many bytes from the beginning.
fn take<'a>(bytes: &mut &'a [u8], length: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(bytes.len().min(length));
    *bytes = rest;
    taken
}

/// An SDP offer, made once.
fn valid_offer() -> &'static str {
    static OFFER: OnceLock<String> = OnceLock::new();
    OFFER.get_or_init(|| recvonly_offer(&mut client(Instant::now())).0)
}
