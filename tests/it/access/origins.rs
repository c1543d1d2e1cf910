//! Which pages of other sites may use the server, over real sockets.

use std::net::TcpStream;

use roomtone::access::token_store::TokenStore;
use roomtone::web::handlers::authorize::Authorizer;
use roomtone::web::http::origin::Origin;
use tungstenite::client::IntoClientRequest;

use crate::access::private_server::{listen, offer_as_json, ws_refusal};
use crate::harness::http_client::code;
use crate::harness::room_peer::receive;
use crate::harness::server::Server as TestServer;

#[test]
fn a_page_of_another_site_may_use_whep_and_nothing_else() {
    let server = TestServer::open();
    let foreign = code(403, "foreign-origin");
    for origin in ["http://elsewhere.example", "null", "http://localhost:1", "https://localhost.example"] {
        let fields = format!("Origin: {origin}\r\n");
        assert_eq!(ws_refusal(&server, "", &fields), foreign, "{origin}");
        assert_eq!(offer_as_json(&server, &fields).error(), foreign, "{origin}");
    }
    assert!(
        offer_as_json(&server, "Origin: null\r\n").json()["error"]["message"]
            .as_str()
            .unwrap()
            .contains("--allow-origin")
    );
    let created = listen(&server, "/whep", "Origin: http://elsewhere.example\r\n");
    assert_eq!((created.status, created.field("access-control-allow-origin")), (201, Some("*")));
    // Our own page: requests of the harness have the host `localhost`.
    assert_eq!(offer_as_json(&server, "Origin: http://localhost\r\n").status, 200);
}

#[test]
fn a_page_of_an_allowed_origin_may_use_rooms_and_offers_and_read_the_answers() {
    let club = "https://club.example:444";
    let authorizer = Authorizer::new(false, TokenStore::open(None).unwrap(), vec![Origin::parse(club).unwrap()]);
    let server = TestServer::with_authorizer(authorizer);
    let answer = offer_as_json(&server, &format!("Origin: {club}\r\n"));
    assert_eq!((answer.status, answer.field("access-control-allow-origin")), (200, Some(club)));
    assert_eq!(answer.field("vary"), Some("Origin"));
    let preflight = server.ask("OPTIONS", "/offer", &format!("Origin: {club}\r\n"), b"");
    assert_eq!(preflight.field("access-control-allow-origin"), Some(club));
    let other = offer_as_json(&server, "Origin: https://club.example\r\n");
    assert_eq!((other.error(), other.field("access-control-allow-origin")), (code(403, "foreign-origin"), None));
    let address = server.address();
    let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
    request.headers_mut().insert("Origin", club.parse().unwrap());
    let (mut socket, _) = tungstenite::client(request, TcpStream::connect(address).unwrap()).unwrap();
    assert_eq!(receive(&mut socket)["type"], "init-peers");
}
