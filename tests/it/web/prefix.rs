//! Behind a proxy that serves this host below a path, whether or not it takes the path off; and where pages moved to.

use roomtone::web::http::base_url::BaseUrl;
use roomtone::web::http::client_address::TrustedProxies;
use roomtone::web::http::origin_policy::OriginPolicy;

use crate::harness::http_client::HttpResponse;
use crate::harness::server::{Server, Setup};
use crate::web::tls::Secure;
use crate::web::whep::offer;

fn below(url: &str) -> Server {
    Server::start(Setup { public_url: Some(BaseUrl::parse(url).unwrap()), ..Setup::default() })
}

fn get(server: &Server, path: &str) -> HttpResponse {
    server.ask("GET", path, "", b"")
}

#[test]
fn everything_is_found_below_the_path_of_the_public_url_and_without_it() {
    let server = below("https://example.net/sub/");
    for prefix in ["", "/sub"] {
        for path in ["/", "/listen", "/room/kitchen", "/index.html", "/healthz", "/api/status?x", "/api/access?room=a"]
        {
            assert_eq!(get(&server, &format!("{prefix}{path}")).status, 200, "{prefix}{path}");
        }
        let endpoint = format!("{prefix}/whep");
        let created = server.ask("POST", &endpoint, "Content-Type: application/sdp\r\n", offer().as_bytes());
        let session = created.location(&endpoint).unwrap();
        assert!(created.status == 201 && session.starts_with(&format!("{endpoint}/main/")), "{session}");
        assert_eq!(server.ask("DELETE", &session, "", b"").status, 200);
        let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        assert_eq!(server.ask("GET", &format!("{prefix}/ws?room=a"), upgrade, b"").status, 101, "{prefix}");
    }
    for unknown in ["/subx/listen", "/sub/nothing", "/sub/sub/listen", "/other/listen", "/Sub/listen", "/sub//listen"] {
        assert_eq!(get(&server, unknown).status, 404, "{unknown}");
    }
    assert_eq!(server.ask("POST", "/sub/listen", "", b"").status, 405);
    assert_eq!(get(&Server::open(), "/sub/listen").status, 404);
}

#[test]
fn a_public_path_that_is_a_page_of_this_server_hides_nothing() {
    let server = below("https://example.net/listen");
    assert_eq!(get(&server, "/listen").body, get(&server, "/listen/listen").body);
    assert_eq!(get(&server, "/listen/room/a").body, get(&server, "/room/a").body);
}

#[test]
fn each_page_lies_at_one_depth_and_other_spellings_of_its_address_lead_there() {
    let server = below("https://example.net/a/sub");
    for (path, to) in [
        ("/a/sub", "sub/"),
        ("/a/sub?x=1", "sub/?x=1"),
        ("/listen/", "../listen"),
        ("/a/sub/listen/?station=main", "../listen?station=main"),
        ("/room/kitchen/", "../kitchen"),
        ("/room", "room/main"),
        ("/a/sub/room?name=kitchen", "room/kitchen"),
        ("/room.html", "room/main"),
    ] {
        let response = get(&server, path);
        assert_eq!((response.status, response.field("location")), (307, Some(to)), "{path}");
    }
    assert_eq!(get(&server, "/room?name=a%2Fb").status, 400);
    assert_eq!(get(&server, "/room?name=//evil.example").status, 400);
    assert_eq!(get(&server, "/room//evil.example/").status, 404);
}

#[test]
fn the_redirect_to_https_keeps_the_path_that_a_proxy_took_off() {
    let proxies = TrustedProxies::parse(&["127.0.0.1".into()]).unwrap();
    let public_url = BaseUrl::parse("https://meet.example.net/meet");
    let origins = OriginPolicy { names: vec!["meet.example.net".into()], ..OriginPolicy::default() };
    let secure = Secure::start(Setup { proxies, public_url, origins, ..Setup::default() });
    let location = |host: &str, fields: &str| {
        let mut client = secure.server.client();
        client.send(format!("GET /room/a?b HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n").as_bytes());
        client.response("GET").field("location").map(str::to_owned)
    };
    assert_eq!(location("192.0.2.1", "").as_deref(), Some("https://192.0.2.1/room/a?b"));
    let prefix = "X-Forwarded-Prefix: /sub/x\r\n";
    assert_eq!(location("192.0.2.1", prefix).as_deref(), Some("https://192.0.2.1/sub/x/room/a?b"));
    assert_eq!(location("meet.example.net", "").as_deref(), Some("https://meet.example.net/meet/room/a?b"));
    for odd in
        ["X-Forwarded-Prefix: //evil.example\r\n", "X-Forwarded-Prefix: /a/../b\r\n", "X-Forwarded-Prefix: @x\r\n"]
    {
        assert_eq!(location("192.0.2.1", odd).as_deref(), Some("https://192.0.2.1/room/a?b"), "{odd}");
    }
}
