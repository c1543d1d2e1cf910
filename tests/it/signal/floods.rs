//! Frames without end and messages that are too many, over real WebSockets: whoever sends them is closed with a reason or
//! read more slowly, and is served meanwhile as the others are.

use std::io::Write;
use std::net::TcpStream;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use roomtone::signal::limits::RoomLimits;
use serde_json::json;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::room_peer::RoomPeer;
use crate::harness::server::Server as TestServer;

/// An empty fragment that begins a text message, and one that continues it.
const BEGINNING: [u8; 6] = [0x01, 0x80, 0, 0, 0, 0];
const FRAGMENT: [u8; 6] = [0x00, 0x80, 0, 0, 0, 0];
const PING: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];
const PONG: [u8; 6] = [0x8a, 0x80, 0, 0, 0, 0];
const EMPTY_TEXT: [u8; 6] = [0x81, 0x80, 0, 0, 0, 0];

/// Sends a frame again and again on a peer's connection until that ends.
fn flood(peer: &RoomPeer, begin: &[u8], frame: [u8; 6]) -> JoinHandle<()> {
    let mut stream: TcpStream = peer.socket.get_ref().try_clone().unwrap();
    stream.write_all(begin).unwrap();
    let frames = frame.repeat(10_000);
    thread::spawn(move || while stream.write_all(&frames).is_ok() {})
}

/// What one peer may send is no limit.
fn without_budgets() -> RoomLimits {
    let (messages_per_s, address_messages_per_s) = (50_000_000, 10_000_000);
    RoomLimits { messages_per_s, message_burst: 200_000_000, address_messages_per_s, ..RoomLimits::default() }
}

#[test]
fn a_client_that_sends_fragments_without_end_is_still_sent_messages_and_pings() {
    let ping_interval = Duration::from_millis(300);
    let server = TestServer::with_rooms(Default::default(), RoomLimits { ping_interval, ..without_budgets() });
    let mut witness = RoomPeer::join(&server, "");
    let mut peer = RoomPeer::join(&server, "");
    witness.receive();
    let flooding = flood(&peer, &BEGINNING, FRAGMENT);
    thread::sleep(Duration::from_millis(200));
    for n in 0..3 {
        let begun = Instant::now();
        witness.send(&json!({"type": "offer", "targetId": peer.id, "payload": {"sdp": n}}));
        assert_eq!(peer.receive()["payload"]["sdp"], n);
        assert!(begun.elapsed() < Duration::from_secs(2), "after {:?}", begun.elapsed());
    }
    while !matches!(peer.socket.read().unwrap(), Message::Ping(_)) {}
    peer.drop_connection();
    flooding.join().unwrap();
}

#[test]
fn a_ping_is_answered_to_whoever_sent_it() {
    let server = TestServer::open();
    let (mut ada, mut ben) = (RoomPeer::join(&server, ""), RoomPeer::join(&server, ""));
    ada.receive();
    for _ in 0..3 {
        ada.send(&json!({"type": "ping", "payload": {}}));
        assert_eq!(ada.receive(), json!({"type": "pong", "payload": {}}));
    }
    ben.receives_nothing();
}

/// A client that writes pings as fast as it can.
#[test]
fn pings_without_end_are_too_many_messages() {
    let server = TestServer::open();
    let mut peer = RoomPeer::join(&server, "");
    let mut stream: TcpStream = peer.socket.get_ref().try_clone().unwrap();
    let text = br#"{"type":"ping","payload":{}}"#;
    let frame = [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], &text[..]].concat();
    let flooding = thread::spawn(move || while stream.write_all(&frame.repeat(1_000)).is_ok() {});
    assert_eq!(peer.close_code(), CloseCode::Policy);
    flooding.join().unwrap();
}

