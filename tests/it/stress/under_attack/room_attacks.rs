//! What a stranger can do with WebSockets, and with the lines that they cause in the log.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tungstenite::Message;

use crate::harness::loopback_client::{connect, join_room};
use crate::harness::room_peer::RoomPeer;
use crate::stress::hostile_clients::address;
use crate::stress::under_attack::listeners::ListenersUnderAttack;

const ATTACK_TIME: Duration = Duration::from_secs(8);

/// The rest of what arrives at a socket is read and thrown away.
fn drain(stream: &TcpStream) {
    let mut reader = stream.try_clone().unwrap();
    thread::spawn(move || while reader.read(&mut [0; 65_536]).is_ok_and(|count| count > 0) {});
}

fn run_all(clients: impl IntoIterator<Item = thread::JoinHandle<usize>>) -> usize {
    clients.into_iter().collect::<Vec<_>>().into_iter().map(|client| client.join().unwrap()).sum()
}

/// Messages of 64 KB whose error, quoted, would be several times as long.
#[test]
#[ignore = "measures the release build: make attack-test"]
fn messages_whose_errors_would_be_long() {
    let server = ListenersUnderAttack::start(&[]);
    let port = server.program.port;
    server.assert_withstands(|| {
        let text = format!(r#"{{"type":"lock","payload":{{"locked":"{}"}}}}"#, "\u{7f}".repeat(65_000));
        let frame = [&[0x81, 0xfe][..], &(text.len() as u16).to_be_bytes(), &[0; 4], text.as_bytes()].concat();
        let clients = (0..5).map(|n| {
            let frame = frame.clone();
            thread::spawn(move || {
                let (begun, mut sent) = (Instant::now(), 0);
                while begun.elapsed() < ATTACK_TIME {
                    let mut peer = join_room(port, address(n), &format!("e{n}"));
                    drain(&peer);
                    // Until it is closed for sending too much.
                    while begun.elapsed() < ATTACK_TIME && peer.write_all(&frame).is_ok() {
                        sent += 1;
                    }
                    let _ = peer.shutdown(Shutdown::Both);
                }
                sent
            })
        });
        println!("{} messages", run_all(clients));
    });
}

/// A peer that sends empty fragments without end, and others that send it offers of 60 KB meanwhile.
#[test]
#[ignore = "measures the release build: make attack-test"]
fn empty_fragments_while_offers_wait_for_their_sender() {
    let server = ListenersUnderAttack::start(&["--connections-per-second", "10000"]);
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, server.program.port));
    server.assert_withstands(|| {
        let clients = (0..4).map(|n| {
            thread::spawn(move || {
                let (begun, mut sent) = (Instant::now(), 0);
                while begun.elapsed() < ATTACK_TIME {
                    let room = format!("room=f{n}");
                    let flooding = RoomPeer::join_at(at, &room);
                    let mut speaking = RoomPeer::join_at(at, &room);
                    drain(speaking.socket.get_ref());
                    let mut stream = flooding.socket.get_ref().try_clone().unwrap();
                    let flood = thread::spawn(move || {
                        let _ = stream.write_all(&[0x01, 0x80, 0, 0, 0, 0]);
                        let fragments = [0x00, 0x80, 0, 0, 0, 0].repeat(20_000);
                        while begun.elapsed() < ATTACK_TIME && stream.write_all(&fragments).is_ok() {}
                    });
                    let payload = json!({"sdp": "x".repeat(60_000)});
                    let offer = json!({"type": "offer", "targetId": flooding.id, "payload": payload}).to_string();
                    while !flood.is_finished() && speaking.socket.send(Message::text(offer.clone())).is_ok() {
                        sent += 1;
                    }
                    for peer in [&flooding, &speaking] {
                        let _ = peer.socket.get_ref().shutdown(Shutdown::Both);
                    }
                    flood.join().unwrap();
                }
                sent
            })
        });
        println!("{} offers", run_all(clients));
    });
}

/// One visitor behind a trusted proxy that opens as many WebSockets as it can.
#[test]
#[ignore = "measures the release build: make attack-test"]
fn websockets_of_one_visitor_behind_a_proxy() {
    const WEBSOCKETS: usize = 3_000;
    const PROXY: Ipv4Addr = Ipv4Addr::new(127, 2, 0, 9);
    let proxy = PROXY.to_string();
    let server = ListenersUnderAttack::start(&["--trust-proxy", &proxy, "--connections-per-second", "10000"]);
    let port = server.program.port;
    server.assert_withstands_twice(|| {
        let open = |n: usize| {
            let mut stream = connect(port, PROXY).unwrap();
            write!(
                stream,
                "GET /ws?room=p{} HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 198.51.100.9\r\nUpgrade: websocket\r\n\
                 Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                n / 16
            )
            .unwrap();
            let mut status = [0; 12];
            stream.read_exact(&mut status).unwrap();
            (status == *b"HTTP/1.1 101").then_some(stream)
        };
        let opened: Vec<TcpStream> = (0..WEBSOCKETS).filter_map(open).collect();
        println!("{} of {WEBSOCKETS} were opened", opened.len());
        assert!(opened.len() <= 1_000);
    });
}

/// Peers come and go, each with lines in the log, while nobody reads the log.
#[test]
#[ignore = "measures the release build: make attack-test"]
fn a_log_that_nobody_reads() {
    const LINES: usize = 3_000;
    let server = ListenersUnderAttack::start(&["--connections-per-second", "10000"]);
    let port = server.program.port;
    server.assert_withstands(|| {
        let unread = server.program.stop_reading_log();
        for n in 0..LINES {
            let peer = join_room(port, address(n), &format!("l{}", n % 50));
            let _ = peer.shutdown(Shutdown::Both);
        }
        thread::sleep(Duration::from_secs(2));
        drop(unread);
    });
    assert!(server.program.logged("log lines dropped").is_some(), "no line was dropped, or nobody was told");
}
