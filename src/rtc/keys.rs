//! What DTLS-SRTP (RFC 5764) gives one session to protect its own packets with, for the one profile that is sealed beside
//! the engine: AEAD_AES_128_GCM (RFC 7714).
//!
//! Pure. Knows neither packets nor sessions, and nothing of the other profiles.

/// Bytes of a key of AES-128.
pub const KEY_BYTES: usize = 16;
/// Bytes of a salt of GCM in SRTP, and of its nonce (RFC 7714 §12).
pub const SALT_BYTES: usize = 12;

/// RFC 3711 §4.3.2: what a derived key is for.
const RTP_ENCRYPTION: u8 = 0;
const RTP_SALT: u8 = 2;
const RTCP_ENCRYPTION: u8 = 3;

/// One AES-128 encryption of one block: key, block in, block out.
pub type Block<'a> = &'a dyn Fn(&[u8], &[u8; 16]) -> [u8; 16];

/// The keys with which this host protects what it sends.
#[derive(Clone)]
pub struct Keys {
    /// Encrypts RTP.
    pub rtp: [u8; KEY_BYTES],
    /// Salt of RTP's nonces.
    pub rtp_salt: [u8; SALT_BYTES],
    /// Encrypts RTCP; here only to be recognised.
    pub rtcp: [u8; KEY_BYTES],
}

impl Keys {
    /// Derives them from what the handshake exported: client's key, server's key, client's salt, server's salt
    /// (RFC 5764 §4.2). None if that has another length.
    pub fn derive(exported: &[u8], are_client: bool, block: Block<'_>) -> Option<Keys> {
        if exported.len() != 2 * (KEY_BYTES + SALT_BYTES) {
            return None;
        }
        let (keys, salts) = exported.split_at(2 * KEY_BYTES);
        let nth = usize::from(!are_client);
        let master = keys.chunks_exact(KEY_BYTES).nth(nth)?;
        let salt = salts.chunks_exact(SALT_BYTES).nth(nth)?;
        // RFC 3711 §4.3.1 and §4.3.3, key derivation rate zero; RFC 7714 §11: the salt of 12 bytes is followed by zeros.
        // No derived value is longer than one block, so the counter stays zero.
        let derive = |label: u8| {
            let mut input = [0; 16];
            input[..SALT_BYTES].copy_from_slice(salt);
            input[7] ^= label;
            block(master, &input)
        };
        let [rtp_salt @ .., _, _, _, _] = derive(RTP_SALT);
        Some(Keys { rtp: derive(RTP_ENCRYPTION), rtp_salt, rtcp: derive(RTCP_ENCRYPTION) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_sides_protect_with_different_halves_of_what_was_exported() {
        // A block cipher that only shows what it was asked.
        let block = |key: &[u8], input: &[u8; 16]| {
            let mut out = *input;
            out[15] = key[0];
            out
        };
        let mut exported = [0; 56];
        (exported[0], exported[16], exported[32], exported[44]) = (1, 2, 3, 4);
        let client = Keys::derive(&exported, true, &block).unwrap();
        let server = Keys::derive(&exported, false, &block).unwrap();
        assert_eq!((client.rtp[0], client.rtp[15], server.rtp[0], server.rtp[15]), (3, 1, 4, 2));
        assert_eq!((server.rtp[7], server.rtp_salt[7], server.rtcp[7]), (0, 2, 3));
        assert!(Keys::derive(&exported[..55], true, &block).is_none());
    }
}
