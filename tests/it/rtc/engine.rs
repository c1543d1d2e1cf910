//! The engine with real rtc threads on loopback: which thread a session is on, and when an offer is refused.

use roomtone::ids::session::SessionId;
use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::observe::service::Running;
use roomtone::rtc::engine::handle::Handle;
use roomtone::rtc::metrics::RtcMetrics;
use roomtone::rtc::requests::{Offer, Patch, PatchRefusal, Patched, Refusal};

use crate::harness::rtc_engine;

const TRACK: TrackId = TrackId::new(0);

/// An engine with a track that has sent a packet, so that sessions can receive it.
fn engine_on_air(threads: usize, max_sessions: usize, metrics: RtcMetrics) -> Running<Handle> {
    let engine = rtc_engine::start(threads, max_sessions, metrics);
    put_on_air(&engine.handle);
    engine
}

fn put_on_air(engine: &Handle) {
    let (mut timeline, sender) = rtc_engine::add_track(engine, TRACK);
    let packet = Packet { payload: vec![0xfc; 20].into(), rtp_time_samples: 960, captured: std::time::Instant::now() };
    sender.send(timeline.push(&packet), &packet);
}

#[test]
fn a_sessions_id_carries_its_thread_and_sessions_are_spread_evenly() {
    const THREADS: u8 = 3;
    let engine = engine_on_air(THREADS.into(), 100, RtcMetrics::default());
    let handle = &engine.handle;
    let sessions: Vec<SessionId> =
        (0..2 * THREADS).map(|_| handle.admit(rtc_engine::offer(TRACK)).unwrap().session).collect();
    for thread in 0..THREADS {
        assert_eq!(sessions.iter().filter(|id| id.thread() == thread).count(), 2, "sessions of thread {thread}");
    }
    // Each id finds its session.
    for id in &sessions {
        let patched = handle.patch(*id, rtc_engine::end_of_candidates());
        assert_eq!(patched, Ok(Patched::Trickled));
        assert!(handle.close(*id));
        assert!(!handle.close(*id), "a session is closed once");
    }
    engine.stop().unwrap();
}

#[test]
fn an_id_of_no_session_or_of_no_thread_is_unknown() {
    let engine = engine_on_air(2, 100, RtcMetrics::default());
    let handle = &engine.handle;
    let admitted = handle.admit(rtc_engine::offer(TRACK)).unwrap().session;
    // Threads 0 and 1 exist; 2 is the first that does not, and 255 the last that an id can name.
    for thread in [0, 1, 2, 255] {
        let id = SessionId::random(thread);
        assert_eq!(handle.patch(id, rtc_engine::end_of_candidates()), Err(PatchRefusal::Unknown), "thread {thread}");
        assert!(!handle.close(id), "thread {thread}");
    }
    // The admitted session's id with the number of another thread (bits 64 to 71) is the id of no session.
    for thread in [1, 2, 255] {
        let digits = admitted.to_string();
        let id = SessionId::parse(&format!("{}{thread:02x}{}", &digits[..14], &digits[16..])).unwrap();
        assert_eq!(id.thread(), thread);
        assert_eq!(handle.patch(id, rtc_engine::end_of_candidates()), Err(PatchRefusal::Unknown), "thread {thread}");
        assert!(!handle.close(id), "thread {thread}");
    }
    assert!(handle.close(admitted), "the admitted session is still there");
    engine.stop().unwrap();
}

#[test]
fn the_limit_of_sessions_is_the_engines_own_count_and_not_the_metric() {
    let metrics = RtcMetrics::default();
    let engine = engine_on_air(2, 3, metrics.clone());
    let admit = || engine.handle.admit(rtc_engine::offer(TRACK));
    // Sessions are admitted though the metric is far above the limit.
    metrics.sessions.set(1_000_000);
    let first = admit().unwrap().session;
    metrics.sessions.set(1_000_000);
    admit().unwrap();
    admit().unwrap();
    // An offer beyond the limit is refused though the metric says zero.
    metrics.sessions.set(0);
    assert_eq!(admit().unwrap_err(), Refusal::Full);
    assert!(engine.handle.close(first));
    admit().unwrap();
    assert_eq!(metrics.sessions.read(), 3, "the metric is a copy of the count");
    engine.stop().unwrap();
}

#[test]
fn offers_and_patches_have_a_budget_for_each_address() {
    let engine = rtc_engine::start_with(1, 100, 2, RtcMetrics::default());
    put_on_air(&engine.handle);
    let admit = |client: [u8; 4]| engine.handle.admit(Offer { client: client.into(), ..rtc_engine::offer(TRACK) });
    let admitted: Vec<_> = (0..20).map_while(|_| admit([192, 0, 2, 1]).ok()).collect();
    assert!((10..20).contains(&admitted.len()), "{} offers at once", admitted.len());
    assert!(matches!(admit([192, 0, 2, 1]), Err(Refusal::TooFast(wait)) if wait.as_secs() < 2));
    assert!(admit([192, 0, 2, 2]).is_ok(), "another address has a budget of its own");
    let patch = |client: [u8; 4]| {
        let patch = Patch { client: client.into(), ..rtc_engine::end_of_candidates() };
        engine.handle.patch(admitted[0].session, patch)
    };
    let patched = (0..1_000).take_while(|_| patch([192, 0, 2, 1]).is_ok()).count();
    assert!((100..300).contains(&patched), "{patched} at once");
    assert!(matches!(patch([192, 0, 2, 1]), Err(PatchRefusal::TooFast(_))));
    assert!(patch([192, 0, 2, 2]).is_ok());
    engine.stop().unwrap();
}
