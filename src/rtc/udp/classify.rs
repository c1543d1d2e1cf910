//! What a datagram is, from its bytes alone (RFC 7983 §7), before any session sees it.
//!
//! Pure. It authenticates nothing and knows no session.

use std::net::SocketAddr;

use str0m::net::Protocol;

/// A datagram that arrived, over UDP or from a TCP connection's frames.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// How it came.
    pub protocol: Protocol,
    /// The client's address.
    pub source: SocketAddr,
    /// The address of this host that it was sent to.
    pub destination: SocketAddr,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// RFC 8489 §5: a STUN message begins with a header of this size.
const STUN_HEADER_BYTES: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// RFC 8489 §18.2, §18.3.
const BINDING: u16 = 0x001;
const USERNAME: u16 = 0x0006;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Binding request that names a session: a check of ICE (RFC 8445 §7.1).
    IceCheck,
    /// A Binding request without USERNAME: a client asks for its own address (RFC 8489 §2).
    PlainBinding,
    /// A STUN response or indication: an answer to a check of a session's agent, or nothing that is expected.
    StunReply,
    /// A STUN message of another method, or ChannelData (RFC 8656).
    Turn,
    /// A DTLS record.
    Dtls,
    /// RTP or RTCP.
    Rtp,
    /// None of these.
    Unknown,
}

impl Kind {
    /// Whether it is a STUN message of the Binding method.
    pub fn is_stun(self) -> bool {
        matches!(self, Kind::IceCheck | Kind::PlainBinding | Kind::StunReply)
    }
}

/// Tells the kind by the first byte, and of a STUN message by its header and attributes.
pub fn kind(bytes: &[u8]) -> Kind {
    match bytes.first() {
        Some(0..=3) => stun_kind(bytes),
        Some(20..=63) => Kind::Dtls,
        Some(64..=79) => Kind::Turn,
        Some(128..=191) => Kind::Rtp,
        _ => Kind::Unknown,
    }
}

fn stun_kind(bytes: &[u8]) -> Kind {
    let Some((header, attributes)) = bytes.split_first_chunk::<STUN_HEADER_BYTES>() else { return Kind::Unknown };
    if header[4..8] != MAGIC_COOKIE {
        return Kind::Unknown;
    }
    // RFC 8489 §5: bits 4 and 8 of the type are the class, the others the method.
    let message_type = u16::from_be_bytes([header[0], header[1]]);
    let method = (message_type & 0x000f) | (message_type & 0x00e0) >> 1 | (message_type & 0x3e00) >> 2;
    match (method, message_type & 0x0110) {
        (BINDING, 0) if has_username(attributes) => Kind::IceCheck,
        (BINDING, 0) => Kind::PlainBinding,
        (BINDING, _) => Kind::StunReply,
        _ => Kind::Turn,
    }
}

/// RFC 8489 §14: type, length, value, padded to four bytes.
fn has_username(mut attributes: &[u8]) -> bool {
    while let [t0, t1, l0, l1, rest @ ..] = attributes {
        if u16::from_be_bytes([*t0, *t1]) == USERNAME {
            return true;
        }
        let padded = usize::from(u16::from_be_bytes([*l0, *l1])).next_multiple_of(4);
        let Some(next) = rest.get(padded..) else { return false };
        attributes = next;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stun(message_type: u16, attributes: &[u8]) -> Vec<u8> {
        let length = (attributes.len() as u16).to_be_bytes();
        [&message_type.to_be_bytes()[..], &length, &MAGIC_COOKIE, &[7; 12], attributes].concat()
    }

    #[test]
    fn the_first_byte_tells_the_protocol() {
        let expected = |first: u8| match first {
            20..=63 => Kind::Dtls,
            64..=79 => Kind::Turn,
            128..=191 => Kind::Rtp,
            _ => Kind::Unknown,
        };
        for first in 0..=255 {
            assert_eq!(kind(&[first, 0, 0, 0]), expected(first), "{first}");
        }
        assert_eq!(kind(&[]), Kind::Unknown);
    }

    #[test]
    fn stun_is_told_apart_by_method_class_and_username() {
        let username = b"\x00\x06\x00\x03a:b\0";
        let software = b"\x80\x22\x00\x03abc\0";
        assert_eq!(kind(&stun(0x0001, username)), Kind::IceCheck);
        assert_eq!(kind(&stun(0x0001, &[&software[..], username].concat())), Kind::IceCheck);
        assert_eq!(kind(&stun(0x0001, &[])), Kind::PlainBinding);
        assert_eq!(kind(&stun(0x0001, software)), Kind::PlainBinding);
        for reply in [0x0011, 0x0101, 0x0111] {
            assert_eq!(kind(&stun(reply, username)), Kind::StunReply, "{reply:#x}");
        }
        // Allocate, Refresh, Send, Data, CreatePermission, ChannelBind (RFC 8656 §17).
        for turn in [0x0003, 0x0004, 0x0016, 0x0017, 0x0008, 0x0009, 0x0103] {
            assert_eq!(kind(&stun(turn, &[])), Kind::Turn, "{turn:#x}");
        }
    }

    #[test]
    fn what_is_cut_short_or_has_another_cookie_is_unknown() {
        let whole = stun(0x0001, &[]);
        assert!((1..STUN_HEADER_BYTES).all(|length| kind(&whole[..length]) == Kind::Unknown));
        let mut old = whole.clone();
        old[4] ^= 1;
        assert_eq!(kind(&old), Kind::Unknown);
        // An attribute that is longer than the message hides whatever follows.
        assert_eq!(kind(&stun(0x0001, b"\x80\x22\x00\x09abc\0")), Kind::PlainBinding);
    }
}
