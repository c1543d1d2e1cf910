//! Which pages of other sites may use the server, over real sockets. All clients of a test are near, since they come from
//! loopback; a client elsewhere is one that a trusted proxy names.

use std::net::TcpStream;

use roomtone::access::token_store::TokenStore;
use roomtone::access::tokens::Permission;
use roomtone::web::handlers::authorize::Authorizer;
use roomtone::web::http::client_address::TrustedProxies;
use roomtone::web::http::origin::Origin;
use roomtone::web::http::origin_policy::OriginPolicy;
use tungstenite::client::IntoClientRequest;

use crate::access::private_server::{bearer, listen, offer_as_json, ws_refusal};
use crate::harness::http_client::{HttpResponse, code};
use crate::harness::room_peer::receive;
use crate::harness::server::{Server as TestServer, Setup};

const EVIL: &str = "Origin: https://evil.example\r\n";
const ELSEWHERE: &str = "X-Forwarded-For: 198.51.100.7\r\n";
const REBOUND: &str = "Host: rebound.evil.example:8088\r\nOrigin: http://rebound.evil.example:8088\r\n";

fn server(origins: OriginPolicy) -> TestServer {
    let proxies = TrustedProxies::parse(&["127.0.0.1".to_owned()]).unwrap();
    TestServer::start(Setup { origins, proxies, ..Setup::default() })
}

fn open_to(origin: &str) -> OriginPolicy {
    OriginPolicy { allowed_origins: vec![Origin::parse(origin).unwrap()], ..OriginPolicy::default() }
}

/// Asks with a `Host` of the test's own.
fn ask(server: &TestServer, method: &str, path: &str, fields: &str) -> HttpResponse {
    let mut client = server.client();
    client.send(format!("{method} {path} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n").as_bytes());
    client.response(method)
}

fn allowed(response: &HttpResponse) -> Option<&str> {
    response.field("access-control-allow-origin")
}

#[test]
fn a_page_that_a_near_visitor_opens_elsewhere_cannot_listen() {
    let server = server(OriginPolicy::default());
    let foreign = code(403, "foreign-origin");
    for origin in [
        "https://evil.example",
        "null",
        "http://localhost:1",
        "http://127.0.0.1",
        "https://localhost.example",
        "chrome-extension://abcdefghijklmnop",
    ] {
        let fields = format!("Origin: {origin}\r\n");
        let refused = listen(&server, "/whep", &fields);
        assert_eq!((refused.error(), allowed(&refused)), (foreign.clone(), None), "{origin}");
        assert_eq!(ws_refusal(&server, "", &fields), foreign, "{origin}");
        assert_eq!(offer_as_json(&server, &fields).error(), foreign, "{origin}");
        for (method, path) in [
            ("GET", "/whep"),
            ("GET", "/api/status"),
            ("GET", "/metrics"),
            ("GET", "/api/access?listen"),
            ("GET", "/"),
            ("GET", "/room/kitchen"),
            ("DELETE", "/whep/main/00112233445566778899aabbccddeeff"),
            ("PATCH", "/whep/main/00112233445566778899aabbccddeeff"),
        ] {
            let response = server.ask(method, path, &fields, b"");
            assert_eq!((response.error(), allowed(&response)), (foreign.clone(), None), "{origin}: {method} {path}");
        }
        // The browser does not even send what it asks about.
        let preflight = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type\r\n";
        let response = server.ask("OPTIONS", "/whep", &format!("{fields}{preflight}"), b"");
        assert_eq!((response.status, allowed(&response), response.field("link")), (204, None, None), "{origin}");
    }
    let message = listen(&server, "/whep", EVIL).json()["error"]["message"].to_string();
    assert!(message.contains("--allow-origin") && message.contains("token"), "{message}");
    // Programs, and this server's own page: requests of the harness have the host `localhost`.
    assert_eq!(listen(&server, "/whep", "").status, 201);
    assert_eq!(listen(&server, "/whep", "Origin: http://localhost\r\n").status, 201);
}

#[test]
fn a_page_of_another_site_may_listen_with_a_token_and_only_a_valid_one() {
    let store = TokenStore::open(None).unwrap();
    let token = bearer(&store.issue(Permission::Listen, None, None).unwrap().0);
    let server = TestServer::with_authorizer(Authorizer::new(false, store));
    let preflight =
        "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, content-type\r\n";
    let response = server.ask("OPTIONS", "/whep", &format!("{EVIL}{preflight}"), b"");
    assert_eq!((allowed(&response), response.field("link")), (Some("https://evil.example"), None));
    let created = listen(&server, "/whep", &format!("{EVIL}{token}"));
    assert_eq!((created.status, allowed(&created)), (201, Some("https://evil.example")));
    assert_eq!(created.field("vary"), Some("Origin"));
    let session = &*created.location("/whep").unwrap();
    assert_eq!(server.ask("DELETE", session, &format!("{EVIL}{token}"), b"").status, 200);
    let invalid = listen(&server, "/whep", &format!("{EVIL}Authorization: Bearer a.b\r\n"));
    assert_eq!(invalid.error(), code(401, "token-invalid"));
    // What acts in a visitor's name is kept to allowed origins, as for every client.
    assert_eq!(offer_as_json(&server, &format!("{EVIL}{token}")).error(), code(403, "foreign-origin"));
}

