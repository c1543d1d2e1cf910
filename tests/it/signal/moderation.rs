//! What moderators can do in a room, in virtual time.

use roomtone::signal::events::{CloseReason, Disconnect};
use roomtone::signal::limits::RoomLimits;
use serde_json::{Value, json};

use crate::signal::virtual_rooms::{VirtualRooms, id};

fn command(kind: &str, target: u8) -> Value {
    json!({"type": kind, "targetId": id(target), "payload": {"locked": true}})
}

#[test]
fn a_locked_room_admits_moderators_and_resuming_peers_and_is_unlocked_when_empty() {
    let mut rooms = VirtualRooms::new(RoomLimits::default());
    let moderator = rooms.join_as(1, "r", true);
    let ben = rooms.join(2, "r");
    rooms.hello(ben, "Ben");
    rooms.send(moderator, &command("lock", 0));
    let newcomer = rooms.join(3, "r");
    assert_eq!((rooms.closed.get(&newcomer), rooms.core.peer_count()), (Some(&CloseReason::RoomLocked), 2));
    assert_eq!(rooms.received(newcomer)[0]["payload"]["code"], "room-locked");
    rooms.disconnect(ben, Disconnect::Dropped);
    let ben = rooms.join(2, "r");
    let config = &rooms.received(ben)[1]["payload"];
    assert_eq!((&config["resumed"], &config["locked"], &config["host"]), (&json!(true), &json!(true), &json!(false)));
    let other_moderator = rooms.join_as(4, "r", true);
    assert_eq!(rooms.received(other_moderator)[0]["type"], "init-peers");
    for connection in [moderator, other_moderator, ben] {
        rooms.disconnect(connection, Disconnect::Left);
    }
    let newcomer = rooms.join(3, "r");
    assert_eq!(rooms.received(newcomer)[1]["payload"]["locked"], false);
}

#[test]
fn a_moderator_who_resumes_without_an_admin_token_is_none() {
    let mut rooms = VirtualRooms::new(RoomLimits::default());
    let moderator = rooms.join_as(1, "r", true);
    rooms.hello(moderator, "Ada");
    rooms.disconnect(moderator, Disconnect::Dropped);
    let back = rooms.join(1, "r");
    assert_eq!(rooms.received(back)[1]["payload"]["host"], false);
    rooms.send(back, &command("lock", 0));
    assert_eq!(rooms.received(back)[0]["payload"]["code"], "not-allowed");
}

#[test]
fn a_mute_is_repeated_to_newcomers_until_the_target_is_muted() {
    let mut rooms = VirtualRooms::new(RoomLimits::default());
    let moderator = rooms.join_as(1, "r", true);
    let ben = rooms.join(2, "r");
    rooms.hello(ben, "Ben");
    rooms.disconnect(ben, Disconnect::Dropped);
    rooms.received(moderator);
    rooms.send(moderator, &command("mute", 2));
    let mute = json!({"type": "mute", "payload": {"id": id(2)}});
    assert_eq!(rooms.received(moderator), std::slice::from_ref(&mute));
    let ben = rooms.join(2, "r");
    assert!(rooms.received(ben).contains(&mute), "a resuming peer is told");
    rooms.hello(ben, "Ben");
    let eve = rooms.join(3, "r");
    assert!(rooms.received(eve).contains(&mute), "so is a newcomer");
    rooms.send(ben, &json!({"type": "peer-state", "payload": {"name": "Ben", "muted": true}}));
    let late = rooms.join(4, "r");
    assert!(!rooms.received(late).contains(&mute));
}

#[test]
fn a_removed_peers_token_joins_no_room() {
    let mut rooms = VirtualRooms::new(RoomLimits::default());
    let moderator = rooms.join_as(1, "r", true);
    let ben = rooms.join(2, "r");
    rooms.hello(ben, "Ben");
    rooms.disconnect(ben, Disconnect::Dropped);
    rooms.received(moderator);
    rooms.send(moderator, &command("remove", 2));
    assert_eq!(rooms.received_types(moderator), ["peer-disconnect"]);
    for room in ["r", "another"] {
        let back = rooms.join(2, room);
        assert_eq!(rooms.closed.get(&back), Some(&CloseReason::Removed));
    }
    // With a new id the same person is another peer.
    let other = rooms.join(3, "r");
    assert_eq!(rooms.received(other)[0]["type"], "init-peers");
}
