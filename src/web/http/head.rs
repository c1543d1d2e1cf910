//! Reads a request head. Pure, so that it can be fuzzed. Strict where leniency lets two parties disagree about where a
//! request ends (RFC 9112 §11.2, request smuggling). It does not know which paths exist.

use crate::web::http::error_code::ErrorCode;
use crate::web::http::forwarded::{self, Forwarding, Hops};
use crate::web::http::message::Response;

/// Header fields that one request may have.
const MAX_FIELDS: usize = 100;

/// The fields that handlers read. No other is passed on to them, so no other can surprise them or tiny_http.
const PASSED_ON: [&str; 10] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "authorization",
    "content-type",
    "if-match",
    "if-none-match",
    "origin",
    "sec-fetch-mode",
    "sec-fetch-site",
];

/// A head that is free of ambiguity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// A token (RFC 9110 §9.1).
    pub method: String,
    /// Begins with `/`, or is `*`; visible ASCII.
    pub target: String,
    /// From the target if that is in absolute form, else from `Host`. Empty if HTTP/1.0 gave none.
    pub host: String,
    /// The fields that are passed on to handlers, values in visible ASCII.
    pub headers: Vec<(String, String)>,
    /// How the body is delimited.
    pub framing: Framing,
    /// The client waits for `100 Continue` before it sends the body.
    pub wants_continue: bool,
    /// What the client speaks.
    pub version: Version,
    /// The client may send another request on this connection.
    pub keep_alive: bool,
    /// What proxies say, and any client can.
    pub forwarding: Forwarding,
    /// The client asks for a WebSocket (RFC 6455 §4.1).
    pub websocket: Option<Handshake>,
}

/// The version of HTTP that a request was sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 1945: no chunked coding, and here no second request on a connection.
    Http10,
    /// RFC 9112.
    Http11,
}

/// The fields of a WebSocket's opening handshake, as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// `Sec-WebSocket-Key`, if there is exactly one.
    pub key: Option<String>,
    /// `Sec-WebSocket-Version`, if there is exactly one.
    pub version: Option<String>,
}

/// How a body is delimited (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    Empty,
    /// `Content-Length`
    Length(u64),
    /// `Transfer-Encoding: chunked`
    Chunked,
}

/// Looks for the end of a head in what has arrived so far, `seen` bytes of which were searched before. A bare CR or LF
/// is refused: a server that accepts one may see another head than a proxy before it did (RFC 9112 §2.2).
///
/// # Errors
/// The response to send before closing.
pub fn find_end(bytes: &[u8], seen: usize) -> Result<Option<usize>, Response> {
    // No method begins like this, so there is nothing to wait for.
    if bytes.first().is_some_and(|first| !first.is_ascii_graphic()) {
        return Err(bad("This is not an HTTP request."));
    }
    for at in seen.saturating_sub(3)..bytes.len() {
        let lone_lf = bytes[at] == b'\n' && (at == 0 || bytes[at - 1] != b'\r');
        let lone_cr = bytes[at] == b'\r' && bytes.get(at + 1).is_some_and(|&next| next != b'\n');
        if lone_lf || lone_cr {
            return Err(bad("Lines of a request head end in CR LF."));
        }
        if bytes[at] == b'\n' && bytes[..=at].ends_with(b"\r\n\r\n") {
            return Ok(Some(at + 1));
        }
    }
    Ok(None)
}

