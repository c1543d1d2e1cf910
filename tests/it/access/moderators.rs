//! What a peer with an admin token can do in a room, over real sockets.

use roomtone::access::token_store::TokenStore;
use roomtone::access::tokens::Permission;
use roomtone::web::handlers::authorize::Authorizer;
use serde_json::json;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::room_peer::{RoomPeer, about_peer, connect, receive};
use crate::harness::server::Server as TestServer;

#[test]
fn a_moderator_mutes_removes_locks_and_ends_and_others_cannot() {
    let store = TokenStore::open(None).unwrap();
    let admin = store.issue(Permission::Admin, None, None).unwrap().0;
    let server = TestServer::with_authorizer(Authorizer::new(false, store));
    let mut moderator = RoomPeer::join(&server, &format!("token={admin}"));
    assert_eq!(moderator.config["host"], true);
    let mut ada = RoomPeer::join(&server, "");
    ada.send(&json!({"type": "hello", "payload": {"name": "Ada"}}));
    assert_eq!((moderator.receive_type(), moderator.receive_type()), ("new-peer".into(), "peer-state".into()));

    for command in ["lock", "remove", "mute", "end-room"] {
        ada.send(&json!({"type": command, "targetId": moderator.id, "payload": {"locked": true}}));
        assert_eq!(ada.receive_error(), "not-allowed", "{command}");
    }
    moderator.receives_nothing();

    moderator.send(&json!({"type": "mute", "targetId": ada.id, "payload": {}}));
    let muted = about_peer("mute", &ada.id);
    assert_eq!((ada.receive(), moderator.receive()), (muted.clone(), muted));

    moderator.send(&json!({"type": "remove", "targetId": ada.id, "payload": {}}));
    assert_eq!(ada.receive_error(), "removed");
    assert_eq!(ada.close_code(), CloseCode::Library(4003));
    assert_eq!(moderator.receive(), about_peer("peer-disconnect", &ada.id));
    let mut again = connect(server.address(), &ada.resume_query());
    assert_eq!(receive(&mut again)["payload"]["code"], "removed");

    let mut ben = RoomPeer::join(&server, "");
    assert_eq!(moderator.receive_type(), "new-peer");
    moderator.send(&json!({"type": "lock", "payload": {"locked": true}}));
    assert_eq!((ben.receive_type(), moderator.receive_type()), ("room-state".into(), "room-state".into()));
    let mut refused = connect(server.address(), "");
    assert_eq!(receive(&mut refused)["payload"]["code"], "room-locked");
    let tungstenite::Message::Close(Some(frame)) = refused.read().unwrap() else { panic!("no close frame") };
    assert_eq!(frame.code, CloseCode::Library(4004));
    let other_moderator = RoomPeer::join(&server, &format!("token={admin}"));
    assert_eq!(other_moderator.config["locked"], true);
    assert_eq!((ben.receive_type(), moderator.receive_type()), ("new-peer".into(), "new-peer".into()));

    moderator.send(&json!({"type": "end-room", "payload": {}}));
    for peer in [&mut moderator, &mut ben] {
        assert_eq!(peer.receive_error(), "room-ended");
        assert_eq!(peer.close_code(), CloseCode::Library(4005));
    }
    assert_eq!(RoomPeer::join(&server, "").config["locked"], false);
}
