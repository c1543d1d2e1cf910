//! Where requests begin and end: what could be read in two ways, and what is not HTTP/1.

use crate::harness::http_client::code;
use crate::harness::server::Server;

#[test]
fn an_ambiguous_request_is_refused_and_the_connection_closed() {
    let server = Server::open();
    // A body for either reading, and what must never be taken for a request.
    let smuggled = "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    for fields in [
        "Host: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked",
        "Host: a\r\nContent-Length: 3\r\nContent-Length: 5",
        "Host: a\r\nContent-Length: 3,5",
        "Host: a\r\nContent-Length: -1",
        "Host: a\r\nContent-Length: 0x3",
        "Host: a\r\nTransfer-Encoding: chunked, chunked, identity",
        "Host: a\r\nTransfer-Encoding:\x0bchunked",
        "Host: a\r\nTransfer-Encoding : chunked",
        "Host: a\r\nX: y\r\n Content-Length: 3",
        "Host: a\nContent-Length: 3",
        "Host: a\r\nHost: b",
        "X: no host",
    ] {
        let response = server.refused(format!("POST /whep HTTP/1.1\r\n{fields}\r\n\r\n{smuggled}").as_bytes());
        assert_eq!(response.error(), code(400, "bad-request"), "{fields:?}");
    }
    for chunks in ["zz\r\n", "3\nabc\n0\n\n", "3\r\nabcd\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n"] {
        let head = "POST /whep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(
            server.refused(format!("{head}{chunks}{smuggled}").as_bytes()).error(),
            code(400, "bad-request"),
            "{chunks:?}"
        );
    }
}

#[test]
fn other_protocols_and_versions_are_refused() {
    let server = Server::open();
    assert_eq!(server.refused(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n").error(), code(505, "unknown-version"));
    assert_eq!(server.refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").error(), code(505, "unknown-version"));
    assert_eq!(server.refused(b"\x16\x03\x01\x02\x00\x01\x00").error(), code(400, "bad-request"));
    assert_eq!(server.refused(b"hello\r\n\r\n").error(), code(400, "bad-request"));
    assert_eq!(server.refused(b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n").error(), code(400, "bad-request"));
    let coding = b"POST /whep HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    assert_eq!(server.refused(coding).error(), code(501, "unknown-coding"));
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    let server = Server::open();
    let mut client = server.client();
    client.send(b"POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response("POST").status, 100);
    client.send(b"abc");
    assert_eq!(client.response("POST").error(), code(415, "wrong-type"));
    let too_large = b"POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(server.refused(too_large).error(), code(413, "body-too-large"));
    let other = b"POST /whep HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: miracles\r\n\r\n";
    assert_eq!(server.refused(other).error(), code(417, "expectation-failed"));
}

#[test]
fn a_client_cannot_set_the_internal_field() {
    let server = Server::open();
    let fields = "Roomtone-Internal: 00000000000000000000000000000000 192.0.2.1:1\r\n";
    assert_eq!(server.ask("GET", "/healthz", fields, b"").body, b"ok");
}

#[test]
fn stun_over_tcp_is_closed_without_a_response() {
    let server = Server::open();
    let binding = b"\0\x01\0\0\x21\x12\xa4\x42transaction.";
    let framed = [&[0, 20], binding.as_slice()].concat();
    for message in [binding.as_slice(), &framed] {
        let mut client = server.client();
        client.send(message);
        client.expect_end();
    }
    // Bytes that begin neither STUN nor anything else get a response.
    assert_eq!(server.refused(b"\0\x01\0\0\x21\x12\xa4\x43").error(), code(400, "bad-request"));
}
