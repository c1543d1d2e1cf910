//! Who may come in, over real sockets and with the real program: what a private house keeps closed, what each token opens,
//! what a host may do, and that no token ends up in a log.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use roomtone::access::token_store::TokenStore;
use roomtone::access::tokens::Permission;
use roomtone::ids::names::RoomName;
use roomtone::os::state_dir::StateDir;
use roomtone::web::handlers::authorize::Authorizer;
use roomtone::web::http::origin::Origin;
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::harness::http_client::{HttpResponse as Reply, code};
use crate::harness::program::{self, BINARY, Program};
use crate::harness::server::Server as House;
use crate::harness::wait::wait_until;
use crate::signal::rooms::{Peer, connect, next};
use crate::web::whep;

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A private house, and the folder where its store are.
struct Private {
    house: House,
    folder: tempfile::TempDir,
}

impl Private {
    fn open() -> Private {
        let folder = tempfile::tempdir().unwrap();
        Private { house: Private::house(&folder), folder }
    }

    fn house(folder: &tempfile::TempDir) -> House {
        House::with_authorizer(Authorizer::new(true, store(folder), vec![]))
    }

    fn restart(self) -> Private {
        let Private { house, folder } = self;
        house.running.stop().unwrap();
        Private { house: Private::house(&folder), folder }
    }

    fn token(&self, permission: Permission) -> String {
        store(&self.folder).issue(permission, None, None).unwrap().0
    }

    fn token_for(&self, permission: Permission, uses: u32) -> String {
        store(&self.folder).issue(permission, None, Some(uses)).unwrap().0
    }
}

/// As another process sees them.
fn store(folder: &tempfile::TempDir) -> TokenStore {
    TokenStore::open(Some(StateDir::open(folder.path()).unwrap())).unwrap()
}

