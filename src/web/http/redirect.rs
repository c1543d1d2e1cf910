//! Redirects: to `https://`, for resources that need a secure context, and to where a page lies; which these are says `routes`.
//! Pure.

use crate::net::authority::Authority;
use crate::web::http::message::{Request, Response};

/// The response to a request that came without TLS; None if it is served as it is: if nothing is fetched, if it is not
/// known which host was asked, or if browsers treat the host as secure anyway (W3C Secure Contexts §3.1).
pub fn to_https(request: &Request) -> Option<Response> {
    let is_fetch = matches!(request.method.as_str(), "GET" | "HEAD");
    (is_fetch && !request.host.is_empty() && !is_loopback(&request.host))
        .then(|| to(format!("https://{}{}{}", request.host, request.prefix, request.target)))
}

/// The response that leads to a URI reference (RFC 9110 §15.4.8).
pub fn to(location: String) -> Response {
    Response::new(307).header("Location", location).header("Cache-Control", "no-store")
}

/// Whether browsers treat a page of this host, which may have a port, as secure without TLS.
fn is_loopback(host: &str) -> bool {
    Authority::parse(host).is_some_and(|authority| authority.host.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::http::client_address::Client;
    use crate::web::http::routes;

    /// Where a request is redirected to, if `routes` says that its resource needs a secure context.
    fn location(line: &str, host: &str) -> Option<String> {
        let (method, target) = line.split_once(' ').unwrap();
        let request = Request {
            method: method.into(),
            target: target.into(),
            host: host.into(),
            headers: vec![],
            body: vec![],
            client: Client { address: "192.0.2.9:1".parse().unwrap(), is_secure: false },
            prefix: String::new(),
        };
        let response = Some(()).filter(|()| routes::find(request.path()).redirects_to_https).and(to_https(&request))?;
        assert_eq!((response.status, response.find("cache-control")), (307, Some("no-store")));
        response.find("location").map(str::to_owned)
    }

    #[test]
    fn a_rooms_page_goes_to_the_same_place_over_https() {
        let there = location("GET /room/a?b=c", "192.0.2.1:8088");
        assert_eq!(there.as_deref(), Some("https://192.0.2.1:8088/room/a?b=c"));
        assert_eq!(location("HEAD /room/a", "[2001:db8::1]").as_deref(), Some("https://[2001:db8::1]/room/a"));
        assert_eq!(
            location("GET /room/a", "localhost.example.net").as_deref(),
            Some("https://localhost.example.net/room/a")
        );
    }

    #[test]
    fn nothing_else_does() {
        for host in
            ["localhost", "LOCALHOST:8088", "a.localhost:1", "127.0.0.1", "127.9.9.9:80", "[::1]:8088", "localhost."]
        {
            assert_eq!(location("GET /room/a", host), None, "{host}");
        }
        for line in ["GET /", "GET /listen", "POST /room/a", "GET /ws?room=a", "GET /x/room/a"] {
            assert_eq!(location(line, "192.0.2.1"), None, "{line}");
        }
    }
}
