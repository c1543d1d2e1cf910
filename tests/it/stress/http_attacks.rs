//! Attacks by TCP connections and HTTP requests that cost memory or a thread.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::loopback_client::{IO_TIMEOUT, connect};
use crate::stress::hostile_clients::{address, stalled_reader};
use crate::stress::server_under_load::{ServerUnderLoad, WARM_UP_CONNECTIONS};

#[test]
fn three_thousand_request_heads_that_never_end() {
    let server = ServerUnderLoad::start(&[], WARM_UP_CONNECTIONS);
    let mut clients: Vec<TcpStream> = (0..3_000).map(|n| server.connect(n)).collect();
    for (n, stream) in clients.iter_mut().enumerate() {
        stream.write_all(&b"GET / HTTP/1.1\r\nHost"[..1 + n % 19]).unwrap();
    }
    assert!(server.connections() >= 3_000);
    // They are still connected while the new listener is served; the time limit for their heads passes later.
    server.assert_recovers();
    for stream in &mut clients {
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.contains(" 408 "), "{response}");
    }
}

#[test]
fn three_thousand_clients_that_do_not_read_responses() {
    // Long enough for a busy machine to open all of them before the first one is disconnected.
    let server = ServerUnderLoad::start(&["--write-seconds", "10"], WARM_UP_CONNECTIONS);
    server.assert_recovers_twice(3_000, stall_until_disconnected);
}

fn stall_until_disconnected(server: &ServerUnderLoad) {
    let mut clients: Vec<TcpStream> = (0..3_000).map(|n| stalled_reader(server.program.port, address(n))).collect();
    assert!(server.connections() >= 3_000);
    // The server first fills the buffers between it and each client, which takes a slow machine a while.
    let begun = Instant::now();
    while server.connections() > 100 {
        assert!(begun.elapsed() < Duration::from_secs(150), "the clients are not disconnected");
        thread::sleep(Duration::from_millis(100));
    }
    for stream in &mut clients {
        let _ = stream.set_read_timeout(Some(IO_TIMEOUT));
        // What was on its way, then the end.
        match stream.read_to_end(&mut vec![]) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
        }
    }
}

#[test]
fn a_hundred_thousand_connections_that_are_reset_at_once() {
    let server = ServerUnderLoad::start(&[], WARM_UP_CONNECTIONS);
    let port = server.program.port;
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            thread::spawn(move || {
                for n in 0..25_000 {
                    let Ok(stream) = connect(port, address(thread * 6_000 + n % 6_000)) else { continue };
                    // A reset, so that no port stays in use for minutes.
                    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let accepted = server.program.status()["door"]["accepted"].as_u64().unwrap();
    assert!(accepted > 50_000, "only {accepted} were accepted");
    server.assert_recovers();
}

#[test]
fn request_heads_of_a_gibibyte() {
    let server = ServerUnderLoad::start(&[], WARM_UP_CONNECTIONS);
    for n in 0..4 {
        let mut stream = server.connect(n);
        stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
        let header = [b"X: ".as_slice(), &[b'a'; 64 * 1024], b"\r\n"].concat();
        let mut sent = 0;
        while sent < 1 << 30 {
            match stream.write_all(&header) {
                Ok(()) => sent += header.len(),
                Err(_) => break,
            }
        }
        assert!(sent < 64 << 20, "{sent} bytes of a head were taken");
    }
    server.assert_recovers();
}