fn room(name: &str) -> Permission {
    Permission::Room(RoomName::parse(name).unwrap())
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// An offer; the house has room for two listeners.
fn listen(house: &House, path: &str, fields: &str) -> Reply {
    house.ask("POST", path, &format!("{}{fields}", whep::SDP), whep::offer().as_bytes())
}

fn offer_as_json(house: &House, fields: &str) -> Reply {
    let body = json!({"sdp": whep::offer(), "type": "offer"}).to_string();
    house.ask("POST", "/offer", &format!("Content-Type: application/json\r\n{fields}"), body.as_bytes())
}

/// What a handshake for `/ws` is answered, if it is refused.
fn refused_at_ws(house: &House, query: &str, fields: &str) -> (u16, String) {
    house.ask("GET", &format!("/ws?{query}"), &format!("{UPGRADE}{fields}"), b"").error()
}

fn knock(house: &House, query: &str, token: &str) -> Result<Value, (u16, String)> {
    let reply = house.ask("GET", &format!("/api/access?{query}"), &bearer(token), b"");
    if reply.status == 200 { Ok(reply.json()) } else { Err(reply.error()) }
}

#[test]
fn a_private_house_opens_nothing_without_a_token_but_its_pages() {
    let Private { house, .. } = Private::open();
    let required = code(401, "token-required");
    assert_eq!(refused_at_ws(&house, "room=kitchen", ""), required);
    assert_eq!(refused_at_ws(&house, &format!("resume={}", "ab".repeat(32)), ""), required);
    assert_eq!(listen(&house, "/whep", "").error(), required);
    assert_eq!(listen(&house, "/whep/main", "").error(), required);
    assert_eq!(offer_as_json(&house, "").error(), required);
    for path in ["/whep", "/whep/main", "/api/status", "/api/access", "/api/access?listen", "/api/access?room=a"] {
        let reply = house.ask("GET", path, "", b"");
        assert_eq!((reply.error(), reply.field("www-authenticate")), (required.clone(), Some("Bearer")), "{path}");
    }
    for path in ["/", "/listen", "/healthz"] {
        assert_eq!(house.ask("GET", path, "", b"").status, 200, "{path}");
    }
    assert_eq!(house.ask("OPTIONS", "/whep", "", b"").status, 204);
}

#[test]
fn each_token_opens_its_own_door_and_no_other() {
    let private = Private::open();
    let house = &private.house;
    let (kitchen, ear, admin) =
        (private.token(room("kitchen")), private.token(Permission::Listen), private.token(Permission::Admin));
    let not_allowed = code(403, "not-allowed");

    let guest = Peer::enter(house, &format!("room=kitchen&token={kitchen}"));
    assert_eq!((&guest.config["stations"], &guest.config["host"]), (&json!([]), &json!(false)));
    assert_eq!(refused_at_ws(house, &format!("room=hall&token={kitchen}"), ""), not_allowed);
    assert_eq!(refused_at_ws(house, &format!("token={kitchen}"), ""), not_allowed);
    assert_eq!(listen(house, "/whep", &bearer(&kitchen)).error(), not_allowed);
    assert_eq!(house.ask("GET", "/api/status", &bearer(&kitchen), b"").error(), not_allowed);

    assert_eq!(listen(house, "/whep", &bearer(&ear)).status, 201);
    assert_eq!(house.ask("GET", "/api/status", &bearer(&ear), b"").status, 200);
    assert_eq!(refused_at_ws(house, &format!("room=kitchen&token={ear}"), ""), not_allowed);

    let host = Peer::enter(house, &format!("room=hall&token={admin}"));
    assert_eq!((&host.config["stations"], &host.config["host"]), (&json!(["main"]), &json!(true)));
    // In the query, as a player that can set no field does it; its session then needs no token.
    let created = listen(house, &format!("/whep?token={admin}"), "");
    assert_eq!(created.status, 201);
    assert_eq!(house.ask("DELETE", created.field("location").unwrap(), "", b"").status, 200);

    let yes = |host: bool| Ok(json!({"private": true, "allowed": true, "host": host}));
    assert_eq!(knock(house, "room=kitchen", &kitchen), yes(false));
    assert_eq!(knock(house, "room=hall", &kitchen), Err(not_allowed.clone()));
    assert_eq!(knock(house, "listen", &ear), yes(false));
    assert_eq!(knock(house, "", &ear), Err(not_allowed));
    for query in ["room=x", "listen", ""] {
        assert_eq!(knock(house, query, &admin), yes(true));
    }
    assert_eq!(knock(house, "room=a/b", &admin), Err(code(400, "bad-room")));
    let forged = format!("{}A", &admin[..admin.len() - 1]);
    let invalid = code(401, "token-invalid");
    assert_eq!(knock(house, "", &if forged == admin { format!("{admin}A") } else { forged }), Err(invalid.clone()));
    assert_eq!(refused_at_ws(house, &format!("room=kitchen&token={kitchen}"), &bearer(&admin)), invalid);
}

#[test]
fn in_an_open_house_a_token_must_hold_all_the_same() {
    let house = House::open();
    assert_eq!(knock(&house, "listen", "a.b"), Err(code(401, "token-invalid")));
    assert_eq!(refused_at_ws(&house, "token=a.b", ""), code(401, "token-invalid"));
    assert_eq!(house.ask("GET", "/api/access", "", b"").error(), code(401, "token-required"));
    let open = house.ask("GET", "/api/access?room=kitchen", "", b"").json();
    assert_eq!(open, json!({"private": false, "allowed": true, "host": false}));
}

#[test]
fn a_token_expires() {
    let private = Private::open();
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let until = |expires_s| store(&private.folder).issue(Permission::Listen, Some(expires_s), None).unwrap().0;
    assert_eq!(knock(&private.house, "listen", &until(now_s)), Err(code(401, "token-invalid")));
    assert!(knock(&private.house, "listen", &until(now_s + 1000)).is_ok());
}

#[test]
fn as_many_come_in_as_a_token_says_and_a_restart_changes_nothing() {
    let private = Private::open();
    let two = private.token_for(room("kitchen"), 2);
    let once = private.token_for(Permission::Listen, 1);
    let query = format!("room=kitchen&token={two}");
    let mut first = Peer::enter(&private.house, &query);
    first.say(&json!({"type": "hello", "payload": {"name": "Ada"}}));
    assert!(knock(&private.house, "room=kitchen", &two).is_ok());
    let _second = Peer::enter(&private.house, &query);
    let invalid = code(401, "token-invalid");
    assert_eq!(refused_at_ws(&private.house, &query, ""), invalid);
    assert_eq!(knock(&private.house, "room=kitchen", &two), Err(invalid.clone()));
    // Who has been in comes back, and nobody can pretend to have been.
    let resume = first.drop_connection();
    let back = Peer::enter(&private.house, &format!("{query}&{resume}"));
    assert_eq!(back.config["resumed"], true);
    assert!(knock(&private.house, &format!("room=kitchen&{resume}"), &two).is_ok());
    assert_eq!(refused_at_ws(&private.house, &format!("{query}&resume={}", "ab".repeat(32)), ""), invalid);

    // An offer that comes to nothing is no use.
    let field = bearer(&once);
    assert_eq!(private.house.ask("POST", "/whep", &format!("{}{field}", whep::SDP), b"nonsense").status, 400);
    assert_eq!(listen(&private.house, "/whep", &field).status, 201);
    assert_eq!(listen(&private.house, "/whep", &field).error(), invalid);

    let after = private.restart();
    assert_eq!(refused_at_ws(&after.house, &query, ""), invalid);
    assert_eq!(listen(&after.house, "/whep", &field).error(), invalid);
    assert_eq!(Peer::enter(&after.house, &format!("{query}&{resume}")).id, back.id);
}

#[test]
fn who_finds_the_room_locked_has_not_used_the_token() {
    let private = Private::open();
    let (admin, once) = (private.token(Permission::Admin), private.token_for(room("r"), 1));
    let mut host = Peer::enter(&private.house, &format!("room=r&token={admin}"));
    host.say(&json!({"type": "lock", "payload": {"locked": true}}));
    assert_eq!(host.hear(), json!({"type": "room-state", "payload": {"locked": true}}));
    let query = format!("room=r&token={once}");
    let mut outside = connect(private.house.address(), &query);
    assert_eq!(next(&mut outside)["payload"]["code"], "room-locked");
    drop(outside);
    host.say(&json!({"type": "lock", "payload": {"locked": false}}));
    assert_eq!(host.hear()["payload"]["locked"], false);
    wait_until("the use is given back", || knock(&private.house, "room=r", &once).is_ok());
    Peer::enter(&private.house, &query);
}

#[test]
fn what_is_withdrawn_meanwhile_opens_nothing_any_more() {
    let private = Private::open();
    let errand = store(&private.folder);
    let (token, claims) = errand.issue(Permission::Listen, None, None).unwrap();
    let other = private.token(Permission::Listen);
    assert!(knock(&private.house, "listen", &token).is_ok());
    errand.revoke(claims.id).unwrap();
    assert_eq!(knock(&private.house, "listen", &token), Err(code(401, "token-invalid")));
    assert!(knock(&private.house, "listen", &other).is_ok());
    errand.revoke_all().unwrap();
    assert_eq!(knock(&private.house, "listen", &other), Err(code(401, "token-invalid")));
}

#[test]
fn who_guesses_is_told_to_wait_while_a_good_token_passes() {
    let private = Private::open();
    let good = private.token(Permission::Listen);
    let mut last = code(401, "token-invalid");
    for _ in 0..30 {
        last = knock(&private.house, "listen", "guess.guess").unwrap_err();
    }
    assert_eq!(last, code(429, "too-many-failures"));
    let reply = house_status(&private.house, "guess.guess");
    assert!(reply.field("retry-after").unwrap().parse::<u32>().unwrap() > 0);
    assert_eq!(house_status(&private.house, &good).status, 200);
}

fn house_status(house: &House, token: &str) -> Reply {
    house.ask("GET", "/api/status", &bearer(token), b"")
}

#[test]
fn pages_of_other_sites_may_listen_by_whep_and_nothing_else() {
    let house = House::open();
    let foreign = code(403, "foreign-origin");
    for origin in ["http://elsewhere.example", "null", "http://localhost:1", "https://localhost.example"] {
        let fields = format!("Origin: {origin}\r\n");
        assert_eq!(refused_at_ws(&house, "", &fields), foreign, "{origin}");
        assert_eq!(offer_as_json(&house, &fields).error(), foreign, "{origin}");
    }
    assert!(
        offer_as_json(&house, "Origin: null\r\n").json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("--allow-origin")
    );
    let created = listen(&house, "/whep", "Origin: http://elsewhere.example\r\n");
    assert_eq!((created.status, created.field("access-control-allow-origin")), (201, Some("*")));
    // Our own page: the harness asks for the host `localhost`.
    assert_eq!(offer_as_json(&house, "Origin: http://localhost\r\n").status, 200);
}

#[test]
fn a_named_site_may_use_rooms_and_offers_and_read_the_answers() {
    let club = "https://club.example:444";
    let gate = Authorizer::new(false, TokenStore::open(None).unwrap(), vec![Origin::parse(club).unwrap()]);
    let house = House::with_authorizer(gate);
    let answer = offer_as_json(&house, &format!("Origin: {club}\r\n"));
    assert_eq!((answer.status, answer.field("access-control-allow-origin")), (200, Some(club)));
    assert_eq!(answer.field("vary"), Some("Origin"));
    let preflight = house.ask("OPTIONS", "/offer", &format!("Origin: {club}\r\n"), b"");
    assert_eq!(preflight.field("access-control-allow-origin"), Some(club));
    let other = offer_as_json(&house, "Origin: https://club.example\r\n");
    assert_eq!((other.error(), other.field("access-control-allow-origin")), (code(403, "foreign-origin"), None));
    let address = house.address();
    let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
    request.headers_mut().insert("Origin", club.parse().unwrap());
    let (mut socket, _) = tungstenite::client(request, TcpStream::connect(address).unwrap()).unwrap();
    assert_eq!(next(&mut socket)["type"], "init-peers");
}

#[test]
fn a_host_mutes_removes_locks_and_ends_and_others_cannot() {
    let store = TokenStore::open(None).unwrap();
    let admin = store.issue(Permission::Admin, None, None).unwrap().0;
    let house = House::with_authorizer(Authorizer::new(false, store, vec![]));
    let mut host = Peer::enter(&house, &format!("token={admin}"));
    assert_eq!(host.config["host"], true);
    let mut ada = Peer::enter(&house, "");
    ada.say(&json!({"type": "hello", "payload": {"name": "Ada"}}));
    assert_eq!((host.hear()["type"].clone(), host.hear()["type"].clone()), (json!("new-peer"), json!("peer-state")));

    for order in ["lock", "remove", "mute", "end-room"] {
        ada.say(&json!({"type": order, "targetId": host.id, "payload": {"locked": true}}));
        assert_eq!(ada.hear_error(), "not-allowed", "{order}");
    }
    host.hears_nothing();

    host.say(&json!({"type": "mute", "targetId": ada.id, "payload": {}}));
    let muted = json!({"type": "mute", "payload": {"id": ada.id}});
    assert_eq!((ada.hear(), host.hear()), (muted.clone(), muted));

    host.say(&json!({"type": "remove", "targetId": ada.id, "payload": {}}));
    assert_eq!(ada.hear_error(), "removed");
    assert_eq!(ada.close_code(), CloseCode::Library(4003));
    assert_eq!(host.hear(), json!({"type": "peer-disconnect", "payload": {"id": ada.id}}));
    let mut again = connect(house.address(), &ada.resume());
    assert_eq!(next(&mut again)["payload"]["code"], "removed");

    let mut ben = Peer::enter(&house, "");
    assert_eq!(host.hear()["type"], "new-peer");
    host.say(&json!({"type": "lock", "payload": {"locked": true}}));
    assert_eq!((ben.hear()["type"].clone(), host.hear()["type"].clone()), (json!("room-state"), json!("room-state")));
    let mut outside = connect(house.address(), "");
    assert_eq!(next(&mut outside)["payload"]["code"], "room-locked");
    let tungstenite::Message::Close(Some(frame)) = outside.read().unwrap() else { panic!("no goodbye") };
    assert_eq!(frame.code, CloseCode::Library(4004));
    let other_host = Peer::enter(&house, &format!("token={admin}"));
    assert_eq!(other_host.config["locked"], true);
    assert_eq!((ben.hear()["type"].clone(), host.hear()["type"].clone()), (json!("new-peer"), json!("new-peer")));

    host.say(&json!({"type": "end-room", "payload": {}}));
    for peer in [&mut host, &mut ben] {
        assert_eq!(peer.hear_error(), "room-ended");
        assert_eq!(peer.close_code(), CloseCode::Library(4005));
    }
    assert_eq!(Peer::enter(&house, "").config["locked"], false);
}

// From here on with the program itself.

fn errand(folder: &std::path::Path, args: &[&str]) -> Output {
    let output =
        program::command(&[args, &["--state-dir", "state"]].concat(), None).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A link's token, and the id that was printed with it.
fn invited(output: &Output) -> (String, String, String) {
    let (link, note) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let (page, token) = link.trim().split_once("#t=").unwrap();
    let id = note.trim().rsplit(' ').next().unwrap();
    (page.to_owned(), token.to_owned(), id.to_owned())
}

fn status_with(port: u16, token: &str) -> u16 {
    use std::io::Write;
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let fields = format!("Host: localhost\r\nConnection: close\r\n{}", bearer(token));
    write!(stream, "GET /api/status?token={token} HTTP/1.1\r\n{fields}\r\n").unwrap();
    std::io::read_to_string(stream).unwrap()[9..12].parse().unwrap()
}

#[test]
fn links_are_made_and_withdrawn_beside_a_server_that_runs_and_no_token_is_in_its_log() {
    let args = ["--sine-wave", "--private", "--state-dir", "state", "--log-level", "trace", "--bind", "127.0.0.1"];
    let folder = tempfile::tempdir().unwrap();
    // Before the first start there is a link already.
    let (_, early, _) = invited(&errand(folder.path(), &["invite", "--listen"]));
    let program = Program::start_in(folder, &args, None);
    let folder = program.folder.path();
    assert_eq!(status_with(program.port, &early), 200);

    let (page, ear, id) = invited(&errand(folder, &["invite", "--listen", "--expires", "2h"]));
    assert_eq!(page, format!("http://127.0.0.1:{}/listen", program.port));
    let (page, kitchen, _) = invited(&errand(folder, &["invite", "--room", "kitchen", "--url", "https://a.example"]));
    assert_eq!(page, "https://a.example/room/kitchen");
    assert_eq!((status_with(program.port, &ear), status_with(program.port, &kitchen)), (200, 403));
    let address = ([127, 0, 0, 1], program.port).into();
    let peer = Peer::enter_at(address, &format!("room=kitchen&token={kitchen}"));
    errand(folder, &["revoke", &id]);
    assert_eq!((status_with(program.port, &ear), status_with(program.port, &early)), (401, 200));

    let admin_link = || std::fs::read_to_string(folder.join("state/admin-link")).unwrap();
    let admin = admin_link();
    let token = |link: &str| link.trim().split_once("#t=").unwrap().1.to_owned();
    assert_eq!(status_with(program.port, &token(&admin)), 200);
    let said = errand(folder, &["revoke", "--all"]);
    assert!(String::from_utf8_lossy(&said.stdout).contains(admin_link().trim()));
    assert_ne!(admin_link(), admin);
    for (token, status) in [(early.clone(), 401), (token(&admin), 401), (token(&admin_link()), 200)] {
        assert_eq!(status_with(program.port, &token), status);
    }
    for name in ["key", "revoked", "admin-link", "address"] {
        let mode = std::fs::metadata(folder.join("state").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(peer);

    let file = std::fs::read_to_string(folder.join("app.log")).unwrap();
    for log in [file, program.log()] {
        assert!(log.contains("GET /api/status -> 200"), "requests are in it: {log}");
        for secret in [early.clone(), ear.clone(), kitchen.clone(), token(&admin), token(&admin_link())] {
            let half = secret.split_once('.').unwrap().1;
            assert!(!log.contains(half), "a token is in the log");
        }
        assert!(!log.contains("token="), "a query is in the log");
    }
}

#[test]
fn the_admin_link_is_shown_on_a_terminal_and_nowhere_else() {
    let args = ["--sine-wave", "--state-dir", "state", "--bind", "127.0.0.1"];
    let program = Program::start_in(tempfile::tempdir().unwrap(), &args, None);
    let link = std::fs::read_to_string(program.folder.path().join("state/admin-link")).unwrap();
    assert!(!program.log().contains(link.trim()));
    drop(program);

    // script(1) gives it a terminal; a server that cannot have its port ends by itself, so `timeout` ends this one.
    let folder = tempfile::tempdir().unwrap();
    let line = format!("timeout 5 {BINARY} --port 0 {}", args.join(" "));
    let Ok(output) = Command::new("script").args(["-qec", &line, "typescript"]).current_dir(&folder).output() else {
        return;
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    let link = std::fs::read_to_string(folder.path().join("state/admin-link")).unwrap();
    assert!(shown.contains(link.trim()), "{shown}");
    assert!(!std::fs::read_to_string(folder.path().join("app.log")).unwrap().contains("#t="));
}
