//! What is outside the WebSocket of a room: refusals before the upgrade, and how clients learn of STUN and TURN servers.

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::json;

use crate::harness::http_client::code;
use crate::harness::room_peer::RoomPeer;
use crate::harness::server::Server as TestServer;

#[test]
fn an_unusable_request_is_refused_before_the_upgrade() {
    let server = TestServer::open();
    let fields = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let get = |path: &str, fields: &str| server.ask("GET", path, fields, b"");
    assert_eq!(get("/ws?room=a%20b", &format!("{fields}{key}")).error(), code(400, "bad-room"));
    assert_eq!(get("/ws?resume=x", &format!("{fields}{key}")).error(), code(400, "bad-resume"));
    assert_eq!(get("/ws", fields).error(), code(400, "bad-upgrade"));
    let old = get("/ws", &format!("{}{key}", fields.replace("13", "8")));
    assert_eq!((old.error(), old.field("sec-websocket-version")), (code(426, "upgrade-required"), Some("13")));
    assert_eq!(server.ask("POST", "/ws", "", b"").error(), code(405, "method-not-allowed"));
}

#[test]
fn ice_servers_are_in_link_fields_and_in_config() {
    let server = TestServer::open();
    let link = "<turn:turn.example.net>; rel=\"ice-server\"; username=\"u\"; credential=\"c\"; \
                credential-type=\"password\"";
    assert_eq!(server.ask("OPTIONS", "/whep", "", b"").field("link"), Some(link));
    assert_eq!(server.ask("GET", "/whep", "", b"").field("link"), None);
    let config = RoomPeer::join(&server, "").config;
    let expected = json!([{"urls": ["turn:turn.example.net"], "username": "u", "credential": "c"}]);
    assert_eq!((&config["iceServers"], &config["stunPort"]), (&expected, &json!(9)));
}

#[test]
fn the_media_port_answers_stun_with_the_senders_address() {
    let server = TestServer::open();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let request = b"\x00\x01\x00\x00\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
    socket.send_to(request, server.media).unwrap();
    let mut bytes = [0; 100];
    let (length, from) = socket.recv_from(&mut bytes).unwrap();
    assert_eq!((length, from), (32, server.media));
    assert_eq!(bytes[..2], [1, 1]);
    let port = u16::from_be_bytes([bytes[26], bytes[27]]) ^ 0x2112;
    assert_eq!(port, socket.local_addr().unwrap().port());
}
