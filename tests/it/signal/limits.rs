//! What a client may not do, over real WebSockets: each violation has its error and close code, and no other peer notices.

use std::time::Duration;

use roomtone::signal::limits::RoomLimits;
use serde_json::json;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use crate::harness::room_peer::{RoomPeer, about_peer, connect, receive};
use crate::harness::server::Server as TestServer;
use crate::harness::wait::wait_until;

#[test]
fn an_unusable_message_is_answered_with_an_error_and_the_connection_stays() {
    let server = TestServer::open();
    let mut peer = RoomPeer::join(&server, "");
    for (text, code) in [
        ("{", "bad-json"),
        ("[]", "bad-message"),
        ("{\"type\":\"dance\",\"payload\":{}}", "unknown-type"),
        ("{\"type\":\"offer\",\"targetId\":\"nobody\",\"payload\":{}}", "unknown-target"),
    ] {
        peer.socket.send(Message::text(text)).unwrap();
        assert_eq!(peer.receive_error(), code);
    }
    peer.send(&json!({"type": "chat", "payload": {"text": "still here"}}));
    assert_eq!(peer.receive()["payload"]["text"], "still here");
}

#[test]
fn an_error_never_repeats_a_long_value_and_the_peer_stays() {
    let server = TestServer::open();
    let mut peer = RoomPeer::join(&server, "");
    let filler = "\u{7f}".repeat(65_000);
    for text in [
        format!(r#"{{"type":"lock","payload":{{"locked":"{filler}"}}}}"#),
        format!(r#"{{"type":"hello","payload":{{"muted":"{filler}"}}}}"#),
        format!(r#"{{"type":"hello","payload":"{filler}"}}"#),
        format!(r#"{{"type":"{filler}"}}"#),
        format!(r#"{{"type":"offer","targetId":"{filler}","payload":{{}}}}"#),
        format!(r#"{{"type":"offer","targetId":"{}","payload":"{filler}"}}"#, peer.id),
        format!(r#""{filler}""#),
        filler.clone(),
    ] {
        peer.socket.send(Message::text(text)).unwrap();
        let error = peer.receive();
        assert_eq!(error["type"], "error");
        let message = error["payload"]["message"].as_str().unwrap();
        assert!(message.chars().count() <= 200 && message.ends_with('.'), "{message}");
        assert!(message.matches("7f").count() <= 40 && !message.contains('\u{7f}'), "{message}");
    }
    peer.send(&json!({"type": "chat", "payload": {"text": "still here"}}));
    assert_eq!(peer.receive()["payload"]["text"], "still here");
}

#[test]
fn a_message_too_large_or_not_text_closes_only_its_own_connection() {
    let server = TestServer::open();
    let mut witness = RoomPeer::join(&server, "");
    let large = Message::text("x".repeat(64 * 1024 + 1));
    let cases = [
        (large, "too-large", CloseCode::Size),
        (Message::binary(vec![1, 2, 3]), "not-text", CloseCode::Unsupported),
        (Message::binary(vec![0; 100_000]), "too-large", CloseCode::Size),
    ];
    for (message, error, close) in cases {
        let mut peer = RoomPeer::join_with_hello(&server, "", "Ada");
        assert_eq!((witness.receive_type().as_str(), witness.receive_type().as_str()), ("new-peer", "peer-state"));
        peer.socket.send(message).unwrap();
        assert_eq!(peer.receive_error(), error);
        assert_eq!(peer.close_code(), close);
        // Its place is reserved: it may resume, and the others notice nothing.
        witness.receives_nothing();
        let mut back = RoomPeer::join(&server, &peer.resume_query());
        assert_eq!((&back.id, &back.config["resumed"]), (&peer.id, &json!(true)));
        back.send(&json!({"type": "leave"}));
        assert_eq!(back.close_code(), CloseCode::Normal);
        assert_eq!(witness.receive(), about_peer("peer-disconnect", &back.id));
    }
    // A message of exactly 64 KiB is not too large.
    let mut peer = RoomPeer::join(&server, "");
    witness.receive();
    let rest = json!({"type": "offer", "targetId": witness.id, "payload": {"sdp": ""}}).to_string().len();
    let sdp = "x".repeat(64 * 1024 - rest);
    peer.send(&json!({"type": "offer", "targetId": witness.id, "payload": {"sdp": sdp}}));
    assert_eq!(witness.receive()["payload"]["sdp"], json!(sdp));
}

#[test]
fn a_peer_that_sends_too_much_is_closed_with_1008() {
    let server = TestServer::open();
    let mut witness = RoomPeer::join(&server, "");
    let mut peer = RoomPeer::join_with_hello(&server, "", "Ada");
    witness.receive();
    witness.receive();
    let nonsense = json!({"type": "offer", "targetId": "x", "payload": {}}).to_string();
    // The peer reads meanwhile, else it would be closed as too slow.
    let stream = peer.socket.get_ref().try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let mut socket = WebSocket::from_raw_socket(stream, tungstenite::protocol::Role::Client, None);
        while socket.send(Message::text(nonsense.clone())).is_ok() {}
    });
    let last = loop {
        match peer.receive_error().as_str() {
            "unknown-target" => {}
            code => break code.to_owned(),
        }
    };
    assert_eq!((last.as_str(), peer.close_code()), ("too-many-messages", CloseCode::Policy));
    drop(peer);
    writer.join().unwrap();
    witness.receives_nothing();
}

#[test]
fn a_peer_that_does_not_read_is_closed_and_the_others_do_not_wait() {
    let server = TestServer::open();
    let slow = RoomPeer::join_with_hello(&server, "", "Slow");
    let mut fast = RoomPeer::join(&server, "");
    assert_eq!(fast.receive_type(), "peer-state");
    let big = json!({"type": "offer", "targetId": slow.id, "payload": {"sdp": "x".repeat(60_000)}});
    wait_until("the slow peer is closed", || {
        fast.send(&big);
        // Slowly enough for the message budget, so that only the slow peer is closed.
        std::thread::sleep(Duration::from_millis(1));
        fast.send(&json!({"type": "peer-state", "payload": {}}));
        server.room_metrics.too_slow.read() == 1 || server.room_metrics.connected.read() < 2
    });
    assert_eq!(server.room_metrics.too_slow.read(), 1);
    drop(slow);
}

#[test]
fn a_full_room_and_a_full_server_refuse_with_1013() {
    let limits = RoomLimits { room_size: 2, max_peers: 3, ..RoomLimits::default() };
    let server = TestServer::with_rooms(Default::default(), limits);
    let _inside =
        [RoomPeer::join(&server, "room=a"), RoomPeer::join(&server, "room=a"), RoomPeer::join(&server, "room=b")];
    for room in ["a", "b"] {
        let mut socket = connect(server.address(), &format!("room={room}"));
        let error = receive(&mut socket);
        assert_eq!((&error["type"], &error["payload"]["code"]), (&json!("error"), &json!("room-full")));
        let Message::Close(Some(frame)) = socket.read().unwrap() else { panic!("no close frame") };
        assert_eq!(frame.code, CloseCode::Again);
    }
    assert_eq!(server.room_metrics.refused.read(), 2);
    let status = server.ask("GET", "/api/status", "", b"").json();
    assert_eq!((&status["rooms"]["rooms"], &status["rooms"]["peers"]), (&json!(2), &json!(3)));
}

#[test]
fn a_peer_that_does_not_answer_pings_is_closed() {
    let (ping_interval, silence_timeout) = (Duration::from_millis(100), Duration::from_millis(400));
    let limits = RoomLimits { ping_interval, silence_timeout, reservation: Duration::ZERO, ..RoomLimits::default() };
    let server = TestServer::with_rooms(Default::default(), limits);
    let mut witness = RoomPeer::join(&server, "");
    let silent = RoomPeer::join(&server, "");
    assert_eq!(witness.receive_type(), "new-peer");
    // The witness answers pings by reading.
    assert_eq!(witness.receive(), about_peer("peer-disconnect", &silent.id));
    witness.socket.get_ref().set_read_timeout(Some(silence_timeout * 2)).unwrap();
    let received = witness.socket.read();
    assert!(matches!(received, Ok(Message::Ping(_))), "{received:?}");
}
