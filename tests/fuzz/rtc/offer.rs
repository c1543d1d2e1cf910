//! An SDP offer from a client.

use std::time::{Duration, Instant};

use roomtone::media::track::TrackId;
use roomtone::web::handlers::whep;

use super::setup::{accept, drain, sessions_with_tracks};

/// The body of `POST /offer`: it is answered, or refused in one sentence. A session whose client sends nothing ends.
pub fn offer(bytes: &[u8]) {
    let Ok(sdp) = whep::offer_in_json(bytes) else { return };
    let now = Instant::now();
    match accept(&sdp, now) {
        Err(sentence) => assert!(!sentence.is_empty() && !sentence.contains('\n'), "{sentence}"),
        Ok((session, answer)) => {
            assert!(answer.starts_with("v=0\r\n") && answer.contains("a=sendonly\r\n"), "{answer}");
            let (mut sessions, _writers) = sessions_with_tracks(1, now);
            sessions.admit(session, TrackId::new(0), now);
            drain(&mut sessions, now);
            sessions.handle_timeout(now + Duration::from_secs(60));
            drain(&mut sessions, now + Duration::from_secs(60));
            assert!(sessions.is_empty(), "the session of a client that never connects did not end");
        }
    }
}
