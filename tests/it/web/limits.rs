//! The limits of bytes, time and connections, and the response to a client that exceeds one.

use std::fs;
use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use roomtone::os::file_limits;
use roomtone::web::transport::limits::Limits;

use crate::harness::http_client::{HttpClient, code};
use crate::harness::server::Server;
use crate::harness::wait::{SHORT, wait_until};

#[test]
fn a_head_over_16_kib_is_answered_431() {
    let server = Server::open();
    let head = |bytes: usize| {
        let bare = "GET /healthz HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET /healthz HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(bytes - bare))
    };
    let mut client = server.client();
    client.send(head(16 * 1024).as_bytes());
    assert_eq!(client.response("GET").status, 200, "16 KiB are allowed");
    assert_eq!(server.refused(head(16 * 1024 + 1).as_bytes()).error(), code(431, "head-too-large"));
    // One that never ends is not read for ever.
    assert_eq!(server.refused(&[b'x'; 200_000]).error(), code(431, "head-too-large"));
}

#[test]
fn a_body_over_64_kib_is_answered_413() {
    let server = Server::open();
    let sdp = "Content-Type: text/plain\r\n";
    assert_eq!(server.ask("POST", "/whep", sdp, &[b'x'; 65536]).status, 415, "64 KiB are allowed");
    let with_length = |length: &str| format!("POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    for length in ["65537", "1000000000000", "99999999999999999999999999"] {
        assert_eq!(server.refused(with_length(length).as_bytes()).error(), code(413, "body-too-large"), "{length}");
    }
    let mut whole = with_length("100000").into_bytes();
    whole.extend_from_slice(&[b'x'; 100_000]);
    assert_eq!(server.refused(&whole).error(), code(413, "body-too-large"));
    let chunked = b"POST /whep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n";
    assert_eq!(server.refused(chunked).error(), code(413, "body-too-large"));
}

#[test]
fn a_client_that_is_still_sending_can_read_the_refusal() {
    let server = Server::open();
    let mut client = server.client();
    client.send(b"POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n");
    assert_eq!(client.response("POST").error(), code(413, "body-too-large"));
    for _ in 0..50 {
        client.send(&[b'x'; 10_000]);
    }
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.expect_end();
}

#[test]
fn a_head_that_arrives_byte_by_byte_is_cut_off_in_time() {
    let server = Server::with(Limits { head_timeout: SHORT, ..Limits::default() });
    let mut client = server.client();
    let begun = Instant::now();
    // A byte now and then must not buy more time.
    let mut writer = client.stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        for byte in b"GET / HTTP/1.1\r\nHost: ".iter().chain([b'x'; 1000].iter()) {
            if writer.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(SHORT / 10);
        }
        panic!("the server reads for ever");
    });
    assert_eq!(client.response("GET").error(), code(408, "head-timeout"));
    let after = begun.elapsed();
    assert!(after >= SHORT && after < SHORT * 5, "after {after:?}");
    client.stream.shutdown(Shutdown::Both).unwrap();
    sending.join().unwrap();
}

#[test]
fn a_client_that_sends_nothing_is_closed_without_a_response() {
    let server = Server::with(Limits { head_timeout: SHORT, ..Limits::default() });
    server.client().expect_end();
}

#[test]
fn a_body_that_does_not_arrive_is_answered_408() {
    let server = Server::with(Limits { body_timeout: SHORT, ..Limits::default() });
    let with_length = b"POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
    assert_eq!(server.refused(with_length).error(), code(408, "body-timeout"));
    let chunked = b"POST /whep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    assert_eq!(server.refused(chunked).error(), code(408, "body-timeout"));
}

#[test]
fn a_client_that_stops_reading_is_dropped() {
    let server = Server::with(Limits { write_timeout: SHORT, ..Limits::default() });
    // More than both kernels' buffers take.
    fs::write(server.www().join("large.txt"), vec![b'x'; 32 * 1024 * 1024]).unwrap();
    let mut client = server.client();
    client.ask("GET", "/large.txt", "", b"");
    wait_until("the connection is counted", || server.metrics.connections.read() == 1);
    wait_until("the connection is dropped", || server.metrics.connections.read() == 0);
    // One that reads gets all of it.
    assert_eq!(server.ask("GET", "/large.txt", "", b"").body.len(), 32 * 1024 * 1024);
}