/// Reads a head that [`find_end`] found the end of.
///
/// # Errors
/// The response to send before closing.
pub fn parse(bytes: &[u8]) -> Result<Head, Response> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) => return Err(bad("The request head is not complete.")),
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Response::error(
                ErrorCode::HeadTooLarge,
                format!("A request may have {MAX_FIELDS} header fields at most."),
            ));
        }
        Err(httparse::Error::Version) => {
            return Err(Response::error(ErrorCode::UnknownVersion, "This server speaks HTTP/1.1 and HTTP/1.0."));
        }
        Err(error) => return Err(bad(format!("The request head cannot be read: {error}."))),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(bad("The request line is not complete."));
    };
    let fields = &*request.headers;
    let (target, authority) = split_target(method, target)?;
    Ok(Head {
        method: method.to_owned(),
        target,
        host: host(fields, authority, minor)?,
        headers: passed_on(fields)?,
        framing: framing(fields, minor)?,
        wants_continue: wants_continue(fields, minor)?,
        version: if minor == 1 { Version::Http11 } else { Version::Http10 },
        keep_alive: minor == 1 && !list(fields, "connection").any(|option| option.eq_ignore_ascii_case(b"close")),
        forwarding: forwarding(fields),
        websocket: (minor == 1).then(|| handshake(fields)).flatten(),
    })
}

/// RFC 6455 §4.2.1, points 3 to 6; an upgrade to anything else is ignored (RFC 9110 §7.8).
fn handshake(fields: &[httparse::Header<'_>]) -> Option<Handshake> {
    let asks = |name, option: &[u8]| list(fields, name).any(|one| one.eq_ignore_ascii_case(option));
    let only = |name| {
        let mut values = values(fields, name);
        let first = values.next().filter(|_| values.next().is_none())?;
        String::from_utf8(first.to_vec()).ok()
    };
    (asks("upgrade", b"websocket") && asks("connection", b"upgrade"))
        .then(|| Handshake { key: only("sec-websocket-key"), version: only("sec-websocket-version") })
}

fn bad(message: impl AsRef<str>) -> Response {
    Response::error(ErrorCode::BadRequest, message)
}

/// RFC 9112 §3.2: origin-form as it is, absolute-form cut in two, `*` for `OPTIONS`; authority-form is for proxies.
fn split_target(method: &str, target: &str) -> Result<(String, Option<String>), Response> {
    if !target.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(bad("The request target has characters that must be percent-encoded."));
    }
    if target.starts_with('/') || (target == "*" && method == "OPTIONS") {
        return Ok((target.to_owned(), None));
    }
    let absolute = target.split_once("://").filter(|(scheme, _)| {
        scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") //
    });
    let Some((_, rest)) = absolute else {
        return Err(bad("The request target must be a path."));
    };
    let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_at);
    let slash = if path.starts_with('/') { "" } else { "/" };
    Ok((format!("{slash}{path}"), Some(authority.to_owned())))
}

/// RFC 9112 §3.2: HTTP/1.1 has exactly one `Host`; the target's own authority wins over it.
fn host(fields: &[httparse::Header<'_>], authority: Option<String>, minor: u8) -> Result<String, Response> {
    let mut hosts = values(fields, "host");
    let host = hosts.next();
    if hosts.next().is_some() || (host.is_none() && minor == 1) {
        return Err(bad("A request has exactly one Host."));
    }
    let of_field = host.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
    let host = authority.unwrap_or(of_field);
    // The characters of RFC 3986 §3.2.2 and a port; user names have no place here (RFC 9110 §4.2.4).
    let valid = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&b));
    if valid { Ok(host) } else { Err(bad("The Host has characters that no host name has.")) }
}

fn forwarding(fields: &[httparse::Header<'_>]) -> Forwarding {
    Forwarding {
        by_custom: Hops {
            addresses: texts(fields, "x-forwarded-for").collect(),
            proto: texts(fields, "x-forwarded-proto").next(),
            host: texts(fields, "x-forwarded-host").next(),
        },
        by_standard: forwarded::standard(values(fields, "forwarded")),
        prefix: texts(fields, "x-forwarded-prefix").next(),
    }
}

fn passed_on(fields: &[httparse::Header<'_>]) -> Result<Vec<(String, String)>, Response> {
    let known = fields.iter().filter(|field| PASSED_ON.iter().any(|name| field.name.eq_ignore_ascii_case(name)));
    known
        .map(|field| match std::str::from_utf8(field.value) {
            Ok(value) if value.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b)) => {
                Ok((field.name.to_owned(), value.trim().to_owned()))
            }
            // Dropping the field could turn a conditional request into an unconditional one.
            _ => Err(bad(format!("The value of {} is not ASCII.", field.name))),
        })
        .collect()
}

