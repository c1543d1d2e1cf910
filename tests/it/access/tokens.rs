//! What tokens allow, over real sockets: what a private server refuses without one, and what each token permits.

use std::time::{SystemTime, UNIX_EPOCH};

use roomtone::access::token_store::TokenStore;
use roomtone::access::tokens::Permission;
use roomtone::os::state_dir::StateDir;
use serde_json::json;

use crate::access::private_server::{
    PrivateServer, UPGRADE, bearer, check_access, listen, offer_as_json, room, store, ws_refusal,
};
use crate::harness::http_client::{HttpClient, HttpResponse, code};
use crate::harness::room_peer::{RoomPeer, connect, receive};
use crate::harness::server::Server as TestServer;
use crate::harness::wait::wait_until;
use crate::web::whep;

#[test]
fn a_private_server_serves_only_its_pages_without_a_token() {
    let PrivateServer { server, .. } = PrivateServer::start();
    let required = code(401, "token-required");
    assert_eq!(ws_refusal(&server, "room=kitchen", ""), required);
    assert_eq!(ws_refusal(&server, &format!("resume={}", "ab".repeat(32)), ""), required);
    assert_eq!(listen(&server, "/whep", "").error(), required);
    assert_eq!(listen(&server, "/whep/main", "").error(), required);
    assert_eq!(offer_as_json(&server, "").error(), required);
    for path in ["/whep", "/whep/main", "/api/status", "/api/access", "/api/access?listen", "/api/access?room=a"] {
        let reply = server.ask("GET", path, "", b"");
        assert_eq!((reply.error(), reply.field("www-authenticate")), (required.clone(), Some("Bearer")), "{path}");
    }
    for path in ["/", "/listen", "/healthz"] {
        assert_eq!(server.ask("GET", path, "", b"").status, 200, "{path}");
    }
    assert_eq!(server.ask("OPTIONS", "/whep", "", b"").status, 204);
}

#[test]
fn the_password_of_a_turn_server_is_told_only_to_those_who_may_listen() {
    let private = PrivateServer::start();
    let server = &private.server;
    let (kitchen, listen_token) = (private.token(room("kitchen")), private.token(Permission::Listen));
    let link = |path: &str, fields: &str| {
        let response = server.ask("OPTIONS", path, fields, b"");
        assert_eq!(response.status, 204, "{path} {fields}");
        response.field("link").map(str::to_owned)
    };
    for path in ["/whep", "/whep/main", "/whep/unknown", "/whep?token=a.b", "/offer", "/ws", "*"] {
        let response = server.ask("OPTIONS", path, "", b"");
        assert!(!response.head.to_lowercase().contains("turn:"), "{}", response.head);
    }
    for fields in ["", &bearer("a.b"), &bearer(&kitchen), "Access-Control-Request-Headers: authorization\r\n"] {
        assert_eq!(link("/whep", fields), None, "{fields}");
    }
    for told in [link("/whep", &bearer(&listen_token)), link(&format!("/whep?token={listen_token}"), "")] {
        assert!(told.is_some_and(|link| link.contains("turn:turn.example.net")));
    }
}

#[test]
fn each_token_permits_what_it_is_for_and_nothing_else() {
    let private = PrivateServer::start();
    let server = &private.server;
    let (kitchen, listen_token, admin) =
        (private.token(room("kitchen")), private.token(Permission::Listen), private.token(Permission::Admin));
    let not_allowed = code(403, "not-allowed");

    let peer = RoomPeer::join(server, &format!("room=kitchen&token={kitchen}"));
    assert_eq!((&peer.config["stations"], &peer.config["host"]), (&json!([]), &json!(false)));
    assert_eq!(ws_refusal(server, &format!("room=hall&token={kitchen}"), ""), not_allowed);
    assert_eq!(ws_refusal(server, &format!("token={kitchen}"), ""), not_allowed);
    assert_eq!(listen(server, "/whep", &bearer(&kitchen)).error(), not_allowed);
    assert_eq!(server.ask("GET", "/api/status", &bearer(&kitchen), b"").error(), not_allowed);

    assert_eq!(listen(server, "/whep", &bearer(&listen_token)).status, 201);
    assert_eq!(server.ask("GET", "/api/status", &bearer(&listen_token), b"").status, 200);
    assert_eq!(ws_refusal(server, &format!("room=kitchen&token={listen_token}"), ""), not_allowed);

    let moderator = RoomPeer::join(server, &format!("room=hall&token={admin}"));
    assert_eq!((&moderator.config["stations"], &moderator.config["host"]), (&json!(["main"]), &json!(true)));
    // In the query, for players that can set no header field. Its session needs no token after that.
    let created = listen(server, &format!("/whep?token={admin}"), "");
    assert_eq!(created.status, 201);
    assert_eq!(server.ask("DELETE", &created.location("/whep").unwrap(), "", b"").status, 200);

    let allowed = |host: bool| Ok(json!({"private": true, "allowed": true, "host": host}));
    assert_eq!(check_access(server, "room=kitchen", &kitchen), allowed(false));
    assert_eq!(check_access(server, "room=hall", &kitchen), Err(not_allowed.clone()));
    assert_eq!(check_access(server, "listen", &listen_token), allowed(false));
    assert_eq!(check_access(server, "", &listen_token), Err(not_allowed));
    for query in ["room=x", "listen", ""] {
        assert_eq!(check_access(server, query, &admin), allowed(true));
    }
    assert_eq!(check_access(server, "room=a/b", &admin), Err(code(400, "bad-room")));
    let forged = format!("{}A", &admin[..admin.len() - 1]);
    let invalid = code(401, "token-invalid");
    assert_eq!(
        check_access(server, "", &if forged == admin { format!("{admin}A") } else { forged }),
        Err(invalid.clone())
    );
    assert_eq!(ws_refusal(server, &format!("room=kitchen&token={kitchen}"), &bearer(&admin)), invalid);
}

