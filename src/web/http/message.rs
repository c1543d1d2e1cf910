//! A request and its answer, as handlers see them: plain values, no socket. Every error answer of this server is made
//! here, as JSON `{"error":{"code":"…","message":"…"}}`; codes never change their meaning, messages are for people.
//!
//! | code | status | said when |
//! |---|---|---|
//! | `bad-request` | 400 | the request breaks HTTP's syntax or could be read in two ways; the connection is closed |
//! | `bad-json` | 400 | the body is not the JSON that was asked for |
//! | `bad-offer` | 400 | the SDP offer cannot be used; the message names what is wrong |
//! | `bad-upgrade` | 400 | a WebSocket's opening handshake without a proper `Sec-WebSocket-Key` |
//! | `bad-room` | 400 | no room can have that name |
//! | `bad-resume` | 400 | `resume` is not a token of ours |
//! | `bad-fragment` | 400 | the trickle-ICE fragment cannot be read |
//! | `empty-body` | 400 | an offer was expected |
//! | `token-required` | 401 | without a token there is no way in |
//! | `token-invalid` | 401 | the token is none of this server's, has expired, was withdrawn or used up |
//! | `not-allowed` | 403 | the token is for something else |
//! | `foreign-origin` | 403 | a page of another site asks, and that site is not allowed to |
//! | `not-by-the-door` | 403 | somebody spoke to the private loopback port |
//! | `unknown-path` | 404 | nothing is there |
//! | `unknown-station` | 404 | no station of that name |
//! | `unknown-listener` | 404 | no session of that id, or it has ended |
//! | `method-not-allowed` | 405 | see `Allow` |
//! | `head-timeout` | 408 | the request head did not arrive in time |
//! | `body-timeout` | 408 | the request body did not arrive in time |
//! | `not-on-air` | 409 | the station has not sent anything yet; see `Retry-After` |
//! | `stale-tag` | 412 | `If-Match` names another ICE session than the present one |
//! | `body-too-large` | 413 | more than the limit of bytes |
//! | `wrong-type` | 415 | the `Content-Type` is missing or another one than is taken here |
//! | `expectation-failed` | 417 | an `Expect` other than `100-continue` |
//! | `unprocessable` | 422 | the fragment is well-formed, but this session cannot take it |
//! | `upgrade-required` | 426 | rooms are entered over a WebSocket of version 13 |
//! | `tag-required` | 428 | an ICE restart needs `If-Match: *` |
//! | `too-many-failures` | 429 | too many tokens from this address did not hold; see `Retry-After` |
//! | `too-many-from-address` | 429 | this address has as much as one may have, or asks too fast; see `Retry-After` |
//! | `head-too-large` | 431 | more than the limit of bytes, or of header fields |
//! | `internal` | 500 | our bug; the log says more |
//! | `unknown-coding` | 501 | a `Transfer-Encoding` other than `chunked` |
//! | `full` | 503 | as many listeners as are allowed are here; see `Retry-After` |
//! | `busy` | 503 | the server is behind; see `Retry-After` |
//! | `too-many-connections` | 503 | as many connections as are allowed are open; see `Retry-After` |
//! | `unknown-version` | 505 | neither HTTP/1.0 nor HTTP/1.1 |

use std::borrow::Cow;
use std::net::SocketAddr;

use serde::Serialize;
use serde_json::json;

/// A request that arrived whole.
#[derive(Clone, Debug)]
pub struct Request {
    /// As sent, upper case by custom.
    pub method: String,
    /// Without the query; still percent-encoded.
    pub path: String,
    /// PeerEvent is behind the `?`; may hold a token, so it is never logged.
    pub query: String,
    /// The fields that the door lets through.
    pub headers: Vec<(String, String)>,
    /// Without any transfer coding.
    pub body: Vec<u8>,
    /// Who asks, proxies that are trusted left out.
    pub client: SocketAddr,
    /// Whether the client speaks TLS, with us or with such a proxy.
    pub secure: bool,
}

impl Request {
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

/// A field's value; several fields of one name are one list (RFC 9110 §5.2).
pub fn field<'a>(headers: &'a [(String, String)], name: &str) -> Option<Cow<'a, str>> {
    let mut values = headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str());
    let first = values.next()?;
    Some(values.fold(Cow::Borrowed(first), |list, value| Cow::Owned(format!("{list}, {value}"))))
}

/// PeerEvent a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// RFC 9110 §15.
    pub status: u16,
    /// Without those that every answer has.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// May be there for `HEAD` too; it is not sent then.
    pub body: Cow<'static, [u8]>,
}

impl Answer {
    /// One without header fields and body.
    pub fn new(status: u16) -> Self {
        Answer { status, headers: Vec::new(), body: Cow::Borrowed(&[]) }
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
        self.body = body.into();
        self.header("Content-Type", media_type)
    }

