//! Every path and method: statuses, `Allow`, and which pages may read the response.

use roomtone::access::token_store::TokenStore;
use roomtone::web::handlers::authorize::Authorizer;
use roomtone::web::http::client_address::TrustedProxies;

use crate::harness::http_client::code;
use crate::harness::server::{Server, Setup};

/// `Allow` of what is only read.
const READ: &str = "GET, HEAD, OPTIONS";
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"];

/// For each path the statuses of all methods without body, token and handshake: of an open server, of a private one,
/// and the `Allow` of 405 and `OPTIONS`.
#[rustfmt::skip]
const STATUSES: &[(&str, &str, &str, &str)] = &[
    ("/", "200 200 405 405 405 405 204 405", "200 200 405 405 405 405 204 405", READ),
    ("/listen", "200 200 405 405 405 405 204 405", "200 200 405 405 405 405 204 405", READ),
    ("/listen.html", "200 200 405 405 405 405 204 405", "200 200 405 405 405 405 204 405", READ),
    ("/nothing", "404 404 404 404 404 404 404 404", "404 404 404 404 404 404 404 404", ""),
    ("/room/kitchen", "200 200 405 405 405 405 204 405", "200 200 405 405 405 405 204 405", READ),
    ("/room/", "404 404 404 404 404 404 404 404", "404 404 404 404 404 404 404 404", ""),
    ("/room/a/b", "404 404 404 404 404 404 404 404", "404 404 404 404 404 404 404 404", ""),
    ("/room", "307 307 405 405 405 405 204 405", "307 307 405 405 405 405 204 405", READ),
    ("/listen/", "307 307 405 405 405 405 204 405", "307 307 405 405 405 405 204 405", READ),
    ("/%zz", "404 404 404 404 404 404 404 404", "404 404 404 404 404 404 404 404", ""),
    ("/../x", "404 404 404 404 404 404 404 404", "404 404 404 404 404 404 404 404", ""),
    ("/ws", "426 405 405 405 405 405 405 405", "426 405 405 405 405 405 405 405", "GET"),
    ("/ws?room=a", "426 405 405 405 405 405 405 405", "426 405 405 405 405 405 405 405", "GET"),
    ("/ws/", "404 404 404 404 404 404 404 404", "404 404 404 404 404 404 404 404", ""),
    ("/wsx", "404 404 404 404 404 404 404 404", "404 404 404 404 404 404 404 404", ""),
    ("/healthz", "200 200 405 405 405 405 204 405", "200 200 405 405 405 405 204 405", READ),
    ("/healthz/", "404 404 404 404 404 404 404 404", "404 404 404 404 404 404 404 404", ""),
    ("/api/status", "200 200 405 405 405 405 204 405", "401 401 405 405 405 405 204 405", READ),
    ("/api/access", "401 401 415 405 405 405 204 405", "401 401 415 405 405 405 204 405", "GET, HEAD, POST, OPTIONS"),
    ("/api/access?listen", "200 200 415 405 405 405 204 405", "401 401 415 405 405 405 204 405", "GET, HEAD, POST, OPTIONS"),
    ("/api/access?room=a", "200 200 415 405 405 405 204 405", "401 401 415 405 405 405 204 405", "GET, HEAD, POST, OPTIONS"),
    ("/api/access?room=a%20b", "400 400 400 405 405 405 204 405", "400 400 400 405 405 405 204 405", "GET, HEAD, POST, OPTIONS"),
    ("/api/access?room=a&listen", "400 400 400 405 405 405 204 405", "400 400 400 405 405 405 204 405", "GET, HEAD, POST, OPTIONS"),
    ("/api/access?resume=1", "400 400 415 405 405 405 204 405", "400 400 415 405 405 405 204 405", "GET, HEAD, POST, OPTIONS"),
    ("/api", "404 404 404 404 404 404 404 404", "404 404 404 404 404 404 404 404", ""),
    ("/offer", "405 405 415 405 405 405 204 405", "405 405 401 405 405 405 204 405", "POST, OPTIONS"),
    ("/offer/", "404 404 404 404 404 404 404 404", "404 404 404 404 404 404 404 404", ""),
    ("/whep", "200 200 415 405 405 405 204 405", "401 401 401 405 405 405 204 405", "GET, HEAD, POST, OPTIONS"),
    ("/whep/", "200 200 415 405 405 405 204 405", "401 401 401 405 405 405 204 405", "GET, HEAD, POST, OPTIONS"),
    ("/whep/main", "200 200 415 405 405 405 204 405", "401 401 401 405 405 405 204 405", "GET, HEAD, POST, OPTIONS"),
    ("/whep/main/", "200 200 415 405 405 405 204 405", "401 401 401 405 405 405 204 405", "GET, HEAD, POST, OPTIONS"),
    ("/whep/unknown", "404 404 404 405 405 405 204 405", "401 401 401 405 405 405 204 405", "GET, HEAD, POST, OPTIONS"),
    ("/whep/main/00112233445566778899aabbccddeeff", "200 200 405 405 415 404 204 405", "200 200 405 405 415 404 204 405", "GET, HEAD, PATCH, DELETE, OPTIONS"),
    ("/whep/main/xyz", "404 404 405 405 404 404 204 405", "404 404 405 405 404 404 204 405", "GET, HEAD, PATCH, DELETE, OPTIONS"),
    ("/whep/main/x/y", "404 404 404 404 404 404 404 404", "404 404 404 404 404 404 404 404", ""),
    ("/whepx", "404 404 404 404 404 404 404 404", "404 404 404 404 404 404 404 404", ""),
];

