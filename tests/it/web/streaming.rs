//! Streamed responses, from end to end: paths are added to a server whose handlers answer with streams that the tests
//! feed.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use roomtone::access::token_store::TokenStore;
use roomtone::web::handlers::authorize::Authorizer;
use roomtone::web::handlers::context::AddedPath;
use roomtone::web::http::body::{BodyStream, Next};
use roomtone::web::http::message::Response;
use roomtone::web::transport::limits::Limits;
use rustls::version::TLS13;

use crate::harness::http_client::{HttpClient, HttpResponse, code};
use crate::harness::server::{Server, Setup};
use crate::harness::wait::{PATIENCE, SHORT, wait_until};
use crate::web::tls::{Secure, until_end};

/// What the test has for every open stream at `/fed`.
#[derive(Clone, Default)]
struct Feed(Arc<Inner>);

#[derive(Default)]
struct Inner {
    streams: Mutex<Vec<Fed>>,
    open: AtomicUsize,
    /// How often any stream was asked.
    asked: AtomicUsize,
}

/// One stream's pieces, None being its end, and the thread to wake for them.
struct Fed {
    pieces: Arc<Mutex<VecDeque<Option<Vec<u8>>>>>,
    thread: Thread,
}

struct FedStream {
    feed: Feed,
    pieces: Arc<Mutex<VecDeque<Option<Vec<u8>>>>>,
}

impl Feed {
    fn open(&self) -> Box<dyn BodyStream> {
        let pieces = Arc::default();
        self.0.streams.lock().unwrap().push(Fed { pieces: Arc::clone(&pieces), thread: thread::current() });
        self.0.open.fetch_add(1, Ordering::SeqCst);
        Box::new(FedStream { feed: self.clone(), pieces })
    }

    fn send(&self, piece: Option<&[u8]>) {
        for stream in &*self.0.streams.lock().unwrap() {
            stream.pieces.lock().unwrap().push_back(piece.map(<[u8]>::to_vec));
            stream.thread.unpark();
        }
    }

    fn open_streams(&self) -> usize {
        self.0.open.load(Ordering::SeqCst)
    }
}

impl BodyStream for FedStream {
    fn next(&mut self, buffer: &mut [u8], _: Instant) -> Next {
        self.feed.0.asked.fetch_add(1, Ordering::SeqCst);
        match self.pieces.lock().unwrap().pop_front() {
            None => Next::Wait(None),
            Some(None) => Next::End,
            Some(Some(piece)) => {
                buffer[..piece.len()].copy_from_slice(&piece);
                Next::Bytes(piece.len())
            }
        }
    }
}

