//! Coming back after a lost connection, over real WebSockets: the reservation, what ends it, and a restarted server.

use std::time::{Duration, Instant};

use roomtone::signal::limits::RoomLimits;
use serde_json::json;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::room_peer::{RoomPeer, about_peer};
use crate::harness::server::Server as TestServer;
use crate::harness::wait::wait_until;

#[test]
fn a_resumed_peer_has_the_same_id_and_the_others_saw_no_leave() {
    let server = TestServer::open();
    let mut witness = RoomPeer::join(&server, "room=r");
    let peer = RoomPeer::join_with_hello(&server, "room=r", "Ada");
    assert_eq!((witness.receive_type().as_str(), witness.receive_type().as_str()), ("new-peer", "peer-state"));
    let id = peer.id.clone();
    let resume = peer.drop_connection();
    wait_until("the server has noticed", || server.room_metrics.connected.read() == 1);
    witness.send(&json!({"type": "offer", "targetId": id, "payload": {"sdp": "kept"}}));
    witness.receives_nothing();
    let mut back = RoomPeer::join(&server, &format!("room=r&{resume}"));
    assert_eq!((&back.id, &back.others, &back.config["resumed"]), (&id, &vec![witness.id.clone()], &json!(true)));
    assert_eq!(back.receive()["payload"], json!({"senderId": witness.id, "sdp": "kept"}));
    witness.receives_nothing();

    // Once more, before the server has noticed the end of the connection: the old one is told.
    let again = RoomPeer::join(&server, &format!("room=r&{}", back.resume_query()));
    assert_eq!((&again.id, &again.config["resumed"]), (&id, &json!(true)));
    assert_eq!(back.receive_error(), "replaced");
    assert_eq!(back.close_code(), CloseCode::Library(4001));
    witness.receives_nothing();
}

#[test]
fn a_reservation_ends_in_time() {
    let reservation = Duration::from_millis(500);
    let server = TestServer::with_rooms(Default::default(), RoomLimits { reservation, ..RoomLimits::default() });
    let mut witness = RoomPeer::join(&server, "");
    let peer = RoomPeer::join_with_hello(&server, "", "Ada");
    witness.receive();
    witness.receive();
    let (id, dropped) = (peer.id.clone(), Instant::now());
    peer.drop_connection();
    assert_eq!(witness.receive(), about_peer("peer-disconnect", &id));
    let after = dropped.elapsed();
    assert!(after >= reservation && after < reservation * 3, "after {after:?}");
}

#[test]
fn close_codes_1000_and_1001_leave_at_once_and_others_reserve_the_place() {
    let server = TestServer::open();
    let mut witness = RoomPeer::join(&server, "");
    for (code, leaves) in [(Some(1000), true), (Some(1001), true), (None, true), (Some(4000), false)] {
        let mut peer = RoomPeer::join_with_hello(&server, "", "Ada");
        witness.receive();
        witness.receive();
        peer.socket.close(code.map(|code: u16| CloseFrame { code: code.into(), reason: "".into() })).unwrap();
        while peer.socket.read().is_ok() {}
        match leaves {
            true => assert_eq!(witness.receive(), about_peer("peer-disconnect", &peer.id), "{code:?}"),
            false => witness.receives_nothing(),
        }
    }
}

#[test]
fn after_a_restart_a_room_forms_again_with_the_old_ids() {
    let server = TestServer::open();
    let mut old: Vec<RoomPeer> =
        (0..3).map(|n| RoomPeer::join_with_hello(&server, "room=r", &format!("{n}"))).collect();
    server.hub.stop().unwrap();
    for peer in &mut old {
        while peer.receive_type() != "error" {}
        assert_eq!(peer.close_code(), CloseCode::Away);
    }
    server.running.stop().unwrap();
    let server = TestServer::open();
    let mut back: Vec<RoomPeer> = vec![];
    for peer in &old {
        let peer = RoomPeer::join(&server, &format!("room=r&{}", peer.resume_query()));
        assert_eq!(peer.config["resumed"], false);
        assert_eq!(peer.others, back.iter().map(|other| other.id.clone()).collect::<Vec<_>>());
        for other in &mut back {
            assert_eq!(other.receive(), about_peer("new-peer", &peer.id));
        }
        back.push(peer);
    }
    let ids = |peers: &[RoomPeer]| peers.iter().map(|peer| peer.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&back), ids(&old));
}