#[test]
fn every_path_and_method_has_its_status() {
    let open = Server::open();
    let private = Server::with_authorizer(Authorizer::new(true, TokenStore::open(None).unwrap()));
    for (path, of_open, of_private, allowed) in STATUSES {
        for (server, statuses) in [(&open, of_open), (&private, of_private)] {
            let mut got = vec![];
            for method in METHODS {
                let response = server.ask(method, path, "", b"");
                let lists_methods = matches!(response.status, 204 | 405);
                assert_eq!(response.field("allow"), lists_methods.then_some(*allowed), "{method} {path}");
                got.push(response.status.to_string());
            }
            assert_eq!(got.join(" "), **statuses, "{path}");
        }
    }
}

#[test]
fn every_response_of_whep_may_be_read_by_other_origins_and_no_other() {
    let proxies = TrustedProxies::parse(&["127.0.0.1".to_owned()]).unwrap();
    let server = Server::start(Setup { proxies, ..Setup::default() });
    // Near clients have rules of their own, see `access::origins`.
    let elsewhere = "Origin: http://elsewhere\r\nX-Forwarded-For: 198.51.100.7\r\n";
    let too_large = "Content-Length: 100000\r\n";
    for (method, path, fields) in [
        ("POST", "/whep", ""),
        ("OPTIONS", "/whep/main", ""),
        ("GET", "/whep/unknown", ""),
        ("POST", "/whep", too_large),
    ] {
        let response = server.ask(method, path, &format!("{elsewhere}{fields}"), b"");
        assert_eq!(response.field("access-control-allow-origin"), Some("*"), "{method} {path}");
        let exposed = response.field("access-control-expose-headers");
        assert_eq!(exposed, Some("Location, Link, ETag, Accept-Patch, Retry-After"), "{method} {path}");
        assert_eq!(response.head.matches("Access-Control-Allow-Origin").count(), 1, "{method} {path}");
    }
    for (method, path) in
        [("GET", "/"), ("GET", "/nothing"), ("GET", "/offer"), ("GET", "/healthz"), ("GET", "/api/status")]
    {
        let response = server.ask(method, path, elsewhere, b"");
        assert_eq!(response.field("access-control-allow-origin"), None, "{method} {path}");
    }
}

#[test]
fn options_lists_the_methods() {
    let server = Server::open();
    let cases = [
        ("/", "GET, HEAD, OPTIONS"),
        ("/healthz", "GET, HEAD, OPTIONS"),
        ("/api/status", "GET, HEAD, OPTIONS"),
        ("/offer", "POST, OPTIONS"),
        ("/whep", "GET, HEAD, POST, OPTIONS"),
        ("/whep/other", "GET, HEAD, POST, OPTIONS"),
        ("/whep/main/00112233445566778899aabbccddeeff", "GET, HEAD, PATCH, DELETE, OPTIONS"),
    ];
    for (path, allowed) in cases {
        let fields = "Origin: http://a\r\nAccess-Control-Request-Method: PATCH\r\n";
        let response = server.ask("OPTIONS", path, fields, b"");
        assert_eq!(
            (response.status, response.field("allow"), response.field("content-length")),
            (204, Some(allowed), None),
            "{path}"
        );
        assert_eq!(response.field("access-control-allow-methods"), Some(allowed), "{path}");
        assert_eq!(response.field("access-control-allow-headers"), Some("content-type, if-match, authorization"));
        assert!(response.field("access-control-max-age").is_some());
    }
    assert_eq!(server.ask("OPTIONS", "/whep", "", b"").field("accept-post"), Some("application/sdp"));
    assert_eq!(server.ask("OPTIONS", "/offer", "", b"").field("accept-post"), Some("application/json"));
    assert_eq!(server.ask("OPTIONS", "*", "", b"").status, 204);
    assert_eq!(server.ask("OPTIONS", "/nothing", "", b"").status, 404);
}

#[test]
fn an_unknown_path_is_404_and_a_wrong_method_405_with_what_is_allowed() {
    let server = Server::open();
    assert_eq!(server.ask("GET", "/nothing", "", b"").error(), code(404, "unknown-path"));
    assert_eq!(server.ask("GET", "/ws", "", b"").error(), code(426, "upgrade-required"));
    assert_eq!(server.ask("POST", "/nothing", "", b"x").error(), code(404, "unknown-path"));
    assert_eq!(server.ask("POST", "/whep/unknown", "", b"x").error(), code(404, "unknown-station"));
    let session = "/whep/main/00112233445566778899aabbccddeeff";
    let long = server.ask(&"B".repeat(10_000), "/healthz", "", b"");
    assert!(long.status == 405 && long.body.len() < 200, "what was sent is not sent back");
    for (method, path, allowed) in [
        ("POST", "/", "GET, HEAD, OPTIONS"),
        ("GET", "/offer", "POST, OPTIONS"),
        ("PUT", "/whep", "GET, HEAD, POST, OPTIONS"),
        ("POST", session, "GET, HEAD, PATCH, DELETE, OPTIONS"),
        ("BREW", "/healthz", "GET, HEAD, OPTIONS"),
    ] {
        let response = server.ask(method, path, "", b"");
        assert_eq!(response.error(), code(405, "method-not-allowed"), "{method} {path}");
        assert_eq!(response.field("allow"), Some(allowed), "{method} {path}");
    }
}
