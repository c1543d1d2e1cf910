//! The life of sessions with real str0m clients on a virtual network, in virtual time.

use std::time::Duration;

use roomtone::rtc::ice::credentials::{LocalCredentials, RemoteCredentials};
use roomtone::rtc::ice::patch::{IcePatch, Patched};
use roomtone::rtc::requests::{IfMatch, PatchRefusal};
use roomtone::rtc::session::{GIVE_UP_AFTER, GIVE_UP_UNCHECKED_AFTER, Reason};
use str0m::change::SdpAnswer;
use str0m::rtp::rtcp::Rtcp;

use crate::harness::virtual_network::{ReceivedPacket, VirtualNetwork};

#[test]
fn packets_arrive_once_in_order_with_the_stations_rtp_time() {
    let mut network = VirtualNetwork::new(1, 0, 0);
    let a = network.add_client();
    let b = network.add_client();
    network.run(Duration::from_secs(10));
    for n in [a, b] {
        let packets = &network.clients[n].packets;
        assert!(packets.len() > 450, "{} packets in 10 s", packets.len());
        let follows = |w: &[ReceivedPacket]| {
            w[1].sequence == w[0].sequence + 1 && w[1].rtp_time == w[0].rtp_time + 960 //
        };
        assert!(packets.windows(2).all(follows));
    }
    let last = |n: usize| network.clients[n].packets.last().unwrap().rtp_time;
    assert_eq!(last(a), last(b), "both receive the same packet last");
}

#[test]
fn loss_and_jitter_cost_only_the_lost_packets() {
    for seed in 1..=5 {
        let mut network = VirtualNetwork::new(seed, 5, 30);
        let n = network.add_client();
        network.run(Duration::from_secs(20));
        let mut received: Vec<_> = network.clients[n].packets.iter().map(|p| (p.sequence, p.rtp_time)).collect();
        assert!(network.clients[n].is_connected, "seed {seed}: never connected");
        received.sort_unstable();
        let before = received.len();
        received.dedup();
        assert_eq!(received.len(), before, "seed {seed}: a packet came twice");
        let expected = (received.last().unwrap().0 - received[0].0 + 1) as f64;
        let share = received.len() as f64 / expected;
        assert!((0.90..=0.99).contains(&share), "seed {seed}: {share} of the packets arrived");
        let is_in_step = |w: &[(u64, u32)]| u64::from(w[1].1 - w[0].1) == (w[1].0 - w[0].0) * 960;
        assert!(received.windows(2).all(is_in_step), "seed {seed}: RTP time does not follow the sequence number");
    }
}

#[test]
fn a_closed_session_says_goodbye_and_others_go_on() {
    let mut network = VirtualNetwork::new(2, 0, 0);
    let a = network.add_client();
    let b = network.add_client();
    network.run(Duration::from_secs(2));
    assert!(network.sessions.close(network.clients[a].id, network.now));
    assert!(!network.sessions.close(network.clients[a].id, network.now), "a session ends once");
    network.run(Duration::from_millis(100));
    assert!(network.clients[a].is_closed, "no DTLS close_notify arrived");
    let has_bye = network.clients[a].rtcp.iter().any(|(_, packet)| matches!(packet, Rtcp::Goodbye(_)));
    assert!(has_bye, "no RTCP BYE arrived");
    let before = network.clients[b].packets.len();
    network.run(Duration::from_secs(2));
    assert!(network.clients[b].packets.len() >= before + 99);
    assert_eq!(network.ended, [(network.clients[a].id, Reason::Closed)]);
    assert_eq!(network.sessions.len(), 1);
}

#[test]
fn a_session_that_its_client_closes_ends_at_once() {
    let mut network = VirtualNetwork::new(3, 0, 0);
    let n = network.add_client();
    network.run(Duration::from_secs(2));
    network.clients[n].rtc.close().unwrap();
    network.run(Duration::from_millis(200));
    assert_eq!(network.ended, [(network.clients[n].id, Reason::Closed)]);
}

#[test]
fn sessions_of_clients_that_never_connect_or_vanish_end_after_a_time_out() {
    let mut network = VirtualNetwork::new(4, 0, 0);
    let n = network.add_client();
    network.run(Duration::from_secs(2));
    network.loss_percent = 100;
    let unconnected = network.add_client();
    network.run(GIVE_UP_UNCHECKED_AFTER + Duration::from_secs(1));
    assert_eq!(network.ended, [(network.clients[unconnected].id, Reason::NoPath)]);
    network.run(GIVE_UP_AFTER + Duration::from_secs(20));
    assert!(network.ended.contains(&(network.clients[n].id, Reason::NoPath)), "{:?}", network.ended);
    assert!(network.sessions.is_empty());
    assert!(network.now.duration_since(network.start) < Duration::from_secs(70));
}