#[test]
fn a_client_that_sends_too_many_frames_is_closed_with_1008() {
    let server = TestServer::open();
    let mut witness = RoomPeer::join(&server, "");
    for (begin, frame) in [(&BEGINNING[..], FRAGMENT), (&[], PING), (&[], PONG), (&[], EMPTY_TEXT)] {
        let mut peer = RoomPeer::join(&server, "");
        witness.receive();
        let flooding = flood(&peer, begin, frame);
        let frame_of_close = loop {
            match peer.socket.read().unwrap() {
                Message::Text(text) if frame == EMPTY_TEXT && text.contains("bad-json") => {}
                Message::Text(text) => assert!(text.contains("too-many-messages"), "{text}"),
                Message::Close(frame) => break frame.unwrap(),
                other => assert!(matches!(other, Message::Pong(_)), "{other:?}"),
            }
        };
        assert_eq!(frame_of_close.code, CloseCode::Policy, "{frame:?}");
        drop(peer);
        flooding.join().unwrap();
        assert_eq!(witness.receive()["type"], "peer-disconnect");
    }
}

#[test]
fn a_long_message_in_many_fragments_is_fine() {
    let server = TestServer::open();
    let mut witness = RoomPeer::join(&server, "");
    let peer = RoomPeer::join(&server, "");
    witness.receive();
    let text = json!({"type": "offer", "targetId": witness.id, "payload": {"sdp": "x".repeat(60_000)}}).to_string();
    // Each of 16 bytes, which is absurd, and still within the burst.
    let mut frames = vec![];
    let count = text.len().div_ceil(16);
    for (n, piece) in text.as_bytes().chunks(16).enumerate() {
        let opcode = if n == 0 { 1 } else { 0 };
        let fin = if n + 1 == count { 0x80 } else { 0 };
        frames.extend_from_slice(&[fin | opcode, 0x80 | piece.len() as u8, 0, 0, 0, 0]);
        frames.extend_from_slice(piece);
    }
    peer.socket.get_ref().write_all(&frames).unwrap();
    assert_eq!(witness.receive()["payload"]["sdp"].as_str().unwrap().len(), 60_000);
}

#[test]
fn peers_of_one_address_that_send_too_much_together_are_read_more_slowly() {
    // 500 at once. A turn of reading ends after 64 KiB, here 32 messages, and is paid for at its end.
    let server =
        TestServer::with_rooms(Default::default(), RoomLimits { address_messages_per_s: 50, ..RoomLimits::default() });
    let mut peers: Vec<RoomPeer> = (0..2).map(|n| RoomPeer::join(&server, &format!("room=r{n}"))).collect();
    let begun = Instant::now();
    for n in 0..350 {
        for peer in &mut peers {
            peer.send(&json!({"type": "chat", "payload": {"text": format!("{n:02000}")}}));
        }
    }
    for peer in &mut peers {
        for n in 0..350 {
            assert_eq!(peer.receive()["payload"]["text"], format!("{n:02000}"));
        }
    }
    let took = begun.elapsed();
    let least = Duration::from_millis((700 - 500 - 2 * 32) * 1_000 / 50);
    assert!(took > least && took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn a_client_that_sends_and_does_not_read_is_closed_in_time() {
    let silence_timeout = Duration::from_millis(600);
    let server = TestServer::with_rooms(
        Default::default(),
        RoomLimits {
            silence_timeout,
            ping_interval: silence_timeout / 4,
            reservation: Duration::ZERO,
            ..without_budgets()
        },
    );
    let deaf = RoomPeer::join(&server, "");
    let mut stream: TcpStream = deaf.socket.get_ref().try_clone().unwrap();
    // It sends a pong now and then, so it is not silent.
    let alive = thread::spawn(move || {
        while stream.write_all(&PONG).is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let mut other = RoomPeer::join(&server, "");
    let begun = Instant::now();
    // As much as the buffers between both take, and no more messages than may wait.
    let big = json!({"type": "offer", "targetId": deaf.id, "payload": {"sdp": "x".repeat(60_000)}});
    for _ in 0..60 {
        other.send(&big);
    }
    while other.receive_type() != "peer-disconnect" {}
    assert!(begun.elapsed() < Duration::from_secs(20), "after {:?}", begun.elapsed());
    assert_eq!(server.room_metrics.too_slow.read(), 0, "it is closed for another reason");
    alive.join().unwrap();
}