fn framing(fields: &[httparse::Header<'_>], minor: u8) -> Result<Framing, Response> {
    let mut lengths = values(fields, "content-length");
    let length = lengths.next();
    // Several, even equal ones, serve request smuggling, and no real client needs them (RFC 9110 §8.6 allows refusal).
    if lengths.next().is_some() {
        return Err(bad("A request has one Content-Length at most."));
    }
    let codings: Vec<&[u8]> = list(fields, "transfer-encoding").collect();
    if values(fields, "transfer-encoding").next().is_some() {
        // RFC 9112 §6.1: both together, or a transfer coding in HTTP/1.0, ought to be handled as an error.
        if length.is_some() || minor == 0 {
            return Err(bad("Transfer-Encoding cannot be combined with Content-Length or HTTP/1.0."));
        }
        return match codings.as_slice() {
            [only] if only.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
            [.., last] if last.eq_ignore_ascii_case(b"chunked") => Err(Response::error(
                ErrorCode::UnknownCoding,
                "The only transfer coding that is understood here is chunked.",
            )),
            _ => Err(bad("The last transfer coding of a request must be chunked.")),
        };
    }
    match length {
        None => Ok(Framing::Empty),
        Some(digits) if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) => {
            // A number that does not fit is a length too, far above every limit.
            let length = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).unwrap_or(u64::MAX);
            Ok(if length == 0 { Framing::Empty } else { Framing::Length(length) })
        }
        Some(_) => Err(bad("The Content-Length is not a number.")),
    }
}

/// RFC 9110 §10.1.1: ignored in HTTP/1.0.
fn wants_continue(fields: &[httparse::Header<'_>], minor: u8) -> Result<bool, Response> {
    let mut wants = false;
    for expectation in list(fields, "expect").filter(|_| minor == 1) {
        if !expectation.eq_ignore_ascii_case(b"100-continue") {
            return Err(Response::error(ErrorCode::ExpectationFailed, "Only 100-continue can be expected here."));
        }
        wants = true;
    }
    Ok(wants)
}

fn values<'a>(fields: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value.trim_ascii())
}

fn list<'a>(fields: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    values(fields, name).flat_map(|value| value.split(|&b| b == b',')).map(<[u8]>::trim_ascii).filter(|v| !v.is_empty())
}