#[test]
fn over_the_limit_of_connections_new_ones_are_refused_with_a_time_to_retry() {
    let server = Server::with(Limits { max_connections: 3, ..Limits::default() });
    let held: Vec<HttpClient> = (0..3).map(|_| server.client()).collect();
    wait_until("three are in", || server.metrics.connections.read() == 3);
    let mut fourth = server.client();
    let response = fourth.response("GET");
    assert_eq!(response.error(), code(503, "too-many-connections"));
    assert!(response.field("retry-after").is_some());
    fourth.expect_end();
    assert_eq!(server.metrics.refused.read(), 1);
    drop(held);
    wait_until("they have left", || server.metrics.connections.read() == 0);
    assert_eq!(server.ask("GET", "/healthz", "", b"").status, 200);
}

#[test]
fn the_connections_of_one_address_and_their_rate_are_limited() {
    let server = Server::with(Limits { max_connections_per_address: 3, ..Limits::default() });
    let held: Vec<HttpClient> = (0..3).map(|_| server.client()).collect();
    wait_until("three are in", || server.metrics.connections.read() == 3);
    let mut fourth = server.client();
    let response = fourth.response("GET");
    assert_eq!(response.error(), code(429, "too-many-from-address"));
    assert!(response.field("retry-after").is_some());
    fourth.expect_end();
    drop(held);
    wait_until("they have left", || server.metrics.connections.read() == 0);
    assert_eq!(server.ask("GET", "/healthz", "", b"").status, 200);

    let server = Server::with(Limits { connections_per_s: 1, ..Limits::default() });
    let statuses: Vec<u16> = (0..7).map(|_| server.client().first_status()).collect();
    assert_eq!(statuses[..5], [200; 5], "a burst is fine");
    assert!(statuses[5..].contains(&429), "{statuses:?}");
    wait_until("it is let in again", || server.client().first_status() == 200);
}

#[test]
fn an_error_never_repeats_a_long_value() {
    let server = Server::open();
    let filler = "\u{7f}".repeat(15_000);
    let json = format!(r#"{{"sdp":1,"type":"{filler}"}}"#);
    let json_twice = format!(r#"{{"sdp":[],"sdp":"{filler}"}}"#);
    let type_json = "Content-Type: application/json\r\n";
    let long_method = "M".repeat(15_000);
    let responses = [
        server.ask("POST", "/offer", type_json, json.as_bytes()),
        server.ask("POST", "/offer", type_json, json_twice.as_bytes()),
        server.ask("POST", "/offer", type_json, format!(r#""{filler}""#).as_bytes()),
        server.ask(&long_method, "/healthz", "", b""),
        server.ask("GET", &format!("/ws?room={}", "x".repeat(15_000)), "", b""),
        server.ask("GET", &format!("/whep/{}", "x".repeat(15_000)), "", b""),
    ];
    for response in responses {
        let (status, _) = response.error();
        let error = response.json();
        let message = error["error"]["message"].as_str().unwrap();
        assert!((400..500).contains(&status) && message.chars().count() <= 200, "{status} {message}");
        assert!(message.matches("MM").count() <= 20 && message.matches("7f").count() <= 40, "{message}");
    }
}

#[test]
fn two_thousand_clients_that_send_one_byte_and_wait_delay_no_other() {
    let limit = file_limits::raise_limit().map_or(1024, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    // Both ends are in this process, and other tests need some too.
    let count = 2000.min(limit.saturating_sub(1000) / 2);
    assert!(count > 0, "this process may open {limit} files only");
    let server = Server::open();
    let mut slow = Vec::new();
    for _ in 0..count {
        let mut client = server.client();
        client.send(b"G");
        slow.push(client);
    }
    wait_until("all are in", || server.metrics.connections.read() == count as u64);
    let begun = Instant::now();
    assert_eq!(server.ask("GET", "/healthz", "", b"").body, b"ok");
    assert!(begun.elapsed() < Duration::from_secs(2), "answered after {:?}", begun.elapsed());
}
