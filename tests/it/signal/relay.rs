//! Joining, and messages from peer to peer, over real WebSockets.

use serde_json::json;
use tungstenite::Message;

use crate::harness::room_peer::{RoomPeer, about_peer, connect, receive};
use crate::harness::server::Server as TestServer;

#[test]
fn two_clients_of_the_original_protocol_meet_and_leave() {
    let server = TestServer::open();
    let mut first = RoomPeer::join(&server, "");
    assert!(first.others.is_empty());
    let mut second = RoomPeer::join(&server, "");
    assert_eq!(second.others, [first.id.clone()]);
    assert_eq!(first.receive(), about_peer("new-peer", &second.id));

    second.send(&json!({"type": "offer", "targetId": first.id, "payload": {"sdp": {"type": "offer", "sdp": "v=0"}}}));
    let offer = first.receive();
    assert_eq!(
        offer,
        json!({"type": "offer", "payload": {"senderId": second.id, "sdp": {"type": "offer", "sdp": "v=0"}}})
    );
    first.send(&json!({"type": "answer", "targetId": second.id, "payload": {"sdp": "v=1", "more": [1.50]}}));
    assert_eq!(
        second.receive(),
        json!({"type": "answer", "payload": {"senderId": first.id, "sdp": "v=1", "more": [1.5]}})
    );
    first.send(&json!({"type": "ice-candidate", "targetId": second.id, "payload": {"candidate": null}}));
    assert_eq!(
        second.receive(),
        json!({"type": "ice-candidate", "payload": {"senderId": first.id, "candidate": null}})
    );

    // It never sent `hello`, so it cannot resume and no place is reserved for it.
    let id = second.id.clone();
    drop(second.drop_connection());
    assert_eq!(first.receive(), about_peer("peer-disconnect", &id));
    first.receives_nothing();
}

#[test]
fn a_client_of_six_messages_works_beside_one_that_knows_all() {
    let server = TestServer::open();
    let mut full = RoomPeer::join_with_hello(&server, "room=main", "Ada");
    full.send(&json!({"type": "chat", "payload": {"text": "anybody here?"}}));
    assert_eq!(full.receive_type(), "chat");
    // It reads types and payloads, acts on the six messages that it knows, and sends no others.
    let mut original = connect(server.address(), "");
    let first = receive(&mut original);
    assert_eq!((&first["type"], &first["payload"]["peerIds"]), (&json!("init-peers"), &json!([full.id])));
    let id = first["payload"]["id"].as_str().unwrap().to_owned();
    assert_eq!(full.receive(), about_peer("new-peer", &id));
    let offer = json!({"type": "offer", "targetId": full.id, "payload": {"sdp": "v=0"}});
    original.send(Message::text(offer.to_string())).unwrap();
    assert_eq!(full.receive()["payload"], json!({"senderId": id, "sdp": "v=0"}));
    full.send(&json!({"type": "answer", "targetId": id, "payload": {"sdp": "v=1"}}));
    let known = ["init-peers", "new-peer", "peer-disconnect", "offer", "answer", "ice-candidate"];
    let answer = loop {
        let message = receive(&mut original);
        assert!(message["payload"].is_object(), "{message}");
        if known.contains(&message["type"].as_str().unwrap()) {
            break message;
        }
    };
    assert_eq!(answer, json!({"type": "answer", "payload": {"senderId": full.id, "sdp": "v=1"}}));
}

#[test]
fn a_peer_of_another_room_is_not_heard_and_cannot_be_addressed() {
    let server = TestServer::open();
    let mut here = RoomPeer::join(&server, "room=here");
    let mut there = RoomPeer::join(&server, "room=there");
    assert!(there.others.is_empty());
    there.send(&json!({"type": "offer", "targetId": here.id, "payload": {"sdp": "v=0"}}));
    assert_eq!(there.receive_error(), "unknown-target");
    there.send(&json!({"type": "chat", "payload": {"text": "hello?"}}));
    assert_eq!(there.receive_type(), "chat");
    here.receives_nothing();
}

#[test]
fn a_burst_of_messages_reaches_a_browser_that_reads() {
    let server = TestServer::open();
    let mut target = RoomPeer::join(&server, "");
    let mut sender = RoomPeer::join(&server, "");
    assert_eq!(target.receive_type(), "new-peer");
    // All in one write, so that the hub has all of them before the other threads have had a turn.
    let candidate = |n: usize| json!({"type": "ice-candidate", "targetId": target.id, "payload": {"candidate": n}});
    for n in 0..400 {
        sender.socket.write(Message::text(candidate(n).to_string())).unwrap();
    }
    sender.socket.flush().unwrap();
    for n in 0..400 {
        assert_eq!(target.receive()["payload"]["candidate"], n);
    }
}

#[test]
fn a_thousand_browsers_that_join_at_once_all_find_their_rooms() {
    const PEERS: usize = 1_000;
    const ROOM: usize = 10;
    let server = TestServer::open();
    let address = server.address();
    let workers: Vec<_> = (0..ROOM)
        .map(|worker| {
            std::thread::spawn(move || {
                let rooms = (0..PEERS / ROOM).map(|room| (room * 7 + worker * 13) % (PEERS / ROOM));
                rooms.map(|room| (room, RoomPeer::join_at(address, &format!("room=r{room}")))).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut rooms = std::collections::BTreeMap::<usize, Vec<RoomPeer>>::new();
    for (room, peer) in workers.into_iter().flat_map(|worker| worker.join().unwrap()) {
        rooms.entry(room).or_default().push(peer);
    }
    let mut ids = std::collections::HashSet::new();
    for peers in rooms.values_mut() {
        assert_eq!(peers.len(), ROOM);
        let everybody: std::collections::BTreeSet<String> = peers.iter().map(|peer| peer.id.clone()).collect();
        for peer in peers.iter_mut() {
            assert!(ids.insert(peer.id.clone()));
            let mut known: std::collections::BTreeSet<String> = peer.others.iter().cloned().collect();
            while known.len() < ROOM - 1 {
                let message = peer.receive();
                assert_eq!(message["type"], "new-peer");
                known.insert(message["payload"]["id"].as_str().unwrap().to_owned());
            }
            known.insert(peer.id.clone());
            assert_eq!(known, everybody);
        }
    }
    assert_eq!(server.room_metrics.peers.read(), PEERS as u64);
}
