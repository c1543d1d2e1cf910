//! ICE fragments that `PATCH` a session.

use std::time::Instant;

use roomtone::media::track::TrackId;
use roomtone::rtc::ice::credentials::LocalCredentials;
use roomtone::rtc::ice::patch::{IcePatch, Patched};
use roomtone::rtc::requests::IfMatch;
use roomtone::rtc::sdp::fragment::{self, IceFragment};
use roomtone::rtc::udp::stun_writer::{BINDING_REQUEST, PRIORITY, StunWriter, USERNAME};

use super::setup::{accept, client, datagram_from, drain, recvonly_offer, sessions_with_tracks};

/// Fragments, parted by a zero byte, for one session: each is understood or refused in one sentence, and the session
/// answers checks with the credentials of the latest restart and with no others.
pub fn fragment(bytes: &[u8]) {
    let now = Instant::now();
    let (mut sessions, _writers) = sessions_with_tracks(1, now);
    let mut rtc = client(now);
    let (offer, _) = recvonly_offer(&mut rtc);
    let (session, answer) = accept(&offer, now).expect("our own offer is a good one");
    let value = |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).expect("a line of the answer");
    let (id, mid) = (session.id, value("a=mid:").to_owned());
    let mut ours = (value("a=ice-ufrag:").to_owned(), value("a=ice-pwd:").to_owned());
    let mut theirs = rtc.direct_api().local_ice_credentials().ufrag;
    sessions.admit(session, TrackId::new(0), now);
    for (nth, text) in bytes.split(|byte| *byte == 0).enumerate() {
        let fragment = match IceFragment::parse(&String::from_utf8_lossy(text)) {
            Ok(fragment) => fragment,
            Err(sentence) => {
                assert!(!sentence.is_empty() && sentence.chars().count() <= 200, "{sentence}");
                assert!(!sentence.contains(char::is_control), "{sentence}");
                continue;
            }
        };
        let remote = fragment.credentials.clone();
        let local = LocalCredentials::random();
        let restart = remote.clone().map(|remote| (local.clone(), remote));
        let patch = IcePatch { mid: fragment.mid, restart, if_match: IfMatch::Any };
        match sessions.handle_patch(id, patch, now) {
            Ok(Patched::Restarted { mid: told }) => {
                assert_eq!(told.as_deref(), Some(mid.as_str()));
                let answer = fragment::answer_fragment(told.as_deref(), &local, &[]);
                assert_eq!(answer.lines().count(), 6, "{answer}");
                theirs = remote.expect("no restart without credentials").ufrag;
                ours = (local.ufrag, local.password);
            }
            Ok(Patched::Trickled) => assert!(remote.is_none_or(|remote| remote.ufrag == theirs)),
            Err(_) => {}
        }
        drain(&mut sessions, now);
        let check = StunWriter::new(BINDING_REQUEST, &[nth as u8; 12])
            .attribute(USERNAME, format!("{}:{theirs}", ours.0).as_bytes())
            .attribute(PRIORITY, &[0, 0, 0, 1])
            .finish_with_integrity(&ours.1);
        // Some of them come too fast; then the session is not disturbed either.
        let is_answered = sessions.handle_datagram(&datagram_from(([198, 51, 100, 1], 5000).into(), &check), now);
        assert!(is_answered || nth > 100, "the session does not answer its client");
        drain(&mut sessions, now);
    }
    assert_eq!(sessions.len(), 1);
}
