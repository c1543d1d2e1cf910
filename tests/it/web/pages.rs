//! Pages over real sockets.

use crate::harness::server::Server;

#[test]
fn a_page_is_served_with_type_tag_and_strict_headers() {
    let server = Server::open();
    let page = server.ask("GET", "/listen?x=1", "", b"");
    assert_eq!((page.status, page.body.as_slice()), (200, b"<!doctype html><p>listen".as_slice()));
    assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.field("x-content-type-options"), Some("nosniff"));
    assert!(page.field("content-security-policy").unwrap().starts_with("default-src 'none'"));
    assert!(page.field("permissions-policy").unwrap().contains("microphone=(self)"));
    assert_eq!(page.field("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.field("cross-origin-opener-policy"), Some("same-origin"));
    assert_eq!(page.field("cross-origin-resource-policy"), Some("same-origin"));
    assert_eq!(page.field("set-cookie"), None);
    assert_eq!(page.head.matches("Server:").count(), 1, "{}", page.head);

    let tag = page.field("etag").unwrap();
    let again = server.ask("GET", "/listen", &format!("If-None-Match: {tag}\r\n"), b"");
    assert_eq!((again.status, again.field("etag"), again.body.len()), (304, Some(tag), 0));
}

#[test]
fn a_head_request_has_the_length_but_not_the_body() {
    let server = Server::open();
    let mut client = server.client();
    client.ask("HEAD", "/", "", b"");
    let response = client.response("HEAD");
    assert_eq!((response.status, response.field("content-length")), (200, Some("23")));
    // A body would be taken for the head of the next answer.
    client.ask("GET", "/healthz", "", b"");
    assert_eq!(client.response("GET").body, b"ok");
}