impl Drop for FedStream {
    fn drop(&mut self) {
        self.feed.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Always has more.
struct Endless;

impl BodyStream for Endless {
    fn next(&mut self, buffer: &mut [u8], _: Instant) -> Next {
        buffer.fill(b'x');
        Next::Bytes(buffer.len())
    }
}

/// One byte at each time-out, without being woken.
struct Ticking(Instant);

impl BodyStream for Ticking {
    fn next(&mut self, buffer: &mut [u8], now: Instant) -> Next {
        if now < self.0 {
            return Next::Wait(Some(self.0));
        }
        self.0 = now + SHORT / 4;
        buffer[0] = b'.';
        Next::Bytes(1)
    }
}

fn added(feed: &Feed) -> Vec<AddedPath> {
    let path = |path: &str, open: Box<dyn Fn() -> Box<dyn BodyStream> + Send + Sync>| AddedPath {
        path: path.to_owned(),
        handler: Box::new(move |_| Response::new(200).stream("text/plain", open())),
    };
    let feed = feed.clone();
    vec![
        path("/fed", Box::new(move || feed.open())),
        path("/endless", Box::new(|| Box::new(Endless))),
        path("/ticking", Box::new(|| Box::new(Ticking(Instant::now())))),
    ]
}

fn started(limits: Limits) -> (Server, Feed) {
    let feed = Feed::default();
    (Server::start(Setup { limits, added: added(&feed), ..Setup::default() }), feed)
}

/// Asks for `/fed`, and waits until its stream is open.
fn open(server: &Server, feed: &Feed, version: &str) -> (HttpClient, HttpResponse) {
    let before = feed.open_streams();
    let mut client = server.client();
    client.send(format!("GET /fed HTTP/{version}\r\nHost: localhost\r\n\r\n").as_bytes());
    let response = client.response_head();
    assert_eq!((response.status, response.field("content-type")), (200, Some("text/plain")));
    assert_eq!((response.field("connection"), response.field("content-length")), (Some("close"), None));
    wait_until("the stream is open", || feed.open_streams() == before + 1);
    (client, response)
}

fn expect(client: &mut HttpClient, bytes: &[u8]) {
    while client.input.len() < bytes.len() {
        assert_ne!(client.read(), 0, "the stream ends early: {:?}", String::from_utf8_lossy(&client.input));
    }
    let got: Vec<u8> = client.input.drain(..bytes.len()).collect();
    assert_eq!(got, bytes);
}

#[test]
fn each_piece_arrives_at_once_as_a_chunk_and_the_end_is_marked() {
    let (server, feed) = started(Limits::default());
    let (mut client, response) = open(&server, &feed, "1.1");
    assert_eq!(response.field("transfer-encoding"), Some("chunked"));
    for piece in ["one", "two", "three"] {
        feed.send(Some(piece.as_bytes()));
        expect(&mut client, format!("{:x}\r\n{piece}\r\n", piece.len()).as_bytes());
    }
    feed.send(None);
    expect(&mut client, b"0\r\n\r\n");
    client.expect_end();
    wait_until("the stream is dropped", || feed.open_streams() == 0);
}

#[test]
fn for_http_1_0_the_body_ends_with_the_connection() {
    let (server, feed) = started(Limits::default());
    let (mut client, response) = open(&server, &feed, "1.0");
    assert_eq!(response.field("transfer-encoding"), None);
    feed.send(Some(b"one"));
    expect(&mut client, b"one");
    feed.send(Some(b"two"));
    feed.send(None);
    expect(&mut client, b"two");
    client.expect_end();
}

#[test]
fn a_stream_that_breaks_its_contract_does_not_look_complete() {
    let (server, feed) = started(Limits::default());
    let (mut client, _) = open(&server, &feed, "1.1");
    feed.send(Some(b""));
    // Neither a byte of an earlier piece nor the last chunk.
    client.expect_end();
    wait_until("the stream is dropped", || feed.open_streams() == 0);
}

#[test]
fn a_thread_that_has_nothing_to_send_sleeps() {
    let (server, feed) = started(Limits::default());
    let (mut client, _) = open(&server, &feed, "1.1");
    feed.send(Some(b"one"));
    expect(&mut client, b"3\r\none\r\n");
    thread::sleep(SHORT / 2);
    let asked = feed.0.asked.load(Ordering::SeqCst);
    thread::sleep(SHORT);
    assert!(feed.0.asked.load(Ordering::SeqCst) <= asked + 1, "the stream is polled");
}

#[test]
fn a_stream_is_asked_again_at_its_own_deadline() {
    let (server, _feed) = started(Limits::default());
    let mut client = server.client();
    client.ask("GET", "/ticking", "", b"");
    client.response_head();
    let begun = Instant::now();
    expect(&mut client, b"1\r\n.\r\n1\r\n.\r\n1\r\n.\r\n1\r\n.\r\n1\r\n.\r\n");
    assert!(begun.elapsed() >= SHORT * 9 / 10, "after {:?}", begun.elapsed());
}

#[test]
fn a_head_request_gets_the_fields_and_no_body_and_the_connection_goes_on() {
    let (server, feed) = started(Limits::default());
    let mut client = server.client();
    client.ask("HEAD", "/fed", "", b"");
    let head = client.response_head();
    assert_eq!((head.status, head.field("transfer-encoding")), (200, Some("chunked")));
    client.ask("GET", "/healthz", "", b"");
    assert_eq!(client.response("GET").body, b"ok");
    assert_eq!(feed.open_streams(), 0);
    assert_eq!(server.ask("OPTIONS", "/fed", "", b"").field("allow"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(server.ask("POST", "/fed", "", b"").error(), code(405, "method-not-allowed"));
}

#[test]
fn a_client_that_leaves_ends_the_stream_even_if_nothing_is_sent() {
    let (server, feed) = started(Limits::default());
    let (client, _) = open(&server, &feed, "1.1");
    drop(client);
    wait_until("the stream is dropped", || feed.open_streams() == 0);
    wait_until("the connection is closed", || server.metrics.connections.read() == 0);
}

#[test]
fn a_client_that_keeps_sending_is_disconnected() {
    let (server, feed) = started(Limits::default());
    let (mut client, _) = open(&server, &feed, "1.1");
    client.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    feed.send(Some(b"one"));
    expect(&mut client, b"3\r\none\r\n");
    let flooded = (0..100).try_for_each(|_| client.stream.write_all(&[b'x'; 10_000]));
    wait_until("the stream is dropped", || feed.open_streams() == 0);
    drop(flooded);
}

#[test]
fn a_slow_reader_is_disconnected_and_delays_no_other() {
    let (server, feed) = started(Limits { write_timeout: SHORT, ..Limits::default() });
    let mut slow = server.client();
    slow.ask("GET", "/endless", "", b"");
    slow.response_head();
    let (mut other, _) = open(&server, &feed, "1.1");
    let begun = Instant::now();
    while server.metrics.connections.read() == 2 {
        assert!(begun.elapsed() < PATIENCE, "the slow reader stays");
        let sent = Instant::now();
        feed.send(Some(b"one"));
        expect(&mut other, b"3\r\none\r\n");
        assert!(sent.elapsed() < Duration::from_secs(2), "delayed by {:?}", sent.elapsed());
        thread::sleep(SHORT / 20);
    }
    assert!(begun.elapsed() >= SHORT / 2, "disconnected after {:?}", begun.elapsed());
    assert_eq!(feed.open_streams(), 1, "an idle stream is not slow");
}

#[test]
fn a_reader_that_keeps_up_gets_any_amount() {
    let (server, _feed) = started(Limits { write_timeout: SHORT, ..Limits::default() });
    let mut client = server.client();
    client.ask("GET", "/endless", "", b"");
    client.response_head();
    let mut rest = 64 * 1024 * 1024;
    while rest > 0 {
        client.input.clear();
        rest -= client.read().min(rest);
    }
}

#[test]
fn the_number_of_streamed_responses_is_limited() {
    let (server, feed) = started(Limits { max_streamed_responses: 2, ..Limits::default() });
    let (first, _) = open(&server, &feed, "1.1");
    let _second = open(&server, &feed, "1.1");
    let refused = server.ask("GET", "/fed", "", b"");
    assert_eq!(refused.error(), code(503, "full"));
    assert!(refused.field("retry-after").is_some());
    assert_eq!(server.ask("GET", "/healthz", "", b"").status, 200);
    drop(first);
    wait_until("the first is dropped", || feed.open_streams() == 1);
    wait_until("there is a place again", || {
        let mut client = server.client();
        client.ask("GET", "/fed", "", b"");
        client.response_head().status == 200
    });
}

#[test]
fn a_stop_of_the_server_ends_streams_promptly() {
    let (server, feed) = started(Limits::default());
    let (mut idle, _) = open(&server, &feed, "1.1");
    let mut busy = server.client();
    busy.ask("GET", "/endless", "", b"");
    busy.response_head();
    let begun = Instant::now();
    server.running.stop().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "stopped after {:?}", begun.elapsed());
    idle.expect_end();
    assert_eq!(feed.open_streams(), 0);
}

#[test]
fn a_stream_needs_the_permission_to_listen() {
    let feed = Feed::default();
    let authorizer = Authorizer::new(true, TokenStore::open(None).unwrap());
    let setup = Setup { authorizer: Some(authorizer), added: added(&feed), ..Setup::default() };
    let server = Server::start(setup);
    assert_eq!(server.ask("GET", "/fed", "", b"").error(), code(401, "token-required"));
    assert_eq!(feed.open_streams(), 0);
}

#[test]
fn a_stream_arrives_over_tls_and_ends_with_a_close_notify() {
    let feed = Feed::default();
    let secure = Secure::start(Setup { added: added(&feed), ..Setup::default() });
    let mut client = secure.client(&TLS13);
    client.write_all(b"GET /fed HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    wait_until("the stream is open", || feed.open_streams() == 1);
    feed.send(Some(&[b'y'; 16 * 1024]));
    feed.send(None);
    let mut got = String::new();
    client.read_to_string(&mut got).expect("no close_notify would be an error here");
    assert!(got.ends_with(&format!("4000\r\n{}\r\n0\r\n\r\n", "y".repeat(16 * 1024))), "{} bytes", got.len());
    wait_until("the stream is dropped", || feed.open_streams() == 0);

    let mut leaves = secure.client(&TLS13);
    leaves.write_all(b"GET /fed HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    wait_until("the stream is open", || feed.open_streams() == 1);
    leaves.conn.send_close_notify();
    let _ = leaves.flush();
    wait_until("the stream is dropped", || feed.open_streams() == 0);
    let _ = until_end(leaves.sock);
}

#[test]
fn over_tls_the_last_piece_arrives_whole_while_the_stream_is_idle() {
    let feed = Feed::default();
    let secure = Secure::start(Setup { added: added(&feed), ..Setup::default() });
    // With one of these counts it is the last piece that finds both kernels' buffers full.
    for count in 1..=40 {
        let mut client = secure.client(&TLS13);
        client.write_all(b"GET /fed HTTP/1.0\r\nHost: localhost\r\n\r\n").unwrap();
        wait_until("the stream is open", || feed.open_streams() == 1);
        for _ in 0..count {
            feed.send(Some(&[b'Y'; 16 * 1024]));
        }
        thread::sleep(Duration::from_millis(20));
        let mut rest = count * 16 * 1024;
        let mut buffer = [0; 64 * 1024];
        while rest > 0 {
            let got = client.read(&mut buffer).expect("nothing waits for a next piece");
            rest -= buffer[..got].iter().filter(|byte| **byte == b'Y').count().min(rest);
        }
        drop(client);
        wait_until("the stream is dropped", || feed.open_streams() == 0);
    }
}

#[test]
fn over_tls_a_slow_reader_is_disconnected_too() {
    let feed = Feed::default();
    let limits = Limits { write_timeout: SHORT, ..Limits::default() };
    let secure = Secure::start(Setup { limits, added: added(&feed), ..Setup::default() });
    let mut client = secure.client(&TLS13);
    client.write_all(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    wait_until("the connection is counted", || secure.server.metrics.connections.read() == 1);
    wait_until("the connection is dropped", || secure.server.metrics.connections.read() == 0);
}
