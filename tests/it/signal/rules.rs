//! The rules of a room in virtual time: reservations, chat history, message budgets, stop.

use std::time::Duration;

use roomtone::ids::peer::{PeerId, ResumeToken};
use roomtone::signal::events::{CloseReason, ConnectionId, Disconnect};
use roomtone::signal::limits::RoomLimits;
use serde_json::{Value, json};

use crate::signal::virtual_rooms::{SECOND, VirtualRooms, id};

#[test]
fn capital_and_small_letters_name_one_room_in_the_spelling_of_its_first_peer() {
    let mut rooms = VirtualRooms::new(RoomLimits { room_size: 2, ..RoomLimits::default() });
    let (ada, ben) = (rooms.join(1, "Kitchen"), rooms.join(2, "kitchen"));
    assert_eq!(rooms.core.room_count(), 1);
    let (to_ada, to_ben) = (rooms.received(ada), rooms.received(ben));
    assert_eq!(to_ada[1]["payload"]["room"], "Kitchen");
    assert_eq!(to_ada[2], json!({"type": "new-peer", "payload": {"id": id(2)}}));
    assert_eq!(to_ben[0]["payload"]["peerIds"], json!([id(1)]));
    assert_eq!(to_ben[1]["payload"]["room"], "Kitchen");
    let eve = rooms.join(3, "KITCHEN");
    assert_eq!(rooms.received(eve)[0]["payload"]["code"], "room-full");
    // Whoever comes back by another spelling resumes.
    rooms.hello(ben, "Ben");
    rooms.disconnect(ben, Disconnect::Dropped);
    let ben = rooms.join(2, "KITCHEN");
    let to_ben = rooms.received(ben);
    assert_eq!((&to_ben[1]["payload"]["resumed"], &to_ben[1]["payload"]["room"]), (&json!(true), &json!("Kitchen")));
    // When it is opened anew, so is its spelling.
    rooms.disconnect(ada, Disconnect::Left);
    rooms.disconnect(ben, Disconnect::Left);
    let ben = rooms.join(2, "kitchen");
    assert_eq!(rooms.received(ben)[1]["payload"]["room"], "kitchen");
}

#[test]
fn a_reservation_lasts_20_s() {
    let mut rooms = VirtualRooms::new(RoomLimits::default());
    let (ada, ben) = (rooms.join(1, "r"), rooms.join(2, "r"));
    rooms.hello(ada, "Ada");
    rooms.received(ben);
    rooms.disconnect(ada, Disconnect::Dropped);
    assert_eq!(rooms.drain(), rooms.now + 20 * SECOND);
    rooms.advance(20 * SECOND - Duration::from_millis(1));
    assert_eq!(rooms.received_types(ben), Vec::<String>::new());
    rooms.advance(Duration::from_millis(1));
    assert_eq!(rooms.received(ben), [json!({"type": "peer-disconnect", "payload": {"id": id(1)}})]);
    // After that it may join again with its id, as a newcomer.
    let ada = rooms.join(1, "r");
    assert_eq!(rooms.received(ben), [json!({"type": "new-peer", "payload": {"id": id(1)}})]);
    assert_eq!(rooms.received(ada)[1]["payload"]["resumed"], false);
}

#[test]
fn a_resumed_peer_gets_the_present_state_and_the_messages_kept_for_it() {
    let mut rooms = VirtualRooms::new(RoomLimits::default());
    let (ada, ben) = (rooms.join(1, "r"), rooms.join(2, "r"));
    rooms.hello(ada, "Ada");
    rooms.hello(ben, "Ben");
    rooms.disconnect(ada, Disconnect::Dropped);
    rooms.received(ben);
    let eve = rooms.join(3, "r");
    rooms.send(eve, &json!({"type": "offer", "targetId": id(1), "payload": {"sdp": 1}}));
    rooms.send(ben, &json!({"type": "ice-candidate", "targetId": id(1), "payload": {"candidate": 1}}));
    rooms.send(ben, &json!({"type": "chat", "payload": {"text": "where is she?"}}));
    rooms.disconnect(ben, Disconnect::Left);
    rooms.received(eve);
    rooms.advance(19 * SECOND);
    let ada = rooms.join(1, "r");
    let received = rooms.received(ada);
    let types: Vec<&str> = received.iter().map(|message| message["type"].as_str().unwrap()).collect();
    // Ben has left, so his candidate is not delivered.
    assert_eq!(types, ["init-peers", "config", "chat", "offer"]);
    assert_eq!(received[0]["payload"], json!({"id": id(1), "peerIds": [id(3)]}));
    assert_eq!(received[1]["payload"]["resumed"], true);
    assert_eq!((&received[2]["payload"]["name"], &received[2]["payload"]["ageMs"]), (&json!("Ben"), &json!(19_000)));
    assert_eq!(rooms.received(eve), Vec::<Value>::new(), "the others notice nothing");
    rooms.advance(60 * SECOND);
    assert_eq!(rooms.core.peer_count(), 2);
}

