//! Lets clients with RSA certificates in: the DTLS library asks for ECDSA only, so what it asks is changed on its way out.
//!
//! Pure. Of a handshake that this side serves, one message in clear is changed, CertificateRequest (RFC 5246 §7.4.4): it also
//! has `rsa_sign` and RSA with SHA-256. Both sides hash all messages, so this side has to hash the message that the client
//! knows, wherever the library hashes its own record of the handshake: [`as_client_knows`].

use std::borrow::Cow;

use super::records::{self, HANDSHAKE, MESSAGE_HEADER_BYTES, RECORD_HEADER_BYTES};

const CLIENT_HELLO: u8 = 1;
const CERTIFICATE_REQUEST: u8 = 13;
/// Certificate types (RFC 8422 §5.5, RFC 5246 §7.4.4).
const ECDSA_SIGN: u8 = 64;
const RSA_SIGN: u8 = 1;
/// SHA-256 and RSA (RFC 5246 §7.4.1.4.1).
const RSA_SHA256: [u8; 2] = [4, 1];
/// By how much the message grows: one certificate type, one algorithm.
const ADDED_BYTES: usize = 3;

/// A datagram of the library, changed if it has its CertificateRequest in clear and whole.
pub fn as_sent(datagram: &[u8]) -> Option<Vec<u8>> {
    let mut at = 0;
    while let Some((header, behind)) = datagram.get(at..)?.split_first_chunk::<RECORD_HEADER_BYTES>() {
        let length = records::length(header);
        let fragment = behind.get(..length)?;
        if header[0] == HANDSHAKE
            && records::is_clear(header)
            && let Some(changed) = with_rsa(fragment)
        {
            let mut sent = datagram[..at + RECORD_HEADER_BYTES - 2].to_vec();
            sent.extend(u16::try_from(changed.len()).ok()?.to_be_bytes());
            sent.extend(changed);
            sent.extend(&behind[length..]);
            return Some(sent);
        }
        at += RECORD_HEADER_BYTES + length;
    }
    None
}

/// The library's record of a handshake that this side serves, as the client has it. Anything else is left as it is: that record
/// begins with a ClientHello.
pub fn as_client_knows(messages: &[u8]) -> Cow<'_, [u8]> {
    match messages.first() {
        Some(&CLIENT_HELLO) => with_rsa(messages).map_or(Cow::Borrowed(messages), Cow::Owned),
        _ => Cow::Borrowed(messages),
    }
}

/// Handshake messages with a changed CertificateRequest; None if there is none as the library writes it.
fn with_rsa(messages: &[u8]) -> Option<Vec<u8>> {
    let mut at = 0;
    loop {
        let (header, behind) = messages.get(at..)?.split_first_chunk::<MESSAGE_HEADER_BYTES>()?;
        let (length, offset) = (records::u24(&header[1..4]), records::u24(&header[6..9]));
        let body = behind.get(..records::u24(&header[9..12]))?;
        if header[0] == CERTIFICATE_REQUEST && offset == 0 && length == body.len() {
            // Certificate types, algorithms, authorities.
            let [1, ECDSA_SIGN, high, low, rest @ ..] = body else { return None };
            let algorithms_bytes = usize::from(u16::from_be_bytes([*high, *low]));
            let (algorithms, authorities) = rest.split_at_checked(algorithms_bytes)?;
            let mut changed = messages[..at].to_vec();
            let length = u32::try_from(length + ADDED_BYTES).ok()?.to_be_bytes();
            changed.extend(&header[..1]);
            changed.extend(&length[1..]);
            changed.extend(&header[4..9]);
            changed.extend(&length[1..]);
            changed.extend([2, ECDSA_SIGN, RSA_SIGN]);
            changed.extend(u16::try_from(algorithms_bytes + RSA_SHA256.len()).ok()?.to_be_bytes());
            changed.extend(algorithms);
            changed.extend(RSA_SHA256);
            changed.extend(authorities);
            changed.extend(&behind[body.len()..]);
            return Some(changed);
        }
        at += MESSAGE_HEADER_BYTES + body.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u32).to_be_bytes();
        [&[kind], &length[1..], &[0, 3, 0, 0, 0], &length[1..], body].concat()
    }

    fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 7][..], &(body.len() as u16).to_be_bytes(), body].concat()
    }

    const ASKED: &[u8] = &[1, 64, 0, 4, 4, 3, 5, 3, 0, 0];
    const ASKED_WITH_RSA: &[u8] = &[2, 64, 1, 0, 6, 4, 3, 5, 3, 4, 1, 0, 0];

    #[test]
    fn the_request_is_changed_in_the_datagram_and_in_the_transcript_alike() {
        let (hello, done) = (message(2, &[7; 40]), message(14, &[]));
        let flight = |request: &[u8]| [hello.clone(), message(13, request), done.clone()].concat();
        for pack in [
            |flight: &[u8]| record(22, 0, flight),
            |flight: &[u8]| {
                [record(22, 0, &message(11, &[9; 300])), record(22, 0, flight), record(20, 0, &[1])].concat()
            },
        ] {
            assert_eq!(as_sent(&pack(&flight(ASKED))), Some(pack(&flight(ASKED_WITH_RSA))));
        }
        let transcript = |request: &[u8]| [message(1, &[5; 90]), flight(request), message(16, &[3; 33])].concat();
        assert_eq!(as_client_knows(&transcript(ASKED)), transcript(ASKED_WITH_RSA));
    }

    #[test]
    fn everything_else_is_left_as_it_is() {
        let request = message(13, ASKED);
        for datagram in [
            record(22, 0, &message(2, ASKED)),
            record(22, 1, &request),
            record(23, 0, &request),
            record(22, 0, &message(13, ASKED_WITH_RSA)),
            record(22, 0, &message(13, &[1, 64, 0, 9, 4, 3])),
            record(22, 0, &request)[..20].to_vec(),
            record(22, 0, &request[..request.len() - 1]),
            vec![],
        ] {
            assert_eq!(as_sent(&datagram), None, "{datagram:?}");
        }
        let mut part = request.clone();
        part[3] += 1;
        for text in [b"".as_slice(), b"abc", &[1, 2, 3], &request, &[message(1, &[0; 9]), part].concat()] {
            assert_eq!(as_client_knows(text), text);
        }
    }
}
