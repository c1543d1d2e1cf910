//! Tracks that come and go while sessions live, in virtual time.

use std::time::Duration;

use roomtone::media::track::TrackId;
use roomtone::rtc::session::Reason;
use roomtone::station::timeline::{self, Capacity};

use crate::harness::virtual_world::{TRACK, World};

#[test]
fn a_removed_track_closes_its_sessions_with_a_goodbye() {
    let mut world = World::new(21, 0, 0);
    let listeners = [world.join(), world.join()];
    world.run(Duration::from_secs(2));
    world.sessions.remove_track(TRACK, world.now);
    world.run(Duration::from_millis(200));
    for n in listeners {
        assert!(world.clients[n].closed, "client {n} was not told");
        assert!(world.gone.contains(&(world.clients[n].id, Reason::Closed)), "{:?}", world.gone);
    }
    assert!(world.sessions.is_empty());
}

#[test]
fn a_session_whose_track_was_removed_before_it_connected_is_closed_when_it_connects() {
    let mut world = World::new(22, 0, 0);
    let n = world.join();
    world.sessions.remove_track(TRACK, world.now);
    world.run(Duration::from_secs(2));
    assert_eq!(world.gone, [(world.clients[n].id, Reason::Closed)]);
    assert!(world.clients[n].heard.is_empty());
}

#[test]
fn other_tracks_go_on_when_one_is_removed_and_packets_of_unknown_tracks_are_dropped() {
    let mut world = World::new(23, 0, 0);
    let other = TrackId::new(7);
    let capacity = Capacity::new(Duration::ZERO, Duration::from_millis(20), 128_000);
    let (_writer, timeline) = timeline::new(capacity, world.now);
    world.sessions.add_track(other, timeline);
    let n = world.join();
    world.run(Duration::from_secs(2));
    world.sessions.remove_track(other, world.now);
    let before = world.clients[n].heard.len();
    world.run(Duration::from_secs(2));
    assert!(world.clients[n].heard.len() >= before + 99, "{} packets", world.clients[n].heard.len() - before);
    assert!(world.gone.is_empty());
}
