//! Which requests are sent to `https://`: those for a room's page in the clear, because browsers give camera and
//! microphone only to secure pages (W3C Secure Contexts §3.1). Everything else is served either way. Pure.

use crate::net::authority::Authority;
use crate::web::http::head::Head;
use crate::web::http::message::Answer;

const ROOMS: &str = "/room/";

/// The answer to a request that came without TLS; None if it is served as it is.
pub fn to_https(head: &Head) -> Option<Answer> {
    let asked = matches!(head.method.as_str(), "GET" | "HEAD") && head.target.starts_with(ROOMS);
    (asked && !head.host.is_empty() && !is_loopback(&head.host)).then(|| {
        Answer::new(307)
            .header("Location", format!("https://{}{}", head.host, head.target))
            .header("Cache-Control", "no-store")
    })
}

/// Whether browsers take a page of this host, port and all, for a secure one without TLS.
fn is_loopback(host: &str) -> bool {
    Authority::parse(host).is_some_and(|authority| authority.host.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::http::head;

    fn location(line: &str, host: &str) -> Option<String> {
        let head = head::parse(format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
        let answer = to_https(&head)?;
        assert_eq!((answer.status, answer.find("cache-control")), (307, Some("no-store")));
        answer.find("location").map(str::to_owned)
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
