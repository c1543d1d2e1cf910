//! One visitor, behind a proxy or not, that takes all that it can get.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::loopback_client::connect;
use crate::harness::room_peer::RoomPeer;
use crate::stress::server_under_load::{ServerUnderLoad, WARM_UP_CONNECTIONS};

const PROXY: Ipv4Addr = Ipv4Addr::new(127, 9, 0, 1);

/// Asks for a WebSocket through the proxy, in the name of this visitor; the first bytes of the response.
fn open_through_proxy(port: u16, visitor: &str, room: usize) -> (TcpStream, String) {
    let mut stream = connect(port, PROXY).unwrap();
    write!(
        stream,
        "GET /ws?room=p{room} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: {visitor}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    let status = String::from_utf8_lossy(&status).into_owned();
    (stream, status)
}

#[test]
fn three_thousand_websockets_of_one_visitor_behind_a_proxy() {
    let proxy = PROXY.to_string();
    let server =
        ServerUnderLoad::start(&["--trust-proxy", &proxy, "--connections-per-second", "10000"], WARM_UP_CONNECTIONS);
    let port = server.program.port;
    let clients: Vec<_> = (0..3_000).map(|n| open_through_proxy(port, "198.51.100.9", n / 16)).collect();
    let of = |status: &str| clients.iter().filter(|(_, it)| it == status).count();
    assert_eq!((of("HTTP/1.1 101"), of("HTTP/1.1 429")), (1_000, 2_000));
    assert_eq!(server.program.status()["rooms"]["peers"], 1_000);
    assert_eq!(open_through_proxy(port, "198.51.100.10", 1_000).1, "HTTP/1.1 101", "another visitor");
    // A visitor that has a /56 of IPv6 gets four times as much and no more.
    let of_56 = (0..5_000).map(|n| open_through_proxy(port, &format!("2001:db8:0:{:02x}::1", n % 256), 2_000 + n / 16));
    let of_56: Vec<_> = of_56.collect();
    assert_eq!(of_56.iter().filter(|(_, status)| status == "HTTP/1.1 101").count(), 4_000);
    drop((clients, of_56));
    server.assert_recovers();
}

const ROOMS: usize = 60;
const DEAF: usize = 15;

#[test]
fn nine_hundred_peers_of_one_address_that_read_nothing() {
    let server = ServerUnderLoad::start(&["--connections-per-second", "10000"], WARM_UP_CONNECTIONS);
    server.assert_recovers_twice((ROOMS * DEAF) as u64, send_to_deaf_peers);
}

fn send_to_deaf_peers(server: &ServerUnderLoad) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, server.program.port));
    let before = server.program.rss_kib();
    let senders: Vec<_> = (0..ROOMS)
        .map(|room| {
            let sender = RoomPeer::join_at(address, &format!("room=d{room}"));
            let deaf: Vec<_> = (0..DEAF).map(|_| RoomPeer::join_at(address, &format!("room=d{room}"))).collect();
            thread::spawn(move || send_offers(sender, &deaf))
        })
        .collect();
    let mut peak = 0;
    while !senders.iter().all(thread::JoinHandle::is_finished) {
        peak = peak.max(server.program.rss_kib());
        thread::sleep(Duration::from_millis(20));
    }
    println!("resident {before} KiB before, {peak} KiB at most");
    assert!(peak < before + 300 * 1024, "{before} KiB before, {peak} KiB at most");
}

fn send_offers(mut sender: RoomPeer, deaf: &[RoomPeer]) {
    let mut reader = sender.socket.get_ref().try_clone().unwrap();
    thread::spawn(move || while reader.read(&mut [0; 4_096]).is_ok_and(|count| count > 0) {});
    let begun = Instant::now();
    for nth in 0..450 {
        let target = &deaf[nth % deaf.len()].id;
        let offer = json!({"type": "offer", "targetId": target, "payload": {"sdp": "x".repeat(60_000)}});
        // It waits here when all peers of its address have sent too much.
        let sent = sender.socket.send(tungstenite::Message::text(offer.to_string()));
        if sent.is_err() || begun.elapsed() > Duration::from_secs(10) {
            break;
        }
    }
    // Its reader has the socket too.
    let _ = sender.socket.get_ref().shutdown(Shutdown::Both);
}

#[test]
fn errors_do_not_repeat_what_was_sent() {
    let server = ServerUnderLoad::start(&[], WARM_UP_CONNECTIONS);
    let before = server.program.rss_kib();
    let text = format!(r#"{{"type":"lock","payload":{{"locked":"{}"}}}}"#, "\u{7f}".repeat(65_000));
    let frame = [&[0x81, 0xfe][..], &(text.len() as u16).to_be_bytes(), &[0; 4], text.as_bytes()].concat();
    let peers: Vec<_> = (0..20).map(|n| server.join_room(n)).collect();
    let writers: Vec<_> = peers
        .into_iter()
        .map(|mut peer| {
            let frame = frame.clone();
            thread::spawn(move || {
                for _ in 0..32 {
                    peer.write_all(&frame).unwrap();
                }
                // All errors, and an answer to a ping: the connection is kept.
                peer.write_all(&[0x89, 0x81, 0, 0, 0, 0, b'!']).unwrap();
                let mut received = vec![];
                let count_of =
                    |received: &[u8], text: &[u8]| received.windows(text.len()).filter(|it| *it == text).count();
                while count_of(&received, b"bad-message") < 32 || count_of(&received, &[0x8a, 1, b'!']) == 0 {
                    let mut piece = [0; 4_096];
                    let count = peer.read(&mut piece).unwrap();
                    assert!(count > 0, "closed after {} bytes", received.len());
                    received.extend_from_slice(&piece[..count]);
                }
                received.len()
            })
        })
        .collect();
    for writer in writers {
        let received = writer.join().unwrap();
        assert!(received < 32 * 300 + 2_000, "{received} bytes for 32 errors");
    }
    let after = server.program.rss_kib();
    println!("resident {before} KiB before, {after} KiB after");
    assert!(after < before + 20 * 1024, "{before} KiB before, {after} KiB after");
    server.assert_recovers();
}
