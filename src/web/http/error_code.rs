//! The codes of all error responses. An error's body is JSON, `{"error":{"code":"…","message":"…"}}`; a code never
//! changes its meaning, a message is for people. Pure.
//!
//! | code | status | sent when |
//! |---|---|---|
//! | `bad-request` | 400 | the request breaks HTTP's syntax or could be read in two ways; the connection is closed |
//! | `bad-json` | 400 | the body is not the JSON that was asked for |
//! | `bad-offer` | 400 | the SDP offer cannot be used; the message names what is wrong |
//! | `bad-upgrade` | 400 | a WebSocket's opening handshake without a proper `Sec-WebSocket-Key` |
//! | `bad-room` | 400 | no room can have that name |
//! | `bad-resume` | 400 | `resume` is not a token of this server |
//! | `bad-fragment` | 400 | the trickle-ICE fragment cannot be read |
//! | `empty-body` | 400 | an offer was expected |
//! | `token-required` | 401 | this needs a token |
//! | `token-invalid` | 401 | the token is not one of this server's, has expired, was revoked or used up |
//! | `ticket-invalid` | 401 | the ticket was used, has expired, or is for another room |
//! | `not-allowed` | 403 | the token is for something else |
//! | `foreign-origin` | 403 | a page of another site asks, and that site is not allowed to |
//! | `not-by-the-door` | 403 | the request came to the private socket, and not through the public port |
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
//! | `misdirected` | 421 | `Host` is a name that this server does not know as its own |
//! | `unprocessable` | 422 | the fragment is well-formed, but this session cannot take it |
//! | `upgrade-required` | 426 | rooms are joined over a WebSocket of version 13 |
//! | `tag-required` | 428 | an ICE restart needs `If-Match: *` |
//! | `too-many-failures` | 429 | too many invalid tokens from this address; see `Retry-After` |
//! | `too-many-from-address` | 429 | this address has as much as one may have, or asks too fast; see `Retry-After` |
//! | `head-too-large` | 431 | more than the limit of bytes, or of header fields |
//! | `internal` | 500 | a bug of the server, or a file that it needs to check tokens cannot be used; the log says more |
//! | `unknown-coding` | 501 | a `Transfer-Encoding` other than `chunked` |
//! | `full` | 503 | the limit of listeners or of streamed responses is reached; see `Retry-After` |
//! | `busy` | 503 | the server is behind; see `Retry-After` |
//! | `too-many-connections` | 503 | the limit of connections is reached; see `Retry-After` |
//! | `unknown-version` | 505 | neither HTTP/1.0 nor HTTP/1.1 |

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
    TicketInvalid,
    NotAllowed,
    ForeignOrigin,
    NotThroughPublicPort,
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
    Misdirected,
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
    /// The status, and the code as it stands in the body.
    pub fn status_and_code(self) -> (u16, &'static str) {
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
            ErrorCode::TicketInvalid => (401, "ticket-invalid"),
            ErrorCode::NotAllowed => (403, "not-allowed"),
            ErrorCode::ForeignOrigin => (403, "foreign-origin"),
            ErrorCode::NotThroughPublicPort => (403, "not-by-the-door"),
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
            ErrorCode::Misdirected => (421, "misdirected"),
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
