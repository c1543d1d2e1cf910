//! The keys that DTLS-SRTP (RFC 5764) gives one session for the packets it sends, for the profiles that are sealed beside
//! the engine: AEAD_AES_128_GCM and AEAD_AES_256_GCM (RFC 7714).
//!
//! Pure. Knows neither packets nor sessions, and none of the older profiles.

/// Bytes of a key of AES-128.
const SHORT_KEY_BYTES: usize = 16;
/// Bytes of a key of AES-256.
const LONG_KEY_BYTES: usize = 32;
/// Bytes of a salt of GCM in SRTP, and of its nonce (RFC 7714 §12).
pub const SALT_BYTES: usize = 12;

/// Labels of derived keys (RFC 3711 §4.3.2).
const RTP_ENCRYPTION: u8 = 0;
const RTP_SALT: u8 = 2;

/// One AES-128 encryption of one block: key, block in, block out.
pub type Block<'a> = &'a dyn Fn(&[u8], &[u8; 16]) -> [u8; 16];

/// A key of 16 or 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    bytes: [u8; LONG_KEY_BYTES],
    length: usize,
}

impl Key {
    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl From<[u8; SHORT_KEY_BYTES]> for Key {
    fn from(key: [u8; SHORT_KEY_BYTES]) -> Key {
        let mut bytes = [0; LONG_KEY_BYTES];
        bytes[..SHORT_KEY_BYTES].copy_from_slice(&key);
        Key { bytes, length: SHORT_KEY_BYTES }
    }
}

impl From<[u8; LONG_KEY_BYTES]> for Key {
    fn from(bytes: [u8; LONG_KEY_BYTES]) -> Key {
        Key { bytes, length: LONG_KEY_BYTES }
    }
}

/// The keys with which this host protects what it sends.
#[derive(Clone)]
pub struct Keys {
    /// Encrypts RTP.
    pub rtp: Key,
    /// Salt of RTP's nonces.
    pub rtp_salt: [u8; SALT_BYTES],
}

impl Keys {
    /// Derives them from the handshake's exported keying material: client's key, server's key, client's salt, server's salt
    /// (RFC 5764 §4.2). None if it has another length.
    pub fn derive(exported: &[u8], are_client: bool, block: Block<'_>) -> Option<Keys> {
        let key_bytes = match exported.len() / 2 {
            half if half == SHORT_KEY_BYTES + SALT_BYTES => SHORT_KEY_BYTES,
            half if half == LONG_KEY_BYTES + SALT_BYTES => LONG_KEY_BYTES,
            _ => return None,
        };
        let (keys, salts) = exported.split_at(2 * key_bytes);
        let nth = usize::from(!are_client);
        let master = keys.chunks_exact(key_bytes).nth(nth)?;
        let salt = salts.chunks_exact(SALT_BYTES).nth(nth)?;
        // RFC 3711 §4.3.1 and §4.3.3, key derivation rate zero; RFC 7714 §11: the salt of 12 bytes is followed by zeros.
        let derive = |label: u8, counter: u8| {
            let mut input = [0; 16];
            input[..SALT_BYTES].copy_from_slice(salt);
            input[7] ^= label;
            input[15] = counter;
            block(master, &input)
        };
        let key = |label| match key_bytes {
            SHORT_KEY_BYTES => Key::from(derive(label, 0)),
            _ => {
                let mut bytes = [0; LONG_KEY_BYTES];
                bytes[..16].copy_from_slice(&derive(label, 0));
                bytes[16..].copy_from_slice(&derive(label, 1));
                Key::from(bytes)
            }
        };
        let [rtp_salt @ .., _, _, _, _] = derive(RTP_SALT, 0);
        Some(Keys { rtp: key(RTP_ENCRYPTION), rtp_salt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block cipher that returns its input and one byte of its key.
    fn shown(key: &[u8], input: &[u8; 16]) -> [u8; 16] {
        let mut out = *input;
        out[14] = key[0];
        out
    }

    #[test]
    fn client_and_server_use_different_halves_of_the_exported_material() {
        for (length, key_bytes) in [(56, 16), (88, 32)] {
            let mut exported = vec![0; length];
            for (at, value) in [(0, 1), (key_bytes, 2), (2 * key_bytes, 3), (2 * key_bytes + 12, 4)] {
                exported[at] = value;
            }
            let client = Keys::derive(&exported, true, &shown).unwrap();
            let server = Keys::derive(&exported, false, &shown).unwrap();
            let seen = |keys: &Keys| (keys.rtp.bytes()[0], keys.rtp.bytes()[14], keys.rtp_salt[0]);
            assert_eq!((seen(&client), seen(&server)), ((3, 1, 3), (4, 2, 4)));
            assert_eq!((server.rtp.bytes()[7], server.rtp_salt[7]), (0, 2));
            assert_eq!(server.rtp.bytes().len(), key_bytes);
            // Each block of a longer key has the next counter.
            assert!(server.rtp.bytes().chunks_exact(16).map(|block| block[15]).eq(0..key_bytes as u8 / 16));
            assert!(Keys::derive(&exported[..length - 2], true, &shown).is_none());
        }
    }
}
