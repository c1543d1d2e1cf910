//! An SDP offer from a client.

use std::time::{Duration, Instant};

use roomtone::media::track::TrackId;
use roomtone::web::handlers::whep;

use super::answer_rules;
use super::setup::{accept, drain, sessions_with_tracks};

/// SDP, or the body of `POST /offer`: it is answered by the rules, or refused in one sentence. A session whose client sends
/// nothing ends.
pub fn offer(bytes: &[u8]) {
    let sdp = match bytes.first() {
        Some(b'{') => whep::offer_in_json(bytes).ok(),
        _ => str::from_utf8(bytes).ok().map(str::to_owned),
    };
    let Some(sdp) = sdp else { return };
    let now = Instant::now();
    match accept(&sdp, now) {
        Err(sentence) => {
            assert!(!sentence.is_empty() && sentence.chars().count() < 200, "{sentence}");
            assert!(!sentence.contains(char::is_control), "{sentence}");
        }
        Ok((session, answer)) => {
            answer_rules::check(&sdp, &answer);
            let (mut sessions, _writers) = sessions_with_tracks(1, now);
            sessions.admit(session, TrackId::new(0), now);
            drain(&mut sessions, now);
            sessions.handle_timeout(now + Duration::from_secs(60));
            drain(&mut sessions, now + Duration::from_secs(60));
            assert!(sessions.is_empty(), "the session of a client that never connects did not end");
        }
    }
}