#[test]
fn too_many_bytes_for_a_disconnected_peer_end_its_reservation() {
    let mut rooms = VirtualRooms::new(RoomLimits { queued_bytes: 1_000, ..RoomLimits::default() });
    let (ada, ben) = (rooms.join(1, "r"), rooms.join(2, "r"));
    rooms.hello(ada, "Ada");
    rooms.disconnect(ada, Disconnect::Dropped);
    rooms.received(ben);
    rooms.send(ben, &json!({"type": "offer", "targetId": id(1), "payload": {"sdp": "x".repeat(2_000)}}));
    assert_eq!(rooms.received_types(ben), ["peer-disconnect"]);
}

#[test]
fn fifty_messages_a_second_are_allowed_for_long_and_more_only_in_a_burst() {
    let mut rooms = VirtualRooms::new(RoomLimits::default());
    let (ada, ben) = (rooms.join(1, "r"), rooms.join(2, "r"));
    let state = json!({"type": "peer-state", "payload": {}});
    for _ in 0..500 + 60 * 50 {
        rooms.send(ada, &state);
        rooms.advance(Duration::from_millis(20));
    }
    assert_eq!(rooms.closed.get(&ada), None);
    for _ in 0..500 {
        rooms.send(ada, &state);
    }
    assert_eq!(rooms.closed.get(&ada), None);
    rooms.received(ada);
    rooms.received(ben);
    rooms.send(ada, &state);
    assert_eq!(rooms.closed.get(&ada), Some(&CloseReason::TooManyMessages));
    assert_eq!(rooms.received(ada)[0]["payload"]["code"], "too-many-messages");
    // Its place is reserved, so the others notice nothing. Resuming does not refill its message budget.
    assert_eq!(rooms.received(ben), Vec::<Value>::new());
    let ada = rooms.join(1, "r");
    rooms.send(ada, &state);
    assert_eq!(rooms.closed.get(&ada), Some(&CloseReason::TooManyMessages));
}

#[test]
fn a_newcomer_gets_the_last_hundred_chat_messages_and_at_most_64_kib() {
    let mut rooms = VirtualRooms::new(RoomLimits::default());
    let ada = rooms.join(1, "r");
    for n in 0..150 {
        rooms.send(ada, &json!({"type": "chat", "payload": {"text": format!("{n}")}}));
        rooms.advance(SECOND);
    }
    let ben = rooms.join(2, "r");
    let seqs = |received: Vec<Value>| -> Vec<u64> {
        received[2..].iter().map(|chat| chat["payload"]["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs(rooms.received(ben)), (51..=150).collect::<Vec<u64>>());
    for _ in 0..50 {
        rooms.send(ada, &json!({"type": "chat", "payload": {"text": "ä".repeat(2_000)}}));
    }
    let eve = rooms.join(3, "r");
    assert_eq!(seqs(rooms.received(eve)).len(), 64 * 1024 / 4_000);
    // A room without peers is forgotten.
    for connection in [ada, ben, eve] {
        rooms.disconnect(connection, Disconnect::Left);
    }
    assert_eq!((rooms.core.room_count(), rooms.core.peer_count()), (0, 0));
    let ada = rooms.join(1, "r");
    assert_eq!(rooms.received_types(ada), ["init-peers", "config"]);
}

#[test]
fn a_restarted_server_gives_each_peer_its_own_id_back() {
    let mut rooms = VirtualRooms::new(RoomLimits::default());
    let ada = rooms.join(1, "r");
    assert_eq!(rooms.received(ada)[0]["payload"]["id"], id(1));
    // The others have seen only her id, and an id is no token.
    assert_eq!(ResumeToken::parse(&id(1)), None);
    assert!(PeerId::parse(&id(1)).is_some());
    let mut after = VirtualRooms::new(RoomLimits::default());
    let ben = after.join(2, "r");
    let ada = after.join(1, "r");
    assert_eq!(after.received(ada)[0]["payload"], json!({"id": id(1), "peerIds": [id(2)]}));
    assert_eq!(after.received_types(ben), ["init-peers", "config", "new-peer"]);
}

#[test]
fn when_the_server_stops_each_peer_is_told_once() {
    let mut rooms = VirtualRooms::new(RoomLimits::default());
    let connections: Vec<ConnectionId> = (0..5).map(|who| rooms.join(who, "r")).collect();
    for connection in &connections {
        rooms.received(*connection);
    }
    rooms.core.close_all();
    rooms.drain();
    for connection in connections {
        let received = rooms.received(connection);
        assert_eq!((received.len(), &received[0]["payload"]["code"]), (1, &json!("going-away")));
        assert_eq!(rooms.closed.get(&connection), Some(&CloseReason::GoingAway));
    }
}