#[test]
fn to_clients_elsewhere_whep_is_open_to_every_page_and_nothing_else_is() {
    let server = server(OriginPolicy::default());
    let fields = format!("{ELSEWHERE}{EVIL}");
    let created = listen(&server, "/whep", &fields);
    assert_eq!((created.status, allowed(&created)), (201, Some("*")));
    assert_eq!(ws_refusal(&server, "", &fields), code(403, "foreign-origin"));
    assert_eq!(offer_as_json(&server, &fields).error(), code(403, "foreign-origin"));
    assert_eq!(server.ask("GET", "/api/status", &fields, b"").status, 200);
    assert_eq!(allowed(&server.ask("GET", "/api/status", &fields, b"")), None);
    for path in ["/", "/room/kitchen", "/api/status", "/whep"] {
        assert_eq!(ask(&server, "GET", path, &format!("{REBOUND}{ELSEWHERE}")).status, 200, "{path}");
    }
    let by_image = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n";
    let response = server.ask("GET", "/api/status", &format!("{ELSEWHERE}{by_image}"), b"");
    assert_eq!((response.status, response.field("cross-origin-resource-policy")), (200, None));
}

#[test]
fn a_name_that_was_made_to_point_here_reaches_nothing_from_near() {
    let server = server(OriginPolicy::default());
    let misdirected = code(421, "misdirected");
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/room/kitchen"),
        ("GET", "/nothing"),
        ("GET", "/api/status"),
        ("GET", "/api/access?listen"),
        ("POST", "/api/access?room=a"),
        ("GET", "/metrics"),
        ("POST", "/offer"),
        ("POST", "/whep"),
        ("OPTIONS", "/whep"),
        ("OPTIONS", "*"),
        ("PATCH", "/whep/main/00112233445566778899aabbccddeeff"),
        ("BREW", "/"),
    ] {
        assert_eq!(ask(&server, method, path, REBOUND).error(), misdirected, "{method} {path}");
        let without_origin = "Host: rebound.evil.example\r\n";
        assert_eq!(ask(&server, method, path, without_origin).error(), misdirected, "{method} {path}");
    }
    assert_eq!(ask(&server, "GET", "/ws", &format!("{REBOUND}{upgrade}")).error(), misdirected);
    let absolute = ask(&server, "GET", "http://evil.example/api/status", "Host: localhost\r\n");
    assert_eq!(absolute.error(), misdirected, "the target's authority counts");
    let message = ask(&server, "GET", "/", REBOUND).json()["error"]["message"].to_string();
    assert!(message.contains("--allow-host rebound.evil.example"), "{message}");
    for host in ["x".repeat(200) + ".example", "a.".repeat(3_000) + "example"] {
        let response = ask(&server, "GET", "/", &format!("Host: {host}\r\n"));
        assert!(response.json()["error"]["message"].as_str().unwrap().len() <= 200, "{}", response.head);
    }
    for host in ["localhost:1", "127.0.0.1", "[::1]:8088", "studio", "studio.local:8088", "192.0.2.1"] {
        let response = ask(&server, "GET", "/api/status", &format!("Host: {host}\r\n"));
        assert_eq!(response.status, 200, "{host}");
    }
    assert_eq!(ask(&server, "GET", "/healthz", REBOUND).body, b"ok");
    let mut old = server.client();
    old.send(b"GET /api/status HTTP/1.0\r\n\r\n");
    assert_eq!(old.response("GET").status, 200);
}

#[test]
fn a_rebound_page_cannot_give_itself_another_host_by_what_proxies_write() {
    let server = server(OriginPolicy::default());
    for forged in
        ["X-Forwarded-Host: localhost\r\n", "Forwarded: host=localhost\r\n", "Forwarded: for=::1;host=\"[::1]\"\r\n"]
    {
        for path in ["/", "/api/status", "/api/access?listen"] {
            let response = ask(&server, "GET", path, &format!("Host: rebound.evil.example:8088\r\n{forged}"));
            assert_eq!(response.error(), code(421, "misdirected"), "{path} with {forged}");
        }
    }
}

