//! A request and its response, as handlers see them (RFC 9110): plain values, no socket. Every error response of this
//! server is made here.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::json;

use crate::observe::sentence::sentence;
use crate::web::http::body::{Body, BodyStream};
use crate::web::http::client_address::Client;
use crate::web::http::error_code::ErrorCode;

/// A request that arrived whole.
#[derive(Clone, Debug)]
pub struct Request {
    /// As sent, upper case by custom.
    pub method: String,
    /// Path and query; still percent-encoded. The query may hold a token, so it is never logged.
    pub target: String,
    /// The host that was asked, with its port unless it is the scheme's own. Empty if HTTP/1.0 gave none.
    pub host: String,
    /// The fields that handlers may see.
    pub headers: Vec<(String, String)>,
    /// Without any transfer coding.
    pub body: Vec<u8>,
    /// Who asks, proxies that are trusted left out.
    pub client: Client,
    /// What a proxy has in front of the path, as `/sub`; empty without one, and behind tiny_http.
    pub prefix: String,
}

impl Request {
    /// The target without its query; still percent-encoded.
    pub fn path(&self) -> &str {
        split_target(&self.target).0
    }

    /// What stands behind the `?`; may hold a token, so it is never logged.
    pub fn query(&self) -> &str {
        split_target(&self.target).1
    }

    /// See [`field`].
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        field(&self.headers, name)
    }

    /// The media type of the body in lower case, without parameters (RFC 9110 §8.3.1); empty if none is given.
    pub fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// A target's path and its query, which is empty if there is none.
pub fn split_target(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// A field's value; several fields of one name are one list (RFC 9110 §5.2).
pub fn field<'a>(headers: &'a [(String, String)], name: &str) -> Option<Cow<'a, str>> {
    let mut values = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
    let first = values.next()?;
    Some(values.fold(Cow::Borrowed(first), |list, value| Cow::Owned(format!("{list}, {value}"))))
}

/// What a request is answered with.
#[derive(Debug, PartialEq)]
pub struct Response {
    /// RFC 9110 §15.
    pub status: u16,
    /// Without those that every response has.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// May be there for `HEAD` too; it is not sent then.
    pub body: Body,
}

impl Response {
    /// One without header fields and body.
    pub fn new(status: u16) -> Self {
        Response { status, headers: Vec::new(), body: Body::EMPTY }
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(mut self, media_type: &str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        self.body = Body::Bytes(body.into());
        self.header("Content-Type", media_type)
    }

    /// Sets a body that is made while it is sent, and its type.
    #[must_use]
    pub fn stream(mut self, media_type: &str, body: Box<dyn BodyStream>) -> Self {
        self.body = Body::Stream(body);
        self.header("Content-Type", media_type)
    }

    /// A JSON body, which no cache keeps.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Response::new(status).body("application/json", body).header("Cache-Control", "no-store"),
            Err(error) => {
                log::error!("bug: a response could not be written as JSON: {error}");
                Response::new(500)
            }
        }
    }

    /// An error with its code and a sentence, which may contain what a stranger has sent.
    pub fn error(code: ErrorCode, message: impl AsRef<str>) -> Self {
        let (status, code) = code.status_and_code();
        Response::json(status, &json!({"error": {"code": code, "message": sentence(message.as_ref())}}))
    }

    /// Our own bug, of which the log says more.
    pub fn internal_error() -> Self {
        Response::error(ErrorCode::Internal, "Something went wrong here.")
    }

    /// Says when to try again (RFC 9110 §10.2.3).
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.header("Retry-After", seconds.to_string())
    }

    /// The first value of a header field.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_code_and_says_a_sentence() {
        let response = Response::error(ErrorCode::Full, "Full, and \"quoted\".");
        assert_eq!(response.status, 503);
        let body: serde_json::Value = serde_json::from_slice(response.body.bytes()).unwrap();
        assert_eq!(body, json!({"error": {"code": "full", "message": "Full, and \"quoted\"."}}));
    }

    #[test]
    fn several_fields_of_a_name_are_one_list() {
        let headers = vec![("If-Match".into(), "\"a\"".into()), ("if-match".into(), "\"b\"".into())];
        let request = Request {
            method: "GET".into(),
            target: "/a?b?c".into(),
            host: String::new(),
            headers,
            body: vec![],
            client: Client { address: "127.0.0.1:1".parse().unwrap(), is_secure: false },
            prefix: String::new(),
        };
        assert_eq!(request.header("IF-MATCH").as_deref(), Some("\"a\", \"b\""));
        assert_eq!(request.header("host"), None);
        assert_eq!((request.path(), request.query()), ("/a", "b?c"));
    }
}