#[test]
fn an_open_server_refuses_an_invalid_token_too() {
    let server = TestServer::open();
    assert_eq!(check_access(&server, "listen", "a.b"), Err(code(401, "token-invalid")));
    assert_eq!(ws_refusal(&server, "token=a.b", ""), code(401, "token-invalid"));
    assert_eq!(server.ask("GET", "/api/access", "", b"").error(), code(401, "token-required"));
    let open = server.ask("GET", "/api/access?room=kitchen", "", b"").json();
    assert_eq!(open, json!({"private": false, "allowed": true, "host": false}));
}

#[test]
fn a_token_expires() {
    let private = PrivateServer::start();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let until = |expires_s| store(&private.folder).issue(Permission::Listen, Some(expires_s), None).unwrap().0;
    assert_eq!(check_access(&private.server, "listen", &until(now_s)), Err(code(401, "token-invalid")));
    assert!(check_access(&private.server, "listen", &until(now_s + 1000)).is_ok());
}

#[test]
fn uses_are_counted_and_survive_a_restart() {
    let private = PrivateServer::start();
    let two = private.token_with_uses(room("kitchen"), 2);
    let once = private.token_with_uses(Permission::Listen, 1);
    let query = format!("room=kitchen&token={two}");
    let mut first = RoomPeer::join(&private.server, &query);
    first.send(&json!({"type": "hello", "payload": {"name": "Ada"}}));
    assert!(check_access(&private.server, "room=kitchen", &two).is_ok());
    let _second = RoomPeer::join(&private.server, &query);
    let invalid = code(401, "token-invalid");
    assert_eq!(ws_refusal(&private.server, &query, ""), invalid);
    assert_eq!(check_access(&private.server, "room=kitchen", &two), Err(invalid.clone()));
    // A peer that joined before may resume, and another cannot pretend that it did.
    let resume = first.drop_connection();
    let back = RoomPeer::join(&private.server, &format!("{query}&{resume}"));
    assert_eq!(back.config["resumed"], true);
    assert!(check_access(&private.server, &format!("room=kitchen&{resume}"), &two).is_ok());
    assert_eq!(ws_refusal(&private.server, &format!("{query}&resume={}", "ab".repeat(32)), ""), invalid);

    // An offer that is refused is not counted as a use.
    let field = bearer(&once);
    assert_eq!(private.server.ask("POST", "/whep", &format!("{}{field}", whep::SDP), b"nonsense").status, 400);
    assert_eq!(listen(&private.server, "/whep", &field).status, 201);
    assert_eq!(listen(&private.server, "/whep", &field).error(), invalid);

    let after = private.restart();
    assert_eq!(ws_refusal(&after.server, &query, ""), invalid);
    assert_eq!(listen(&after.server, "/whep", &field).error(), invalid);
    assert_eq!(RoomPeer::join(&after.server, &format!("{query}&{resume}")).id, back.id);
}

#[test]
fn a_peer_refused_by_a_locked_room_has_not_used_its_token() {
    let private = PrivateServer::start();
    let (admin, once) = (private.token(Permission::Admin), private.token_with_uses(room("r"), 1));
    let mut moderator = RoomPeer::join(&private.server, &format!("room=r&token={admin}"));
    moderator.send(&json!({"type": "lock", "payload": {"locked": true}}));
    assert_eq!(moderator.receive(), json!({"type": "room-state", "payload": {"locked": true}}));
    let query = format!("room=r&token={once}");
    let mut refused = connect(private.server.address(), &query);
    assert_eq!(receive(&mut refused)["payload"]["code"], "room-locked");
    drop(refused);
    moderator.send(&json!({"type": "lock", "payload": {"locked": false}}));
    assert_eq!(moderator.receive()["payload"]["locked"], false);
    wait_until("the use is given back", || check_access(&private.server, "room=r", &once).is_ok());
    RoomPeer::join(&private.server, &query);
}

