//! Sessions against real str0m clients, over a seeded lossy network, in virtual time.

use std::time::Duration;

use roomtone::rtc::requests::{IfMatch, PatchRefusal, Patched};
use roomtone::rtc::session::{GIVE_UP_AFTER, GIVE_UP_UNCHECKED_AFTER, Reason};
use str0m::change::SdpAnswer;
use str0m::rtp::rtcp::Rtcp;

use crate::harness::virtual_world::World;

#[test]
fn every_packet_arrives_once_in_order_and_on_the_stations_clock() {
    let mut world = World::new(1, 0, 0);
    let a = world.join();
    let b = world.join();
    world.run(Duration::from_secs(10));
    for n in [a, b] {
        let heard = &world.clients[n].heard;
        assert!(heard.len() > 450, "{} packets in 10 s", heard.len());
        assert!(heard.windows(2).all(|w| w[1].0 == w[0].0 + 1 && w[1].1 == w[0].1 + 960));
    }
    let last = |n: usize| world.clients[n].heard.last().unwrap().1;
    assert_eq!(last(a), last(b), "both hear the same moment");
}

#[test]
fn loss_and_jitter_cost_what_was_lost_and_nothing_more() {
    for seed in 1..=5 {
        let mut world = World::new(seed, 5, 30);
        let n = world.join();
        world.run(Duration::from_secs(20));
        let mut heard: Vec<_> = world.clients[n].heard.iter().map(|h| (h.0, h.1)).collect();
        assert!(world.clients[n].connected, "seed {seed}: never connected");
        heard.sort_unstable();
        let before = heard.len();
        heard.dedup();
        assert_eq!(heard.len(), before, "seed {seed}: a packet came twice");
        let expected = (heard.last().unwrap().0 - heard[0].0 + 1) as f64;
        let share = heard.len() as f64 / expected;
        assert!((0.90..=0.99).contains(&share), "seed {seed}: {share} of the packets arrived");
        assert!(heard.windows(2).all(|w| (w[1].1 - w[0].1) as u64 == (w[1].0 - w[0].0) * 960), "seed {seed}");
    }
}

#[test]
fn a_dismissed_listener_is_told_and_forgotten_and_the_other_hears_on() {
    let mut world = World::new(2, 0, 0);
    let a = world.join();
    let b = world.join();
    world.run(Duration::from_secs(2));
    assert!(world.sessions.close(world.clients[a].id, world.now));
    assert!(!world.sessions.close(world.clients[a].id, world.now), "a session ends once");
    world.run(Duration::from_millis(100));
    assert!(world.clients[a].closed, "no goodbye of DTLS arrived");
    let said_bye = world.clients[a].told.iter().any(|(_, packet)| matches!(packet, Rtcp::Goodbye(_)));
    assert!(said_bye, "no goodbye of RTCP arrived");
    let before = world.clients[b].heard.len();
    world.run(Duration::from_secs(2));
    assert!(world.clients[b].heard.len() >= before + 99);
    assert_eq!(world.gone, [(world.clients[a].id, Reason::Closed)]);
    assert_eq!(world.sessions.len(), 1);
}

#[test]
fn a_client_that_says_goodbye_is_gone_at_once() {
    let mut world = World::new(3, 0, 0);
    let n = world.join();
    world.run(Duration::from_secs(2));
    world.clients[n].rtc.close().unwrap();
    world.run(Duration::from_millis(200));
    assert_eq!(world.gone, [(world.clients[n].id, Reason::Closed)]);
}

#[test]
fn a_client_that_never_comes_or_vanishes_is_given_up() {
    let mut world = World::new(4, 0, 0);
    let n = world.join();
    world.run(Duration::from_secs(2));
    world.loss_percent = 100;
    let never = world.join();
    world.run(GIVE_UP_UNCHECKED_AFTER + Duration::from_secs(1));
    assert_eq!(world.gone, [(world.clients[never].id, Reason::NoPath)]);
    world.run(GIVE_UP_AFTER + Duration::from_secs(20));
    assert!(world.gone.contains(&(world.clients[n].id, Reason::NoPath)), "{:?}", world.gone);
    assert!(world.sessions.is_empty());
    assert!(world.now.duration_since(world.start) < Duration::from_secs(70));
}

#[test]
fn ice_restarts_only_with_the_right_tag_and_sound_goes_on() {
    let mut world = World::new(5, 0, 0);
    let n = world.join();
    world.run(Duration::from_secs(2));
    let id = world.clients[n].id;
    let mut change = world.clients[n].rtc.sdp_api();
    let fresh = change.ice_restart(true);
    let (_offer, pending) = change.apply().unwrap();
    let fragment =
        format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n", fresh.ufrag, fresh.pass);
    let mut patch = |if_match: IfMatch| world.sessions.handle_patch(id, &fragment, &if_match, world.now);
    assert_eq!(patch(IfMatch::Absent), Err(PatchRefusal::TagRequired));
    assert_eq!(patch(IfMatch::Tags(vec!["\"other\"".into()])), Err(PatchRefusal::StaleTag));
    let Ok(Patched::Restarted { fragment: answer, etag }) = patch(IfMatch::Any) else { panic!("no restart") };
    assert!(answer.contains("a=candidate:") && answer.contains("a=end-of-candidates"), "{answer}");
    let value = |name: &str| answer.lines().find_map(|l| l.strip_prefix(name)).unwrap().to_owned();
    assert_eq!(etag, format!("\"{}\"", value("a=ice-ufrag:")));
    // The client puts its answer together from the first one and the fragment, as a page does.
    let sdp: String = (world.clients[n].answer.lines())
        .map(|line| match line {
            l if l.starts_with("a=ice-ufrag:") => format!("a=ice-ufrag:{}\r\n", value("a=ice-ufrag:")),
            l if l.starts_with("a=ice-pwd:") => format!("a=ice-pwd:{}\r\n", value("a=ice-pwd:")),
            l => format!("{l}\r\n"),
        })
        .collect();
    world.clients[n].rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&sdp).unwrap()).unwrap();
    let before = world.clients[n].heard.len();
    world.run(Duration::from_secs(40));
    assert!(world.clients[n].heard.len() >= before + 1_990, "{}", world.clients[n].heard.len() - before);
    assert!(world.gone.is_empty());
}