#[test]
fn a_client_that_reports_but_makes_no_checks_stays_connected() {
    let mut network = VirtualNetwork::new(7, 0, 0);
    let n = network.add_client();
    network.run(Duration::from_secs(3));
    network.loses_stun = true;
    let before = network.clients[n].packets.len();
    network.run(Duration::from_secs(60));
    assert!(network.clients[n].packets.len() >= before + 2_990, "{}", network.clients[n].packets.len() - before);
    assert!(network.ended.is_empty());
}

#[test]
fn ice_restarts_only_with_the_right_entity_tag_and_packets_go_on() {
    let mut network = VirtualNetwork::new(5, 0, 0);
    let n = network.add_client();
    network.run(Duration::from_secs(2));
    let id = network.clients[n].id;
    let mut change = network.clients[n].rtc.sdp_api();
    let fresh = change.ice_restart(true);
    let (_offer, pending) = change.apply().unwrap();
    let local = LocalCredentials::random();
    let mut patch = |if_match: IfMatch| {
        let remote = RemoteCredentials { ufrag: fresh.ufrag.clone(), password: fresh.pass.clone() };
        let patch = IcePatch { mid: None, restart: Some((local.clone(), remote)), if_match };
        network.sessions.handle_patch(id, patch, network.now)
    };
    assert_eq!(patch(IfMatch::Absent), Err(PatchRefusal::TagRequired));
    assert_eq!(patch(IfMatch::Tags(vec!["\"other\"".into()])), Err(PatchRefusal::StaleTag));
    let Ok(Patched::Restarted { mid }) = patch(IfMatch::Any) else { panic!("no restart") };
    assert!(network.clients[n].answer.contains(&format!("a=mid:{}\r\n", mid.unwrap())));
    assert_eq!(patch(IfMatch::Any), Ok(Patched::Trickled), "the same credentials are no restart");
    assert_eq!(patch(IfMatch::Tags(vec![local.etag()])), Ok(Patched::Trickled), "the new tag is the present one");
    // The client makes its new answer from the first one and the fragment, as a page does.
    let sdp: String = (network.clients[n].answer.lines())
        .map(|line| match line {
            l if l.starts_with("a=ice-ufrag:") => format!("a=ice-ufrag:{}\r\n", local.ufrag),
            l if l.starts_with("a=ice-pwd:") => format!("a=ice-pwd:{}\r\n", local.password),
            l => format!("{l}\r\n"),
        })
        .collect();
    network.clients[n].rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&sdp).unwrap()).unwrap();
    let before = network.clients[n].packets.len();
    network.run(Duration::from_secs(40));
    assert!(network.clients[n].packets.len() >= before + 1_990, "{}", network.clients[n].packets.len() - before);
    assert!(network.ended.is_empty());
}

#[test]
fn ice_restarts_have_a_budget_for_each_session() {
    let mut network = VirtualNetwork::new(6, 0, 0);
    let (n, other) = (network.add_client(), network.add_client());
    network.run(Duration::from_secs(2));
    let restart = |network: &mut VirtualNetwork, n: usize, nth: u32| {
        let remote = RemoteCredentials { ufrag: format!("ufrag{nth}"), password: "0123456789012345678901".into() };
        let patch = IcePatch { mid: None, restart: Some((LocalCredentials::random(), remote)), if_match: IfMatch::Any };
        network.sessions.handle_patch(network.clients[n].id, patch, network.now)
    };
    let restarted = (0..1_000).filter(|nth| restart(&mut network, n, *nth).is_ok()).count();
    assert!((2..20).contains(&restarted), "{restarted} restarts at once");
    let Err(PatchRefusal::TooFast(wait)) = restart(&mut network, n, 1_001) else { panic!("one more restart") };
    assert!(wait <= Duration::from_secs(10));
    assert!(restart(&mut network, other, 1_002).is_ok(), "another session has a budget of its own");
    network.run(wait + Duration::from_millis(1));
    assert!(restart(&mut network, n, 1_003).is_ok());
}