fn texts<'a>(fields: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = String> {
    list(fields, name).map(|text| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(head: &str) -> Result<Head, u16> {
        let end = find_end(head.as_bytes(), 0).map_err(|response| response.status)?.ok_or(0_u16)?;
        parse(&head.as_bytes()[..end]).map_err(|response| response.status)
    }

    fn status_of(fields: &str) -> u16 {
        parsed(&format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).expect_err("must be refused")
    }

    #[test]
    fn a_plain_head_is_read() {
        let head = parsed("GET /a?b HTTP/1.1\r\nHost: x:8088\r\nCookie: no\r\nOrigin: http://y\r\n\r\n").unwrap();
        assert_eq!((head.method.as_str(), head.target.as_str(), head.host.as_str()), ("GET", "/a?b", "x:8088"));
        assert_eq!(head.headers, [("Origin".to_owned(), "http://y".to_owned())]);
        assert_eq!((head.framing, head.keep_alive, head.wants_continue), (Framing::Empty, true, false));
    }

    #[test]
    fn a_head_that_could_be_read_in_two_ways_is_refused() {
        assert_eq!(status_of("Content-Length: 3\r\nTransfer-Encoding: chunked"), 400);
        assert_eq!(status_of("Content-Length: 3\r\nContent-Length: 4"), 400);
        assert_eq!(status_of("Content-Length: 3, 4"), 400);
        assert_eq!(status_of("Content-Length: +3"), 400);
        assert_eq!(status_of("Content-Length: "), 400);
        assert_eq!(status_of("Content-Length : 3"), 400);
        assert_eq!(status_of("Transfer-Encoding: chunked, identity"), 400);
        assert_eq!(status_of("Transfer-Encoding: xchunked"), 400);
        assert_eq!(status_of("Transfer-Encoding:"), 400);
        assert_eq!(status_of("X: a\r\n folded"), 400);
        assert_eq!(status_of("X: a\nY: b"), 400);
        assert_eq!(status_of("X: a\rY: b"), 400);
        assert_eq!(status_of("X: a\0b"), 400);
        assert_eq!(status_of("Host: b"), 400);
        assert_eq!(parsed("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(400));
    }

    #[test]
    fn what_is_not_supported_is_refused_with_its_own_status() {
        assert_eq!(status_of("Transfer-Encoding: gzip, chunked"), 501);
        assert_eq!(status_of("Expect: a miracle"), 417);
        assert_eq!(parsed("GET / HTTP/2.0\r\n\r\n"), Err(505));
        assert_eq!(parsed("GET / HTTP/1.1\r\n\r\n"), Err(400));
        assert_eq!(parsed("GET\r\n\r\n"), Err(400));
        assert_eq!(parsed("\u{16}\u{3}\u{1}"), Err(400));
        assert_eq!(status_of(&"A: b\r\n".repeat(MAX_FIELDS + 1)), 431);
        assert_eq!(status_of("If-Match: \"\u{e4}\""), 400);
    }

    #[test]
    fn the_host_of_an_absolute_target_wins() {
        let head = parsed("GET http://one:80?q HTTP/1.1\r\nHost: two\r\n\r\n").unwrap();
        assert_eq!((head.target.as_str(), head.host.as_str()), ("/?q", "one:80"));
        assert_eq!(parsed("CONNECT one:80 HTTP/1.1\r\nHost: one\r\n\r\n"), Err(400));
        assert_eq!(parsed("GET * HTTP/1.1\r\nHost: one\r\n\r\n"), Err(400));
        assert_eq!(parsed("OPTIONS * HTTP/1.1\r\nHost: one\r\n\r\n").unwrap().target, "*");
    }

    #[test]
    fn the_end_is_found_however_the_bytes_arrive() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for length in 0..bytes.len() {
            let found = find_end(&bytes[..length], length.saturating_sub(1)).unwrap();
            assert_eq!(found, (length == 27).then_some(27).filter(|_| length <= 27), "at {length}");
            if length == 27 {
                break;
            }
        }
    }

    #[test]
    fn several_forwarding_headers_are_one_list() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1, ::1\r\nX-Forwarded-Proto: http\r\n\
                    x-forwarded-for: \u{e4}\r\nX-Forwarded-Proto: ws, https\r\nX-Forwarded-Host: a.example, b\r\n\
                    X-Forwarded-Prefix: /sub, /inner\r\nForwarded: for=1.1.1.1\r\nforwarded: for=2.2.2.2;proto=https\r\n\r\n";
        let head = parsed(head).unwrap();
        let Forwarding { by_custom, by_standard, prefix } = &head.forwarding;
        assert_eq!(prefix.as_deref(), Some("/sub"));
        assert_eq!(by_custom.addresses, ["1.1.1.1", "::1", "\u{e4}"]);
        assert_eq!((by_custom.proto.as_deref(), by_custom.host.as_deref()), (Some("http"), Some("a.example")));
        assert_eq!(
            (&by_standard.addresses[..], &by_standard.proto),
            (&["1.1.1.1".to_owned(), "2.2.2.2".to_owned()][..], &None)
        );
        assert!(head.headers.is_empty(), "handlers get the result, not the fields");
    }

    #[test]
    fn a_huge_length_is_a_length() {
        let head = parsed("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n").unwrap();
        assert_eq!(head.framing, Framing::Length(u64::MAX));
    }

    #[test]
    fn http_1_0_and_close_end_the_connection() {
        assert!(!parsed("GET / HTTP/1.0\r\n\r\n").unwrap().keep_alive);
        assert!(!parsed("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n").unwrap().keep_alive);
    }
}
