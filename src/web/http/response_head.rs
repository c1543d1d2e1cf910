//! A response's status line and header fields as they are sent (RFC 9112 §4). Pure: the time is an argument.

use std::borrow::Cow;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::web::http::body::Body;
use crate::web::http::head::Version;
use crate::web::http::message::Response;

/// Fields of every response.
const COMMON_FIELDS: &str = "X-Content-Type-Options: nosniff\r\nServer: roomtone\r\n";
/// RFC 9110 §5.6.7.
const IMF_FIXDATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// A response, and what else its head depends on.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// Its status, its fields, and of its body the kind and length.
    pub response: &'a Response,
    /// Fields that say which pages of other origins may read the response, whatever it is.
    pub cross_origin: &'a [(&'static str, Cow<'static, str>)],
    /// What the client speaks: a stream is chunked for HTTP/1.1, and ends with the connection for HTTP/1.0.
    pub version: Version,
    /// Another request may follow on this connection.
    pub keep_alive: bool,
    /// For `Date`, which a response that came through tiny_http has already.
    pub now: SystemTime,
}

impl ResponseHead<'_> {
    /// Everything up to the body.
    pub fn to_bytes(self) -> Vec<u8> {
        let ResponseHead { response, cross_origin, version, keep_alive, now } = self;
        let reason = tiny_http::StatusCode(response.status).default_reason_phrase();
        let mut head = format!("HTTP/1.1 {} {reason}\r\n{COMMON_FIELDS}", response.status);
        let mut add = |name: &str, value: &str| {
            head += name;
            head += ": ";
            head += value;
            head += "\r\n";
        };
        for (name, value) in cross_origin {
            add(name, value);
        }
        // RFC 9110 §8.6: no length where there can be no body; RFC 9112 §6.3: a length everywhere else but in a stream.
        let bodiless = matches!(response.status, 204 | 304);
        for (name, value) in &response.headers {
            if !(bodiless && name.eq_ignore_ascii_case("content-length")) {
                add(name, value);
            }
        }
        if response.find("date").is_none()
            && let Ok(date) = OffsetDateTime::from(now).format(IMF_FIXDATE)
        {
            add("Date", &date);
        }
        match &response.body {
            Body::Bytes(bytes) if !bodiless && response.find("content-length").is_none() => {
                add("Content-Length", &bytes.len().to_string());
            }
            Body::Bytes(_) => {}
            Body::Stream(_) if version == Version::Http11 => add("Transfer-Encoding", "chunked"),
            Body::Stream(_) => {}
        }
        if !keep_alive {
            add("Connection", "close");
        }
        head += "\r\n";
        head.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::web::http::body::{BodyStream, Next};

    struct Endless;

    impl BodyStream for Endless {
        fn next(&mut self, _: &mut [u8], _: Instant) -> Next {
            Next::Wait(None)
        }
    }

    fn head(response: &Response, version: Version, keep_alive: bool) -> String {
        // RFC 9110 §5.6.7's example.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let head = ResponseHead { response, cross_origin: &[], version, keep_alive, now };
        String::from_utf8(head.to_bytes()).unwrap()
    }

    #[test]
    fn a_response_without_body_has_no_length() {
        let head = head(&Response::new(204).header("Content-Length", "0"), Version::Http11, true);
        assert!(head.starts_with("HTTP/1.1 204 No Content\r\nX-Content-Type-Options: nosniff\r\n"), "{head}");
        assert!(!head.contains("Content-Length") && !head.contains("Connection"), "{head}");
    }

    #[test]
    fn every_other_response_of_bytes_has_one_length() {
        let with_length = head(&Response::new(200).header("Content-Length", "7"), Version::Http11, false);
        assert_eq!(with_length.matches("Content-Length: 7\r\n").count(), 1, "{with_length}");
        let head = head(&Response::new(200), Version::Http11, false);
        assert!(head.contains("Content-Length: 0\r\n") && head.contains("Connection: close\r\n"), "{head}");
    }

    #[test]
    fn a_stream_is_chunked_for_http_1_1_and_ends_with_the_connection_for_http_1_0() {
        let response = Response::new(200).stream("audio/ogg", Box::new(Endless));
        for (version, is_chunked) in [(Version::Http11, true), (Version::Http10, false)] {
            let head = head(&response, version, false);
            assert_eq!(head.contains("Transfer-Encoding: chunked\r\n"), is_chunked, "{head}");
            assert!(!head.contains("Content-Length"), "{head}");
        }
    }

    #[test]
    fn every_response_has_one_date() {
        let made_here = head(&Response::new(404), Version::Http11, true);
        assert!(made_here.contains("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{made_here}");
        let passed_on = head(&Response::new(404).header("Date", "today"), Version::Http11, true);
        assert!(passed_on.contains("Date: today\r\n") && passed_on.matches("Date:").count() == 1, "{passed_on}");
    }
}