#[test]
fn a_broken_connection_of_a_peer_gives_back_no_use_of_its_other_one() {
    let private = PrivateServer::start();
    let once = private.token_with_uses(room("r"), 1);
    let mut inside = vec![];
    for person in 1..=3 {
        let query = format!("room=r&token={once}&resume={}", format!("{person:02x}").repeat(32));
        // A frame that is not masked breaks RFC 6455 §5.1. It comes together with the handshake, so that nothing is read of
        // the room before the connection ends.
        let mut broken = private.server.client();
        broken.send(format!("GET /ws?{query} HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n").as_bytes());
        broken.send(b"\x81\x05hello");
        std::thread::sleep(std::time::Duration::from_millis(if person == 1 { 0 } else { 100 }));
        let refusal = private.server.ask("GET", &format!("/ws?{query}"), &format!("{UPGRADE}X: y\r\n"), b"");
        if refusal.status == 101 {
            inside.push(person);
        }
    }
    assert_eq!(inside.len(), 1, "{inside:?} are in with a link for one");
    let refused = code(401, "token-invalid");
    assert_eq!(ws_refusal(&private.server, &format!("room=r&token={once}"), ""), refused);
}

#[test]
fn nobody_speaks_in_a_room_without_using_the_token() {
    let private = PrivateServer::start();
    let (admin, once) = (private.token(Permission::Admin), private.token_with_uses(room("r"), 1));
    let mut witness = RoomPeer::join(&private.server, &format!("room=r&token={admin}"));
    for _ in 0..3 {
        let mut client = private.server.client();
        let target = format!("/ws?room=r&token={once}");
        let handshake = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}\r\n").into_bytes();
        let chat = br#"{"type":"chat","payload":{"text":"hello"}}"#;
        // Masked with zeros; the frame after it breaks the protocol.
        let frame = [&[0x81, 0x80 | chat.len() as u8, 0, 0, 0, 0], &chat[..], b"\x81\x05hello"].concat();
        client.send(&[handshake, frame].concat());
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
    let mut heard = vec![];
    while heard.last().is_none_or(|last| last != "error") {
        if heard.is_empty() {
            // The last message is the answer to this.
            witness.send(&json!({"type": "offer", "targetId": "0", "payload": {}}));
        }
        heard.push(witness.receive_type());
    }
    assert!(heard.iter().filter(|kind| *kind == "chat").count() <= 1, "{heard:?}");
}

#[test]
fn connections_of_one_peer_at_the_same_time_use_a_token_once() {
    let private = PrivateServer::start();
    let (once, resume) = (private.token_with_uses(room("r"), 1), format!("resume={}", "ab".repeat(32)));
    let query = format!("room=r&token={once}&{resume}");
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let address = private.server.address();
        let query = &query;
        let ask = move || {
            let mut client = HttpClient::connect(address);
            client.ask("GET", &format!("/ws?{query}"), UPGRADE, b"");
            client.response("GET").status
        };
        let threads: Vec<_> = (0..12).map(|_| scope.spawn(ask)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses, [101; 12]);
    assert_eq!(ws_refusal(&private.server, &format!("room=r&token={once}"), ""), code(401, "token-invalid"));
    RoomPeer::join(&private.server, &query);
    let recorded = std::fs::read_to_string(private.folder.path().join("uses")).unwrap();
    assert_eq!(recorded.lines().count(), 1, "{recorded}");
}

#[test]
fn a_token_revoked_by_another_process_permits_nothing() {
    let private = PrivateServer::start();
    let other_process = store(&private.folder);
    let (token, claims) = other_process.issue(Permission::Listen, None, None).unwrap();
    let other = private.token(Permission::Listen);
    assert!(check_access(&private.server, "listen", &token).is_ok());
    other_process.revoke(claims.id).unwrap();
    assert_eq!(check_access(&private.server, "listen", &token), Err(code(401, "token-invalid")));
    assert!(check_access(&private.server, "listen", &other).is_ok());
    TokenStore::revoke_all(&StateDir::open(private.folder.path()).unwrap()).unwrap();
    assert_eq!(check_access(&private.server, "listen", &other), Err(code(401, "token-invalid")));
}

#[test]
fn an_address_with_too_many_invalid_tokens_must_wait_but_a_valid_one_passes() {
    let private = PrivateServer::start();
    let good = private.token(Permission::Listen);
    let mut last = code(401, "token-invalid");
    for _ in 0..30 {
        last = check_access(&private.server, "listen", "guess.guess").unwrap_err();
    }
    assert_eq!(last, code(429, "too-many-failures"));
    let reply = status(&private.server, "guess.guess");
    assert!(reply.field("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(status(&private.server, &good).status, 200);
}

fn status(server: &TestServer, token: &str) -> HttpResponse {
    server.ask("GET", "/api/status", &bearer(token), b"")
}