#[test]
fn behind_a_proxy_that_asks_by_its_own_name_for_the_server_pages_of_the_public_name_are_own_ones() {
    let names = vec!["meet.example.net".to_owned()];
    let server = server(OriginPolicy { names, ..OriginPolicy::default() });
    let foreign = |fields: &str, origin: &str| {
        let fields =
            format!("{ELSEWHERE}Host: 127.0.0.1:8088\r\n{fields}Origin: https://{origin}\r\nContent-Length: 0\r\n");
        ask(&server, "POST", "/offer", &fields).status == 403
    };
    let (own, evil) = ("meet.example.net:8443", "evil.example");
    assert!(!foreign(&format!("X-Forwarded-Host: {own}\r\n"), own));
    assert!(!foreign(&format!("Forwarded: for=198.51.100.7;host=\"{own}\"\r\n"), own));
    assert!(foreign("", own), "nobody said that this is its name");
    assert!(foreign(&format!("X-Forwarded-Host: {own}\r\n"), evil));
    assert!(foreign(&format!("X-Forwarded-Host: {evil}\r\n"), evil));
    assert!(foreign(&format!("X-Forwarded-Host: {own}\r\nForwarded: host={evil}\r\n"), own), "the two disagree");
}

#[test]
fn a_person_at_an_unknown_name_reads_a_page_that_names_the_flag() {
    let server = server(OriginPolicy { names: vec!["music.example.org".into()], ..OriginPolicy::default() });
    let fields = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let response = ask(&server, "GET", "/listen", &format!("Host: Studio.example.org:8088\r\n{fields}"));
    let page = String::from_utf8(response.body.clone()).unwrap();
    assert_eq!((response.status, response.field("content-type")), (421, Some("text/html; charset=utf-8")));
    assert!(page.contains("<code>--allow-host studio.example.org</code>"), "{page}");
    assert!(response.field("content-security-policy").unwrap().starts_with("default-src 'none'"));
    // Nothing of a `Host` gets into the page that HTML would read as more than text.
    let odd = ask(&server, "GET", "/", &format!("Host: a&lt;b'.example\r\n{fields}"));
    assert!(String::from_utf8(odd.body).unwrap().contains("--allow-host NAME"));
    assert_eq!(ask(&server, "GET", "/listen", &format!("Host: music.example.org\r\n{fields}")).status, 200);
}

#[test]
fn what_a_near_visitors_browser_loads_for_another_site_is_refused_unless_a_link_was_followed() {
    let server = server(OriginPolicy::default());
    for path in ["/api/status", "/metrics", "/whep", "/", "/listen"] {
        for site in ["cross-site", "same-site"] {
            let fields = format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: no-cors\r\n");
            assert_eq!(server.ask("GET", path, &fields, b"").error(), code(403, "foreign-origin"), "{site} {path}");
        }
        let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n";
        assert_eq!(server.ask("GET", path, link, b"").status, 200, "{path}");
        // Browsers send these fields on https and localhost only, and keep this policy everywhere.
        let response = server.ask("GET", path, "", b"");
        assert_eq!(response.field("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        assert_eq!(response.head.to_lowercase().matches("cross-origin-resource-policy").count(), 1, "{path}");
    }
}

#[test]
fn a_page_of_an_allowed_origin_may_use_rooms_and_offers_and_read_the_answers() {
    let club = "https://club.example:444";
    let server = server(open_to(club));
    let answer = offer_as_json(&server, &format!("Origin: {club}\r\n"));
    assert_eq!((answer.status, allowed(&answer)), (200, Some(club)));
    assert_eq!(answer.field("vary"), Some("Origin"));
    let listening = listen(&server, "/whep", &format!("Origin: {club}\r\n"));
    assert_eq!((listening.status, allowed(&listening)), (201, Some(club)));
    let preflight = server.ask("OPTIONS", "/offer", &format!("Origin: {club}\r\n"), b"");
    assert_eq!(allowed(&preflight), Some(club));
    let other = offer_as_json(&server, "Origin: https://club.example\r\n");
    assert_eq!((other.error(), allowed(&other)), (code(403, "foreign-origin"), None));
    let address = server.address();
    let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
    request.headers_mut().insert("Origin", club.parse().unwrap());
    let (mut socket, _) = tungstenite::client(request, TcpStream::connect(address).unwrap()).unwrap();
    assert_eq!(receive(&mut socket)["type"], "init-peers");
}

#[test]
fn a_server_that_is_open_to_all_origins_is_open_to_them_for_near_visitors_too() {
    let server = server(OriginPolicy { allows_all_origins: true, ..OriginPolicy::default() });
    for origin in ["https://evil.example", "null", "file://"] {
        let fields = format!("Origin: {origin}\r\n");
        let created = listen(&server, "/whep/main", &fields);
        let session = created.location("/whep/main").unwrap();
        assert_eq!((created.status, allowed(&created)), (201, Some("*")), "{origin}");
        assert_eq!(allowed(&server.ask("GET", "/api/status", &fields, b"")), Some("*"));
        assert_eq!(server.ask("DELETE", &session, &fields, b"").status, 200);
    }
    assert_eq!(ask(&server, "GET", "/", REBOUND).error(), code(421, "misdirected"));
}
