//! Which records of a DTLS datagram (RFC 6347 §4.1) are worth reading: those that anybody could have made and that would do
//! harm are told by what stands in them in clear.
//!
//! Pure. It authenticates nothing.

use super::fingerprint::Fingerprint;

/// DTLS record header (RFC 6347 §4.1): type, version, epoch, sequence, length.
pub(super) const RECORD_HEADER_BYTES: usize = 13;
const ALERT: u8 = 21;
pub(super) const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// Header of a handshake message (RFC 6347 §4.2.2): type, length, sequence, offset and length of the fragment.
pub(super) const MESSAGE_HEADER_BYTES: usize = 12;
const CERTIFICATE: u8 = 11;

/// The records of a datagram that are read: those before the first of application data, and none of a datagram with an
/// alert in clear (epoch zero), which anybody could have sent, with a certificate other than this, or whose records do not fill
/// it exactly.
pub fn readable<'a>(packet: &'a [u8], expected: Option<&Fingerprint>) -> &'a [u8] {
    let (mut rest, mut read) = (packet, None);
    while let Some((header, behind)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() {
        let (kind, is_clear, length) = (header[0], is_clear(header), length(header));
        let Some((body, next)) = behind.split_at_checked(length) else { return &[] };
        let is_forged = match kind {
            ALERT => is_clear,
            HANDSHAKE => is_clear && expected.is_some_and(|expected| has_other_certificate(body, expected)),
            _ => false,
        };
        if is_forged {
            return &[];
        }
        if kind == APPLICATION_DATA && read.is_none() {
            read = Some(packet.len() - rest.len());
        }
        rest = next;
    }
    if rest.is_empty() { &packet[..read.unwrap_or(packet.len())] } else { &[] }
}

/// Whether a handshake record in clear has a whole certificate, the first of its chain (RFC 5246 §7.4.2), that is another one.
fn has_other_certificate(mut messages: &[u8], expected: &Fingerprint) -> bool {
    while let Some((header, behind)) = messages.split_first_chunk::<MESSAGE_HEADER_BYTES>() {
        let (length, fragment_length) = (u24(&header[1..4]), u24(&header[9..12]));
        let Some((body, next)) = behind.split_at_checked(fragment_length) else { return false };
        // Length of the chain, length of the first certificate, the certificate.
        if header[0] == CERTIFICATE
            && fragment_length == length
            && let Some(certificate) = body.get(6..).and_then(|rest| rest.get(..u24(&body[3..6])))
        {
            return !expected.matches(certificate);
        }
        messages = next;
    }
    false
}

/// Bytes behind a record's header.
pub(super) fn length(header: &[u8; RECORD_HEADER_BYTES]) -> usize {
    usize::from(u16::from_be_bytes([header[11], header[12]]))
}

/// Whether a record is not encrypted: its epoch is zero.
pub(super) fn is_clear(header: &[u8; RECORD_HEADER_BYTES]) -> bool {
    header[3..5] == [0, 0]
}

/// A number of three bytes.
pub(super) fn u24(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16).to_be_bytes();
        [&[kind, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 7][..], &length, body].concat()
    }

    /// A Certificate message, of which a fragment of so many bytes is there.
    fn certificate(der: &[u8], there: usize) -> Vec<u8> {
        let u24 = |number: usize| (number as u32).to_be_bytes()[1..].to_vec();
        let body = [u24(der.len() + 3), u24(der.len()), der.to_vec()].concat();
        let header = [vec![CERTIFICATE], u24(body.len()), vec![0, 1], u24(0), u24(there.min(body.len()))].concat();
        [header, body[..there.min(body.len())].to_vec()].concat()
    }

    #[test]
    fn alerts_in_clear_and_datagrams_that_do_not_add_up_are_not_read() {
        let handshake = record(HANDSHAKE, 0, &[1; 20]);
        assert_eq!(readable(&handshake, None), handshake);
        assert_eq!(readable(&[handshake.clone(), record(ALERT, 0, &[2, 40])].concat(), None), b"");
        let encrypted = record(ALERT, 1, &[7; 24]);
        assert_eq!(readable(&encrypted, None), encrypted);
        assert_eq!(readable(&handshake[..handshake.len() - 1], None), b"");
        assert_eq!(readable(&[&handshake[..], &[22]].concat(), None), b"");
        assert_eq!(readable(&[], None), b"");
    }

    #[test]
    fn application_data_and_what_follows_it_is_not_read() {
        let (handshake, data) = (record(HANDSHAKE, 1, &[1; 40]), record(APPLICATION_DATA, 1, &[9; 30]));
        assert_eq!(readable(&data, None), b"");
        assert_eq!(readable(&[&handshake[..], &data, &handshake].concat(), None), handshake);
    }

    #[test]
    fn only_the_expected_certificate_is_read_if_it_is_whole() {
        // The digest of "genuine" by SHA-256.
        let value =
            "sha-256 df:ec:22:47:37:77:f0:dd:ae:a9:8d:74:04:5c:22:ae:90:29:a8:e3:b7:5a:a8:fc:ce:94:1a:a2:9e:5b:07:3b";
        let digest = Fingerprint::read([value].into_iter()).unwrap();
        let is_read = |message: &[u8], epoch| !readable(&record(HANDSHAKE, epoch, message), Some(&digest)).is_empty();
        assert!(is_read(&certificate(b"genuine", usize::MAX), 0));
        assert!(!is_read(&certificate(b"forged!", usize::MAX), 0));
        let hello = [&[1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 4][..], &[5; 4]].concat();
        assert!(!is_read(&[hello, certificate(b"forged!", usize::MAX)].concat(), 0), "behind another message");
        // What cannot be told here is left to the handshake: fragments, and what is encrypted.
        assert!(is_read(&certificate(b"forged!", 8), 0));
        assert!(is_read(&certificate(b"forged!", usize::MAX), 1));
        assert!(is_read(&certificate(b"", usize::MAX)[..13], 0));
        assert!(readable(&record(HANDSHAKE, 0, &certificate(b"any", usize::MAX)), None).len() > 13);
    }
}