    /// A JSON body; nobody keeps it.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Answer::new(status).body("application/json", body).header("Cache-Control", "no-store"),
            Err(error) => {
                log::error!("an answer could not be written as JSON, which is a bug of ours: {error}");
                Answer::new(500)
            }
        }
    }

    /// An error, with a code from the table above and a sentence.
    pub fn error(code: ErrorCode, message: impl AsRef<str>) -> Self {
        let (status, word) = code.status_and_word();
        Answer::json(status, &json!({"error": {"code": word, "message": message.as_ref()}}))
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

/// The codes of the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the module's table says what each means")]
pub enum ErrorCode {
    BadRequest,
    BadJson,
    BadOffer,
    BadFragment,
    BadUpgrade,
    BadRoom,
    BadResume,
    EmptyBody,
    TokenRequired,
    TokenInvalid,
    NotAllowed,
    ForeignOrigin,
    NotByTheDoor,
    UnknownPath,
    UnknownStation,
    UnknownListener,
    MethodNotAllowed,
    HeadTimeout,
    BodyTimeout,
    NotOnAir,
    StaleTag,
    BodyTooLarge,
    WrongType,
    ExpectationFailed,
    Unprocessable,
    UpgradeRequired,
    TagRequired,
    TooManyFailures,
    TooManyFromAddress,
    HeadTooLarge,
    Internal,
    UnknownCoding,
    Full,
    Busy,
    TooManyConnections,
    UnknownVersion,
}

impl ErrorCode {
    fn status_and_word(self) -> (u16, &'static str) {
        match self {
            ErrorCode::BadRequest => (400, "bad-request"),
            ErrorCode::BadJson => (400, "bad-json"),
            ErrorCode::BadOffer => (400, "bad-offer"),
            ErrorCode::BadFragment => (400, "bad-fragment"),
            ErrorCode::BadUpgrade => (400, "bad-upgrade"),
            ErrorCode::BadRoom => (400, "bad-room"),
            ErrorCode::BadResume => (400, "bad-resume"),
            ErrorCode::EmptyBody => (400, "empty-body"),
            ErrorCode::TokenRequired => (401, "token-required"),
            ErrorCode::TokenInvalid => (401, "token-invalid"),
            ErrorCode::NotAllowed => (403, "not-allowed"),
            ErrorCode::ForeignOrigin => (403, "foreign-origin"),
            ErrorCode::NotByTheDoor => (403, "not-by-the-door"),
            ErrorCode::UnknownPath => (404, "unknown-path"),
            ErrorCode::UnknownStation => (404, "unknown-station"),
            ErrorCode::UnknownListener => (404, "unknown-listener"),
            ErrorCode::MethodNotAllowed => (405, "method-not-allowed"),
            ErrorCode::HeadTimeout => (408, "head-timeout"),
            ErrorCode::BodyTimeout => (408, "body-timeout"),
            ErrorCode::NotOnAir => (409, "not-on-air"),
            ErrorCode::StaleTag => (412, "stale-tag"),
            ErrorCode::BodyTooLarge => (413, "body-too-large"),
            ErrorCode::WrongType => (415, "wrong-type"),
            ErrorCode::ExpectationFailed => (417, "expectation-failed"),
            ErrorCode::Unprocessable => (422, "unprocessable"),
            ErrorCode::UpgradeRequired => (426, "upgrade-required"),
            ErrorCode::TagRequired => (428, "tag-required"),
            ErrorCode::TooManyFailures => (429, "too-many-failures"),
            ErrorCode::TooManyFromAddress => (429, "too-many-from-address"),
            ErrorCode::HeadTooLarge => (431, "head-too-large"),
            ErrorCode::Internal => (500, "internal"),
            ErrorCode::UnknownCoding => (501, "unknown-coding"),
            ErrorCode::Full => (503, "full"),
            ErrorCode::Busy => (503, "busy"),
            ErrorCode::TooManyConnections => (503, "too-many-connections"),
            ErrorCode::UnknownVersion => (505, "unknown-version"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_code_and_says_a_sentence() {
        let answer = Answer::error(ErrorCode::Full, "Full, and \"quoted\".");
        assert_eq!(answer.status, 503);
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(body, json!({"error": {"code": "full", "message": "Full, and \"quoted\"."}}));
    }

    #[test]
    fn several_fields_of_a_name_are_one_list() {
        let headers = vec![("If-Match".into(), "\"a\"".into()), ("if-match".into(), "\"b\"".into())];
        let client = "127.0.0.1:1".parse().unwrap();
        let request = Request {
            method: "GET".into(),
            path: "/".into(),
            query: String::new(),
            headers,
            body: vec![],
            client,
            secure: false,
        };
        assert_eq!(request.header("IF-MATCH").as_deref(), Some("\"a\", \"b\""));
        assert_eq!(request.header("host"), None);
    }
}
