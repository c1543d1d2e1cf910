//! Tickets for WebSockets, over real sockets: no token need be in a URL.

use std::net::TcpStream;

use roomtone::access::tokens::Permission;
use serde_json::{Value, json};
use tungstenite::WebSocket;

use crate::access::private_server::{PrivateServer, bearer, room, store, ws_refusal};
use crate::harness::http_client::{HttpResponse, code};
use crate::harness::room_peer::receive;
use crate::harness::server::Server as TestServer;

fn ask(server: &TestServer, query: &str, fields: &str, body: &Value) -> HttpResponse {
    let fields = format!("Content-Type: application/json\r\n{fields}");
    server.ask("POST", &format!("/api/access?{query}"), &fields, body.to_string().as_bytes())
}

fn ticket(server: &TestServer, query: &str, fields: &str, body: &Value) -> String {
    let response = ask(server, query, fields, body);
    assert_eq!((response.status, response.field("cache-control")), (200, Some("no-store")), "{}", response.head);
    assert_eq!(response.field("connection"), Some("close"), "the WebSocket has a connection of its own");
    response.json()["ticket"].as_str().unwrap().to_owned()
}

fn join(server: &TestServer, query: &str) -> (WebSocket<TcpStream>, String, String) {
    let address = server.address();
    let stream = TcpStream::connect(address).unwrap();
    let (mut socket, _) = tungstenite::client(format!("ws://{address}/ws?{query}"), stream).unwrap();
    let id = receive(&mut socket)["payload"]["id"].as_str().unwrap().to_owned();
    let config = receive(&mut socket);
    assert_eq!(config["type"], "config");
    (socket, id, config["payload"]["resume"].as_str().unwrap().to_owned())
}

#[test]
fn a_ticket_lets_in_once_whom_its_token_lets_in() {
    let private = PrivateServer::start();
    let (server, token) = (&private.server, bearer(&private.token(room("kitchen"))));
    let first = ticket(server, "room=kitchen", &token, &json!({}));
    let (_socket, ..) = join(server, &format!("room=kitchen&ticket={first}"));
    let used = code(401, "ticket-invalid");
    assert_eq!(ws_refusal(server, &format!("room=kitchen&ticket={first}"), ""), used);
    // It is for one room, and tried once.
    let second = ticket(server, "room=kitchen", &token, &json!({}));
    assert_eq!(ws_refusal(server, &format!("room=hall&ticket={second}"), ""), used);
    assert_eq!(ws_refusal(server, &format!("room=kitchen&ticket={second}"), ""), used);
    // It comes alone.
    let third = ticket(server, "room=kitchen", &token, &json!({}));
    let refusal = ws_refusal(server, &format!("room=kitchen&ticket={third}"), &token);
    assert_eq!(refusal, code(401, "token-invalid"));
    assert_eq!(ws_refusal(server, "room=kitchen&ticket=00", ""), used);
    assert_eq!(ask(server, "room=kitchen", "", &json!({})).error(), code(401, "token-required"));
    assert_eq!(ask(server, "room=hall", &token, &json!({})).error(), code(403, "not-allowed"));
}

#[test]
fn a_ticket_made_before_its_token_was_revoked_lets_nobody_in() {
    let private = PrivateServer::start();
    let token = private.token(room("kitchen"));
    let made = ticket(&private.server, "room=kitchen", &bearer(&token), &json!({}));
    let store = store(&private.folder);
    store.revoke(store.check(&token, None, 0).unwrap().id).unwrap();
    let query = format!("room=kitchen&ticket={made}");
    assert_eq!(ws_refusal(&private.server, &query, ""), code(401, "token-invalid"));
}

#[test]
fn a_returning_peer_and_a_moderator_are_known_by_their_tickets() {
    let private = PrivateServer::start();
    let (server, once) = (&private.server, bearer(&private.token_with_uses(room("kitchen"), 1)));
    let made = ticket(server, "room=kitchen", &once, &json!({"resume": null}));
    let (socket, id, resume) = join(server, &format!("room=kitchen&ticket={made}"));
    drop(socket);
    // The only use is the peer's own.
    assert_eq!(ask(server, "room=kitchen", &once, &json!({})).error(), code(401, "token-invalid"));
    let made = ticket(server, "room=kitchen", &once, &json!({ "resume": resume }));
    let (_socket, returned, _) = join(server, &format!("room=kitchen&ticket={made}"));
    assert_eq!(returned, id);

    let admin = bearer(&private.token(Permission::Admin));
    assert_eq!(ask(server, "room=kitchen", &admin, &json!({})).json()["host"], true);
}

#[test]
fn what_is_no_request_for_a_ticket_is_refused() {
    let server = TestServer::open();
    for (query, body, expected) in [
        ("room=a%20b", json!({}), code(400, "bad-room")),
        ("listen", json!({}), code(400, "bad-request")),
        ("room=a", json!({"resume": "1"}), code(400, "bad-resume")),
        ("room=a", json!({"resume": 1}), code(400, "bad-json")),
        ("room=a", json!([[]]), code(400, "bad-json")),
    ] {
        assert_eq!(ask(&server, query, "", &body).error(), expected, "{query} {body}");
    }
    assert_eq!(server.ask("POST", "/api/access?room=a", "", b"{}").error(), code(415, "wrong-type"));
    // An open server needs no token for it.
    let made = ticket(&server, "room=a", "", &json!({}));
    join(&server, &format!("room=a&ticket={made}"));
}
