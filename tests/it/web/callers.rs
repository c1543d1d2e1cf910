//! What one client may have behind a trusted proxy, where all clients come from one address.

use roomtone::signal::limits::RoomLimits;
use roomtone::web::http::client_address::TrustedProxies;
use roomtone::web::transport::limits::Limits;

use crate::harness::http_client::{HttpClient, code};
use crate::harness::server::{Server, Setup};
use crate::harness::wait::wait_until;

fn server(limits: Limits, rooms: RoomLimits, proxy: &str) -> Server {
    let proxies = TrustedProxies::parse(&[proxy.to_owned()]).unwrap();
    Server::start(Setup { limits, rooms, proxies, ..Setup::default() })
}

/// Asks for a WebSocket in the name of this visitor; the client, and the status of the response.
fn open(server: &Server, visitor: &str) -> (HttpClient, u16) {
    let mut client = server.client();
    let fields = format!(
        "X-Forwarded-For: {visitor}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    );
    client.ask("GET", "/ws", &fields, b"");
    let head = client.response_head();
    if head.status == 429 {
        assert!(head.field("retry-after").is_some());
    }
    (client, head.status)
}

#[test]
fn one_visitor_behind_a_proxy_gets_no_more_websockets_than_one_address_may_have() {
    let rooms = RoomLimits { max_peers_per_address: 3, room_size: 100, ..RoomLimits::default() };
    let server = server(Limits::default(), rooms, "127.0.0.1");
    let visitor = "198.51.100.9";
    let held: Vec<_> = (0..3).map(|_| open(&server, visitor)).collect();
    assert_eq!(held.iter().map(|(_, status)| *status).collect::<Vec<_>>(), [101; 3]);
    assert_eq!(open(&server, visitor).1, 429);
    assert_eq!(open(&server, "198.51.100.10").1, 101, "another visitor");
    drop(held);
    wait_until("there is space again", || open(&server, visitor).1 == 101);
}

#[test]
fn without_a_proxy_the_same_holds_and_what_a_client_claims_does_not_count() {
    let rooms = RoomLimits { max_peers_per_address: 3, room_size: 100, ..RoomLimits::default() };
    let server = server(Limits::default(), rooms, "192.0.2.1");
    let clients: Vec<_> = (0..5).map(|n| open(&server, &format!("198.51.100.{n}"))).collect();
    assert_eq!(clients.iter().map(|(_, status)| *status).collect::<Vec<_>>(), [101, 101, 101, 429, 429]);
}

#[test]
fn a_visitor_with_a_56_has_four_shares_of_peers() {
    let rooms = RoomLimits { max_peers_per_address: 2, room_size: 100, ..RoomLimits::default() };
    let server = server(Limits::default(), rooms, "127.0.0.1");
    let clients: Vec<_> = (0..20).map(|n| open(&server, &format!("2001:db8:1:1{n:02x}::1"))).collect();
    assert_eq!(clients.iter().filter(|(_, status)| *status == 101).count(), 8);
}

#[test]
fn requests_that_a_visitor_does_not_finish_count_as_connections_of_it() {
    let limits = Limits { max_connections_per_address: 2, ..Limits::default() };
    let server = server(limits, RoomLimits::default(), "127.0.0.1");
    let begin = |visitor: &str| {
        let mut client = server.client();
        client.send(
            format!(
                "POST /whep HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {visitor}\r\nExpect: 100-continue\r\n\
                 Content-Length: 10\r\n\r\n"
            )
            .as_bytes(),
        );
        let response = client.response_head();
        (client, response.status)
    };
    let held = [begin("198.51.100.9"), begin("198.51.100.9")];
    assert_eq!([held[0].1, held[1].1], [100, 100]);
    let ask = |visitor: &str| {
        let mut client = server.client();
        client.ask("GET", "/healthz", &format!("X-Forwarded-For: {visitor}\r\n"), b"");
        client.response("GET")
    };
    assert_eq!(ask("198.51.100.9").error(), code(429, "too-many-from-address"));
    assert_eq!(ask("198.51.100.10").status, 200);
    // The connection of a proxy serves many clients, one after the other.
    let mut client = server.client();
    for n in 20..30 {
        client.ask("GET", "/healthz", &format!("X-Forwarded-For: 198.51.100.{n}\r\n"), b"");
        assert_eq!(client.response("GET").status, 200);
    }
    drop(held);
    wait_until("the requests are given up", || ask("198.51.100.9").status == 200);
}
