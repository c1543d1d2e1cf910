//! Plain STUN (RFC 8489): tells a browser from which address its datagram arrives, so that it learns its public address from
//! this host. Pure: bytes in, bytes out.
//!
//! The checks of ICE carry a USERNAME and are not handled here. The answer is hardly longer than the request (32 bytes for 20
//! over IPv4, 44 over IPv6), so a forged source address gains an attacker little.

use std::net::SocketAddr;

use crate::rtc::udp::stun_writer::{
    BINDING_REQUEST, BINDING_SUCCESS, HEADER_BYTES, MAGIC_COOKIE, StunWriter, transaction_id,
};

/// Attributes below must be understood, or the request is not to be answered with success (RFC 8489 §14).
const OPTIONAL: u16 = 0x8000;

/// The answer to a Binding request without attributes that must be understood; None for everything else, checks of ICE
/// included. `source` is where the request came from.
pub fn answer(request: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    let (header, attributes) = request.split_at_checked(HEADER_BYTES)?;
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let whole = length == attributes.len() && length.is_multiple_of(4);
    if header[..2] != BINDING_REQUEST.to_be_bytes()
        || header[4..8] != MAGIC_COOKIE
        || !whole
        || !are_optional(attributes)
    {
        return None;
    }
    Some(StunWriter::new(BINDING_SUCCESS, &transaction_id(request)?).xor_mapped_address(source).finish())
}

/// RFC 8489 §14: type, length, value, padded to four bytes.
fn are_optional(mut attributes: &[u8]) -> bool {
    while let [t0, t1, l0, l1, rest @ ..] = attributes {
        let padded = usize::from(u16::from_be_bytes([*l0, *l1])).next_multiple_of(4);
        let Some(next) = rest.get(padded..) else { return false };
        if u16::from_be_bytes([*t0, *t1]) < OPTIONAL {
            return false;
        }
        attributes = next;
    }
    attributes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTION: [u8; 12] = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, attributes.len() as u8];
        bytes.extend(MAGIC_COOKIE);
        bytes.extend(TRANSACTION);
        bytes.extend(attributes);
        bytes
    }

    #[test]
    fn answers_equal_the_rfcs_test_vectors() {
        // RFC 5769 §2.2 and §2.3: same transaction, 192.0.2.1:32853, and its IPv6 twin.
        let v4 = answer(&request(&[]), "192.0.2.1:32853".parse().unwrap()).unwrap();
        assert_eq!(v4[..4], [1, 1, 0, 12]);
        assert_eq!(v4[4..20], request(&[])[4..20]);
        assert_eq!(v4[20..], *b"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43");
        let source: SocketAddr = "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap();
        let v6 = answer(&request(&[]), source).unwrap();
        assert_eq!(
            v6[20..],
            *b"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9"
        );
    }

    #[test]
    fn only_plain_binding_requests_are_answered() {
        let source = "192.0.2.1:1".parse().unwrap();
        let answered = |bytes: &[u8]| answer(bytes, source).is_some();
        // SOFTWARE is optional to understand.
        assert!(answered(&request(b"\x80\x22\x00\x03abc\0")));
        // USERNAME belongs to ICE; CHANGE-REQUEST (RFC 3489) asks for something that is not supported.
        assert!(!answered(&request(b"\x00\x06\x00\x03a:b\0")));
        assert!(!answered(&request(b"\x00\x03\x00\x04\0\0\0\x06")));
        // An attribute longer than the message, a message shorter than it says, another cookie, a response.
        assert!(!answered(&request(b"\x80\x22\x00\x09abc\0")));
        assert!(!answered(&request(b"\x80\x22")));
        assert!(!answered(&request(b"\x80\x22\x00\x03abc\0")[..24]));
        assert!(!answered(&[request(&[]), vec![0; 4]].concat()));
        for at in [1, 4, 7] {
            let mut bytes = request(&[]);
            bytes[at] ^= 0x40;
            assert!(!answered(&bytes), "{at}");
        }
        let response = answer(&request(&[]), source).unwrap();
        assert!(!answered(&response));
        for length in 0..20 {
            assert!(!answered(&request(&[])[..length]));
        }
    }
}
