//! Ids of peers, and the resume tokens that they are derived from. Values that any thread may hold, parsed here and nowhere
//! else. Whether a peer with an id exists is not known here.

use std::fmt;
use std::io;

use aws_lc_rs::digest;
use serde::{Serialize, Serializer};

/// A peer's id: 128 unguessable bits, as 32 hexadecimal digits in lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(u128);

impl PeerId {
    /// None if the text is not an id.
    pub fn parse(text: &str) -> Option<PeerId> {
        let valid = text.len() == 32 && text.bytes().all(is_lower_hex);
        valid.then(|| u128::from_str_radix(text, 16).ok().map(PeerId)).flatten()
    }

    /// The first digits, for the log: enough to tell peers apart, too few to address one.
    pub fn short(self) -> String {
        format!("{:08x}", self.0 >> 96)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({})", self.short())
    }
}

impl Serialize for PeerId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The secret that proves a peer's id: 64 hexadecimal digits in lower case.
///
/// The id is the first half of the secret's SHA-256. So the secret proves the id, also to a server that was restarted and has
/// seen neither, and nobody can derive the secret from the id.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ResumeToken([u8; 32]);

impl ResumeToken {
    /// A new token.
    ///
    /// # Errors
    /// If the operating system has no random numbers.
    pub fn random() -> io::Result<ResumeToken> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(format!("no random numbers: {error}")))?;
        Ok(ResumeToken(bytes))
    }

    /// A token of known bytes, for tests in virtual time.
    pub fn from_bytes(bytes: [u8; 32]) -> ResumeToken {
        ResumeToken(bytes)
    }

    /// None if the text is not a token.
    pub fn parse(text: &str) -> Option<ResumeToken> {
        if text.len() != 64 || !text.bytes().all(is_lower_hex) {
            return None;
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(ResumeToken(bytes))
    }

    /// The id that it proves.
    pub fn id(&self) -> PeerId {
        let hash = digest::digest(&digest::SHA256, &self.0);
        let half = hash.as_ref().iter().take(16);
        PeerId(half.fold(0, |id, byte| id << 8 | u128::from(*byte)))
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResumeToken(secret)")
    }
}

impl Serialize for ResumeToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_first_half_of_the_sha_256_of_its_token() {
        // The SHA-256 (FIPS 180-4) of 32 zero bytes, by another implementation.
        let token = ResumeToken::parse(&"0".repeat(64)).unwrap();
        assert_eq!(token.id().to_string(), "66687aadf862bd776c8fc18b8e9f8e20");
        assert_eq!(PeerId::parse("66687aadf862bd776c8fc18b8e9f8e20"), Some(token.id()));
    }

    #[test]
    fn ids_and_tokens_have_one_spelling() {
        let token = ResumeToken::random().unwrap();
        assert_eq!(ResumeToken::parse(&token.to_string()), Some(token));
        assert_ne!(ResumeToken::random().unwrap(), token);
        assert_eq!(ResumeToken::parse(&token.to_string().to_uppercase().replace(char::is_numeric, "A")), None);
        assert_eq!(ResumeToken::parse("+1"), None);
        assert_eq!(PeerId::parse("66687AADF862BD776C8FC18B8E9F8E20"), None);
        assert_eq!(PeerId::parse("+6687aadf862bd776c8fc18b8e9f8e20"), None);
        assert!(!format!("{token:?}").contains(&token.to_string()[..8]));
    }
}
