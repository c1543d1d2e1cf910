//! Several requests on one connection.

use std::thread;
use std::time::Instant;

use roomtone::web::transport::limits::Limits;

use crate::harness::server::Server;
use crate::harness::wait::{SHORT, wait_until};

#[test]
fn a_connection_is_kept_for_the_next_request_and_requests_may_be_pipelined() {
    let server = Server::open();
    let mut client = server.client();
    let chunked = "POST /whep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let lengthy = "POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let get = "\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let last = "GET http://a/healthz HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n";
    client.send(format!("{chunked}{get}{lengthy}{get}{last}").as_bytes());
    let statuses: Vec<u16> = (0..5).map(|_| client.response("GET").status).collect();
    assert_eq!(statuses, [415, 200, 415, 200, 200]);
    client.expect_end();
    wait_until("the last answer is counted", || server.metrics.requests.read() == 5);
    assert_eq!(server.metrics.accepted.read(), 1);
}

#[test]
fn an_http_1_0_client_gets_its_response_and_the_end_of_the_connection() {
    let server = Server::open();
    let mut client = server.client();
    client.send(b"GET /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(client.response("GET").body, b"ok");
    client.expect_end();
}

#[test]
fn between_requests_a_client_may_be_idle_for_longer_than_a_head_may_take() {
    let server = Server::with(Limits { head_timeout: SHORT, idle_timeout: SHORT * 4, ..Limits::default() });
    let mut client = server.client();
    client.ask("GET", "/healthz", "", b"");
    assert_eq!(client.response("GET").status, 200);
    thread::sleep(SHORT * 2);
    client.ask("GET", "/healthz", "", b"");
    assert_eq!(client.response("GET").status, 200);
    let begun = Instant::now();
    client.expect_end();
    assert!(begun.elapsed() >= SHORT * 3, "closed after {:?}", begun.elapsed());
}
