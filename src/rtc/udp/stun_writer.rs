//! Writes STUN messages (RFC 8489). Pure.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;

/// RFC 8489 §5: type, length, magic cookie, transaction id.
pub const HEADER_BYTES: usize = 20;
/// Where the magic cookie ends and the transaction id begins.
const TRANSACTION_AT: usize = 8;
/// RFC 8489 §5.
pub const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// Method Binding (RFC 8489 §18.2) in the classes of §5.
pub const BINDING_REQUEST: u16 = 0x0001;
/// The response that carries the client's address.
pub const BINDING_SUCCESS: u16 = 0x0101;
/// The response that carries an error code.
pub const BINDING_ERROR: u16 = 0x0111;

/// RFC 8489 §18.3 and RFC 8445 §16.1.
pub const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
/// RFC 8489 §14.8.
pub const ERROR_CODE: u16 = 0x0009;
const XOR_MAPPED_ADDRESS: u16 = 0x0020;
/// What a pair's priority would be if this check made a new candidate known.
pub const PRIORITY: u16 = 0x0024;
/// The client chooses this path (RFC 8445 §7.1.2).
pub const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
/// The sender's role, and what decides if both claim the same one.
pub const ICE_CONTROLLED: u16 = 0x8029;
/// The same for the other role.
pub const ICE_CONTROLLING: u16 = 0x802a;

/// RFC 8489 §14.7: what the checksum is combined with, so that it differs from other protocols'.
const FINGERPRINT_XOR: u32 = 0x5354_554e;
/// Bytes of an attribute's type and length.
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// Bytes of a digest of SHA-1.
const SHA1_BYTES: usize = 20;

/// Names one request and its response (RFC 8489 §5).
pub type TransactionId = [u8; 12];

/// The transaction id of a message; None if it is shorter than a header.
pub fn transaction_id(message: &[u8]) -> Option<TransactionId> {
    message.get(TRANSACTION_AT..)?.first_chunk().copied()
}

/// A STUN message that is being written.
#[derive(Debug)]
pub struct StunWriter {
    bytes: Vec<u8>,
}

impl StunWriter {
    /// A message without attributes.
    pub fn new(message_type: u16, transaction: &TransactionId) -> StunWriter {
        // Room for the attributes of a check or of its response.
        let mut bytes = Vec::with_capacity(128);
        bytes.extend(message_type.to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend(MAGIC_COOKIE);
        bytes.extend(transaction);
        StunWriter { bytes }
    }

    /// Appends an attribute, padded to four bytes (RFC 8489 §14). Its value has at most 65,535 bytes.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> StunWriter {
        self.bytes.extend(kind.to_be_bytes());
        self.bytes.extend((value.len() as u16).to_be_bytes());
        self.bytes.extend(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// Appends XOR-MAPPED-ADDRESS (RFC 8489 §14.2): masked with cookie and transaction id against routers that rewrite
    /// addresses in payloads.
    #[must_use]
    pub fn xor_mapped_address(self, address: SocketAddr) -> StunWriter {
        let (family, ip) = match address.ip().to_canonical() {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (2, ip.octets().to_vec()),
        };
        let key = &self.bytes[TRANSACTION_AT - MAGIC_COOKIE.len()..HEADER_BYTES];
        let masked = |bytes: &[u8]| bytes.iter().zip(key).map(|(byte, key)| byte ^ key).collect::<Vec<u8>>();
        let value = [&[0, family][..], &masked(&address.port().to_be_bytes()), &masked(&ip)].concat();
        self.attribute(XOR_MAPPED_ADDRESS, &value)
    }

    /// The message as it is.
    pub fn finish(mut self) -> Vec<u8> {
        self.set_length(0);
        self.bytes
    }

    /// The message with MESSAGE-INTEGRITY and FINGERPRINT (RFC 8489 §14.5, §14.7), by which ICE knows its own.
    pub fn finish_with_integrity(mut self, password: &str) -> Vec<u8> {
        // Each is calculated over a header whose length includes it.
        self.set_length(ATTRIBUTE_HEADER_BYTES + SHA1_BYTES);
        let integrity = hmac_sha1(password.as_bytes(), &[&self.bytes]);
        let mut message = self.attribute(MESSAGE_INTEGRITY, &integrity);
        message.set_length(ATTRIBUTE_HEADER_BYTES + size_of::<u32>());
        let checksum = crc32fast::hash(&message.bytes) ^ FINGERPRINT_XOR;
        message.attribute(FINGERPRINT, &checksum.to_be_bytes()).bytes
    }

    /// Says in the header how long the message is with so many bytes more.
    fn set_length(&mut self, more: usize) {
        let length = (self.bytes.len() - HEADER_BYTES + more) as u16;
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
    }
}

/// HMAC-SHA1 (RFC 2104) of several pieces one after the other.
pub fn hmac_sha1(key: &[u8], pieces: &[&[u8]]) -> [u8; SHA1_BYTES] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key));
    pieces.iter().for_each(|piece| context.update(piece));
    let mut digest = [0; SHA1_BYTES];
    digest.copy_from_slice(context.sign().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRANSACTION: TransactionId = *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae";
    const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

    #[test]
    fn a_response_equals_the_rfcs_test_vector() {
        // RFC 5769 §2.2, whose SOFTWARE is padded with a space.
        let software = b"\x80\x22\x00\x0btest vector ";
        let mut writer = StunWriter::new(BINDING_SUCCESS, &TRANSACTION);
        writer.bytes.extend(software);
        let bytes = writer.xor_mapped_address("192.0.2.1:32853".parse().unwrap()).finish_with_integrity(PASSWORD);
        let expected = b"\x01\x01\x00\x3c\x21\x12\xa4\x42\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae\
            \x80\x22\x00\x0b\x74\x65\x73\x74\x20\x76\x65\x63\x74\x6f\x72\x20\
            \x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43\
            \x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7\
            \x80\x28\x00\x04\xc0\x7d\x4c\x96";
        assert_eq!(bytes, expected);
        assert_eq!(transaction_id(&bytes), Some(TRANSACTION));
        assert_eq!(transaction_id(&bytes[..19]), None);
    }

    #[test]
    fn a_message_without_attributes_has_length_zero() {
        let bytes = StunWriter::new(BINDING_REQUEST, &TRANSACTION).finish();
        assert_eq!((bytes.len(), &bytes[..4]), (HEADER_BYTES, &[0, 1, 0, 0][..]));
    }
}
