//! Tracks that are added and removed while sessions exist, in virtual time.

use std::time::Duration;

use roomtone::media::track::TrackId;
use roomtone::rtc::session::Reason;
use roomtone::station::timeline::{self, Capacity};

use crate::harness::virtual_network::{TRACK, VirtualNetwork};

#[test]
fn a_removed_track_closes_its_sessions_with_a_goodbye() {
    let mut network = VirtualNetwork::new(21, 0, 0);
    let listeners = [network.add_client(), network.add_client()];
    network.run(Duration::from_secs(2));
    network.sessions.remove_track(TRACK, network.now);
    network.run(Duration::from_millis(200));
    for n in listeners {
        assert!(network.clients[n].is_closed, "client {n} was not told");
        assert!(network.ended.contains(&(network.clients[n].id, Reason::Closed)), "{:?}", network.ended);
    }
    assert!(network.sessions.is_empty());
}

#[test]
fn a_session_whose_track_was_removed_before_it_connected_is_closed_when_it_connects() {
    let mut network = VirtualNetwork::new(22, 0, 0);
    let n = network.add_client();
    network.sessions.remove_track(TRACK, network.now);
    network.run(Duration::from_secs(2));
    assert_eq!(network.ended, [(network.clients[n].id, Reason::Closed)]);
    assert!(network.clients[n].packets.is_empty());
}

#[test]
fn other_tracks_go_on_when_one_is_removed_and_packets_of_unknown_tracks_are_dropped() {
    let mut network = VirtualNetwork::new(23, 0, 0);
    let other = TrackId::new(7);
    let capacity = Capacity::new(Duration::ZERO, Duration::from_millis(20), 128_000);
    let (_writer, timeline) = timeline::new(capacity, network.now);
    network.sessions.add_track(other, timeline);
    let n = network.add_client();
    network.run(Duration::from_secs(2));
    network.sessions.remove_track(other, network.now);
    let before = network.clients[n].packets.len();
    network.run(Duration::from_secs(2));
    assert!(network.clients[n].packets.len() >= before + 99, "{} packets", network.clients[n].packets.len() - before);
    assert!(network.ended.is_empty());
}
