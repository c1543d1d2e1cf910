//! What the peers of one address, and of the networks around it, may have together: places, reservations included, and
//! what is kept for them.

use roomtone::signal::events::{CloseReason, ConnectionId, Disconnect};
use roomtone::signal::limits::RoomLimits;
use serde_json::json;

use crate::signal::virtual_rooms::{SECOND, VirtualRooms, id};

const HERE: &str = "2001:db8:1:2::3";
const ELSEWHERE: &str = "192.0.2.9";

fn rooms_with(max_peers_per_address: usize, max_peers: usize) -> VirtualRooms {
    VirtualRooms::new(RoomLimits { max_peers_per_address, max_peers, ..RoomLimits::default() })
}

fn is_full(rooms: &mut VirtualRooms, connection: ConnectionId) -> bool {
    let is_full = rooms.closed.get(&connection) == Some(&CloseReason::RoomFull);
    assert_eq!(rooms.received(connection)[0]["payload"]["code"] == "room-full", is_full);
    is_full
}

#[test]
fn reserved_places_count_to_their_address() {
    let mut rooms = rooms_with(2, 100);
    for n in [1, 2] {
        let peer = rooms.join_from(HERE, n, &format!("r{n}"));
        rooms.hello(peer, "Ada");
        assert!(!is_full(&mut rooms, peer));
        rooms.disconnect(peer, Disconnect::Dropped);
    }
    let third = rooms.join_from(HERE, 3, "r3");
    assert!(is_full(&mut rooms, third), "places are collected by leaving");
    let elsewhere = rooms.join_from(ELSEWHERE, 4, "r3");
    assert!(!is_full(&mut rooms, elsewhere));
    // Both come back to their own places.
    let back = rooms.join_from(HERE, 1, "r1");
    assert_eq!(rooms.received(back)[1]["payload"]["resumed"], true);
    rooms.advance(20 * SECOND);
    let third = rooms.join_from(HERE, 3, "r3");
    assert!(!is_full(&mut rooms, third), "the other reservation has ended");
}

#[test]
fn a_peer_that_comes_back_from_another_address_counts_there_if_there_is_space() {
    let mut rooms = rooms_with(1, 100);
    let peer = rooms.join_from(HERE, 1, "r");
    rooms.hello(peer, "Ada");
    rooms.disconnect(peer, Disconnect::Dropped);
    let moved = rooms.join_from(ELSEWHERE, 1, "r");
    assert_eq!(rooms.received(moved)[1]["payload"]["resumed"], true);
    let second = rooms.join_from(HERE, 2, "r");
    assert!(!is_full(&mut rooms, second), "its old address has space again");
    let third = rooms.join_from(ELSEWHERE, 3, "r");
    assert!(is_full(&mut rooms, third));
    // The place of the second cannot move there as well, so it goes on counting to where it was taken.
    rooms.hello(second, "Ben");
    rooms.disconnect(second, Disconnect::Dropped);
    let second = rooms.join_from(ELSEWHERE, 2, "r");
    assert_eq!(rooms.received(second)[1]["payload"]["resumed"], true);
    let fourth = rooms.join_from(HERE, 4, "r");
    assert!(is_full(&mut rooms, fourth));
}

#[test]
fn one_site_takes_no_more_than_half_of_all_places() {
    let mut rooms = rooms_with(5, 20);
    let mut joined = 0;
    for n in 0..100 {
        let peer = rooms.join_from(&format!("2001:db8:1:{n:x}00::1"), n, &format!("r{}", n / 10));
        joined += usize::from(!is_full(&mut rooms, peer));
    }
    assert_eq!(joined, 10);
    let other = rooms.join_from("2001:db8:2::1", 101, "r");
    assert!(!is_full(&mut rooms, other));
}

#[test]
fn a_place_is_given_back_however_a_peer_leaves() {
    let mut rooms = rooms_with(1, 100);
    let admin = rooms.join_as(100, "r", true);
    for leave in 0..5 {
        let peer = rooms.join_from(HERE, 1 + leave, "r");
        assert!(!is_full(&mut rooms, peer), "{leave}");
        match leave {
            0 => rooms.disconnect(peer, Disconnect::Left),
            1 => rooms.send(peer, &json!({"type": "leave"})),
            2 => rooms.send(admin, &json!({"type": "remove", "targetId": id(3), "payload": {}})),
            3 => (0..501).for_each(|_| rooms.send(peer, &json!({"type": "chat", "payload": {"text": "x"}}))),
            _ => rooms.send(admin, &json!({"type": "end-room", "payload": {}})),
        }
        rooms.closed.clear();
    }
    let last = rooms.join_from(HERE, 9, "r");
    assert!(!is_full(&mut rooms, last));
}

/// Each of three rooms has a peer that is away and one that sends it messages of 1 KiB. Returns how many were kept for each
/// when it was back, or None if its place was lost.
fn kept(messages: usize, queued_bytes_in_all: usize) -> Vec<Option<usize>> {
    let limits = RoomLimits { queued_bytes_in_all, scarce_bytes: 4 * 1024, ..RoomLimits::default() };
    let mut rooms = VirtualRooms::new(limits);
    let pairs: Vec<_> =
        (0..3).map(|n| (n, rooms.join(10 + n, &n.to_string()), rooms.join(20 + n, &n.to_string()))).collect();
    for &(_, away, _) in &pairs {
        rooms.hello(away, "Ada");
        rooms.disconnect(away, Disconnect::Dropped);
    }
    for &(n, _, sender) in &pairs {
        for _ in 0..messages {
            let sdp = "x".repeat(1_024 - 80);
            rooms.send(sender, &json!({"type": "offer", "targetId": id(10 + n), "payload": {"sdp": sdp}}));
        }
    }
    let mut kept = vec![];
    for n in 0..3 {
        let back = rooms.join(10 + n, &n.to_string());
        let received = rooms.received(back);
        let offers = received.iter().filter(|message| message["type"] == "offer").count();
        kept.push((received[1]["payload"]["resumed"] == true).then_some(offers));
    }
    kept
}

#[test]
fn less_is_kept_for_each_peer_that_is_away_while_much_is_kept_for_all() {
    assert_eq!(kept(60, 1_000_000), [Some(60); 3]);
    assert_eq!(kept(60, 70_000), [Some(60), None, None]);
    assert_eq!(kept(3, 5_000), [Some(3); 3], "a little is always kept");
}

#[test]
fn a_room_keeps_less_chat_while_there_are_many_rooms() {
    let limits = RoomLimits { chat_bytes_in_all: 4_000, ..RoomLimits::default() };
    let mut rooms = VirtualRooms::new(limits);
    let chat = json!({"type": "chat", "payload": {"text": "x".repeat(100)}});
    let history = |rooms: &mut VirtualRooms, newcomer: u8| {
        let newcomer = rooms.join(newcomer, "r");
        rooms.received_types(newcomer).iter().filter(|kind| *kind == "chat").count()
    };
    let peer = rooms.join(1, "r");
    (0..50).for_each(|_| rooms.send(peer, &chat));
    assert_eq!(history(&mut rooms, 2), 40);
    for n in 0..3 {
        rooms.join(10 + n, &format!("other{n}"));
    }
    rooms.send(peer, &chat);
    assert_eq!(history(&mut rooms, 3), 10);
}
