//! What a TCP connection speaks, decided from the bytes that have arrived so far, before any of them is consumed. Pure.
//! It only recognises; it parses nothing and does not say who serves what it recognised.
//!
//! The cases cannot be confused. A TLS record begins with 0x16. STUN has its magic cookie at a fixed place, and its
//! first byte is never a letter: unframed it is a message type, of which the two highest bits are zero, and framed it
//! is the high byte of a length below 4 KiB. An HTTP request begins with a character of a token.

/// ContentType `handshake`, with which every TLS connection begins (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 22;
/// RFC 8489 §5: bytes 4 to 8 of every STUN message.
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// RFC 8489 §5: the shortest STUN message is its header.
const STUN_HEADER_BYTES: usize = 20;
/// Longer STUN messages do not exist in practice. It keeps the first byte of a frame below that of TLS and of letters.
const MAX_STUN_BYTES: usize = 4 * 1024;
/// RFC 4571 §2: a frame begins with its length.
const FRAME_HEADER_BYTES: usize = 2;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Too few bytes have arrived to know. Never said of bytes that can only be TLS: one byte is enough for that.
    NeedMore,
    /// TLS (RFC 8446). Never inside TLS.
    Tls,
    /// HTTP/1, as far as the first character tells.
    Http,
    /// STUN or TURN (RFC 8489, RFC 8656).
    Stun {
        /// Each message has two bytes of length in front (RFC 4571), as ICE over TCP does it (RFC 6544 §3).
        is_framed: bool,
    },
    /// Nothing that is known here, whatever follows.
    Unknown,
}

/// Decides from all bytes that a connection has sent so far; `is_inside_tls` if they were decrypted.
pub fn decide(bytes: &[u8], is_inside_tls: bool) -> Decision {
    match bytes {
        [] => Decision::NeedMore,
        [TLS_HANDSHAKE, ..] => {
            if is_inside_tls {
                Decision::Unknown
            } else {
                Decision::Tls
            }
        }
        [b'\r', ..] => after_empty_lines(bytes),
        [first, ..] if is_token_character(*first) => Decision::Http,
        _ => stun(bytes),
    }
}

/// RFC 9112 §2.2: empty lines before a request line are ignored, and nothing else begins like that.
fn after_empty_lines(mut bytes: &[u8]) -> Decision {
    while let [b'\r', b'\n', rest @ ..] = bytes {
        bytes = rest;
    }
    match bytes {
        [] | [b'\r'] => Decision::NeedMore,
        [first, ..] if is_token_character(*first) => Decision::Http,
        _ => Decision::Unknown,
    }
}

/// RFC 9110 §5.6.2: what a method consists of.
fn is_token_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn stun(bytes: &[u8]) -> Decision {
    let unframed = message(bytes);
    let framed = match frame_length(bytes) {
        Some(length) if !(STUN_HEADER_BYTES..=MAX_STUN_BYTES).contains(&length) => Match::No,
        None if usize::from(bytes[0]) > MAX_STUN_BYTES >> 8 => Match::No,
        _ => message(bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default()),
    };
    match (unframed, framed) {
        (Match::Yes, _) => Decision::Stun { is_framed: false },
        (_, Match::Yes) => Decision::Stun { is_framed: true },
        (Match::No, Match::No) => Decision::Unknown,
        _ => Decision::NeedMore,
    }
}

fn frame_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.first_chunk::<FRAME_HEADER_BYTES>()?;
    Some(usize::from(u16::from_be_bytes(*length)))
}

enum Match {
    No,
    Possible,
    Yes,
}

/// Whether a STUN message begins here. Methods are below 0x100, so that the type's first byte is below 4 (RFC 8489
/// §18.2, RFC 7983 §7).
fn message(bytes: &[u8]) -> Match {
    let cookie = bytes.get(4..).unwrap_or_default();
    let cookie = &cookie[..cookie.len().min(MAGIC_COOKIE.len())];
    if bytes.first().is_some_and(|first| *first > 3) || !MAGIC_COOKIE.starts_with(cookie) {
        Match::No
    } else if cookie.len() == MAGIC_COOKIE.len() {
        Match::Yes
    } else {
        Match::Possible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Binding request without attributes.
    const BINDING: [u8; 20] = *b"\0\x01\0\0\x21\x12\xa4\x42transaction.";

    fn framed() -> Vec<u8> {
        [&[0, 20], BINDING.as_slice()].concat()
    }

    /// What is decided after each byte.
    fn each(bytes: &[u8], is_inside_tls: bool) -> Vec<Decision> {
        (0..=bytes.len()).map(|length| decide(&bytes[..length], is_inside_tls)).collect()
    }

    /// It waits for `count` bytes and then decides, once for all.
    fn decides_after(count: usize, bytes: &[u8], is_inside_tls: bool, decision: Decision) {
        let expected: Vec<_> =
            (0..=bytes.len()).map(|n| if n < count { Decision::NeedMore } else { decision }).collect();
        assert_eq!(each(bytes, is_inside_tls), expected, "{}", bytes.escape_ascii());
    }

    #[test]
    fn tls_is_known_by_its_first_byte_and_not_expected_inside_tls() {
        decides_after(1, b"\x16\x03\x01\x02\0\x01\0", false, Decision::Tls);
        decides_after(1, b"\x16\x03\x01\x02\0\x01\0", true, Decision::Unknown);
    }

    #[test]
    fn http_is_known_by_a_character_of_a_method() {
        for is_inside_tls in [false, true] {
            for request in ["GET / HTTP/1.1\r\n", "brew / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "!-_~ / HTTP/1.1\r\n"] {
                decides_after(1, request.as_bytes(), is_inside_tls, Decision::Http);
            }
            decides_after(5, b"\r\n\r\nGET /", is_inside_tls, Decision::Http);
        }
    }

    #[test]
    fn stun_is_known_by_its_magic_cookie_framed_or_not() {
        for is_inside_tls in [false, true] {
            decides_after(8, &BINDING, is_inside_tls, Decision::Stun { is_framed: false });
            decides_after(10, &framed(), is_inside_tls, Decision::Stun { is_framed: true });
            // An Allocate request (RFC 8656 §3), and a frame as long as attributes make it.
            decides_after(8, b"\0\x03\0\x08\x21\x12\xa4\x42", is_inside_tls, Decision::Stun { is_framed: false });
            decides_after(
                10,
                b"\x05\xdc\0\x01\x05\xc8\x21\x12\xa4\x42",
                is_inside_tls,
                Decision::Stun { is_framed: true },
            );
        }
    }

    #[test]
    fn bytes_that_nothing_begins_with_are_unknown_as_soon_as_that_is_certain() {
        for first in (0x11..=0x20_u8).filter(|first| *first != 0x16).chain(0x7f..=0xff) {
            assert_eq!(decide(&[first], false), Decision::Unknown, "{first:#x}");
        }
        for (count, bytes) in [
            (2, b"\r\0".as_slice()),
            (3, b"\r\n\0"),
            (5, b"\0\0\0\0\0\0\0\0\0\0"),
            // The cookie is wrong in its last byte, of a message and of a frame.
            (8, b"\0\x01\0\0\x21\x12\xa4\x43"),
            (10, b"\0\x14\0\x01\0\0\x21\x12\xa4\x43"),
            // Too short and too long for a frame of STUN.
            (5, b"\0\x13\0\x01\0\0\x21\x12\xa4\x42"),
            (2, b"\x10\x01\0\x01\0\0\x21\x12\xa4\x42"),
        ] {
            decides_after(count, bytes, false, Decision::Unknown);
        }
    }
}
