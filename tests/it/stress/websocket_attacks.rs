//! WebSocket frames that break RFC 6455, and frames without end.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::loopback_client::connect;
use crate::stress::hostile_clients::address;
use crate::stress::server_under_load::{ServerUnderLoad, WARM_UP_CONNECTIONS};

#[test]
fn invalid_websocket_frames_and_floods_of_frames() {
    let server = ServerUnderLoad::start(&[], WARM_UP_CONNECTIONS);
    send_invalid_frames(&server);
    send_frames_without_end(&server);
    server.assert_recovers();
}

fn send_invalid_frames(server: &ServerUnderLoad) {
    let frames: [(&str, Vec<u8>); 7] = [
        ("not masked", vec![0x81, 5, b'h', b'e', b'l', b'l', b'o']),
        ("reserved bits", vec![0xf1, 0x80, 0, 0, 0, 0]),
        ("an unknown opcode", vec![0x83, 0x80, 0, 0, 0, 0]),
        ("a length of 2^63", vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("a long control frame", [&[0x89, 0xfe, 0x01, 0x00, 0, 0, 0, 0][..], &[0; 256]].concat()),
        ("a continuation of no message", vec![0x80, 0x80, 0, 0, 0, 0]),
        ("a close code of one byte", vec![0x88, 0x81, 0, 0, 0, 0, 3]),
    ];
    for round in 0..300 {
        let (what, frame) = &frames[round % frames.len()];
        let mut stream = server.join_room(round);
        stream.write_all(frame).unwrap();
        let mut rest = vec![];
        let _ = stream.read_to_end(&mut rest);
        assert!(!rest.is_empty(), "{what}: closed without a frame");
    }
}

/// Two clients send fragments of one message without end, two send pings and read no pong. Each is served again afterwards.
fn send_frames_without_end(server: &ServerUnderLoad) {
    let port = server.program.port;
    let clients: Vec<_> = (0..4)
        .map(|n| {
            let mut stream = server.join_room(1_000 + n);
            thread::spawn(move || {
                let frame = if n % 2 == 0 { [0x00, 0x81, 0, 0, 0, 0, b'a'] } else { [0x89, 0x81, 0, 0, 0, 0, b'p'] };
                if n % 2 == 0 {
                    stream.write_all(&[0x01, 0x81, 0, 0, 0, 0, b'a']).unwrap();
                }
                let frames = frame.repeat(1_000);
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_secs(3) && stream.write_all(&frames).is_ok() {}
                get_a_file(port, address(2_000 + n))
            })
        })
        .collect();
    for client in clients {
        assert!(client.join().unwrap().contains(" 200 "));
    }
}

fn get_a_file(port: u16, from: Ipv4Addr) -> String {
    let mut stream = connect(port, from).unwrap();
    stream.write_all(b"GET /listen.html HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    std::io::read_to_string(stream).unwrap()
}
