//! Who is who: room names, peers' ids and the secrets they are derived from. Values only; parsed here and nowhere else.

use std::fmt;
use std::io;
use std::sync::Arc;

use aws_lc_rs::digest;
use serde::{Serialize, Serializer};

/// Where somebody goes who names no room.
const DEFAULT_ROOM: &str = "main";
const ROOM_NAME_CHARS: usize = 64;

/// A room's name: 1 to 64 of ASCII letters, digits, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// None if it is not a name. Nothing is decoded: none of the characters needs to be escaped in a URL.
    pub fn parse(text: &str) -> Option<RoomName> {
        let valid = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let fits = (1..=ROOM_NAME_CHARS).contains(&text.len()) && text.bytes().all(valid);
        fits.then(|| RoomName(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RoomName {
    fn default() -> Self {
        RoomName(DEFAULT_ROOM.into())
    }
}

impl fmt::Display for RoomName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A peer's id: 32 hexadecimal digits, 128 bits that nobody can guess.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(u128);

impl PeerId {
    /// None if it is not an id.
    pub fn parse(text: &str) -> Option<PeerId> {
        let valid = text.len() == 32 && text.bytes().all(is_lower_hex);
        valid.then(|| u128::from_str_radix(text, 16).ok().map(PeerId)).flatten()
    }

    /// Enough of it to tell peers apart in a log, not enough to address one.
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

/// The secret behind an id: 64 hexadecimal digits.
///
/// The id is the first half of the secret's SHA-256, so showing the secret proves the id, to a server that was started
/// a moment ago and has never seen either as well. Nobody can make a secret to an id that they saw.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn random() -> io::Result<Token> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| io::Error::other(format!("no random numbers: {error}")))?;
        Ok(Token(bytes))
    }

    /// One made of known bytes, for tests in virtual time.
    pub fn from_bytes(bytes: [u8; 32]) -> Token {
        Token(bytes)
    }

    /// None if it is not one.
    pub fn parse(text: &str) -> Option<Token> {
        if text.len() != 64 || !text.bytes().all(is_lower_hex) {
            return None;
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
        }
        Some(Token(bytes))
    }

    /// The id it proves.
    pub fn id(&self) -> PeerId {
        let hash = digest::digest(&digest::SHA256, &self.0);
        let half = hash.as_ref().iter().take(16);
        PeerId(half.fold(0, |id, byte| id << 8 | u128::from(*byte)))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

impl Serialize for Token {
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
    fn a_room_name_is_what_a_url_carries_as_it_is() {
        for good in ["a", "Room-1_2.x", &"x".repeat(64)] {
            assert_eq!(RoomName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a/b", "ä", "a%2Eb", "a+b", &"x".repeat(65)] {
            assert_eq!(RoomName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_id_is_the_first_half_of_its_tokens_sha_256() {
        // FIPS 180-4, by any other implementation: 32 zero bytes.
        let token = Token::parse(&"0".repeat(64)).unwrap();
        assert_eq!(token.id().to_string(), "66687aadf862bd776c8fc18b8e9f8e20");
        assert_eq!(PeerId::parse("66687aadf862bd776c8fc18b8e9f8e20"), Some(token.id()));
    }

    #[test]
    fn ids_and_tokens_are_written_in_one_way_only() {
        let token = Token::random().unwrap();
        assert_eq!(Token::parse(&token.to_string()), Some(token));
        assert_ne!(Token::random().unwrap(), token);
        assert_eq!(Token::parse(&token.to_string().to_uppercase().replace(char::is_numeric, "A")), None);
        assert_eq!(Token::parse("+1"), None);
        assert_eq!(PeerId::parse("66687AADF862BD776C8FC18B8E9F8E20"), None);
        assert_eq!(PeerId::parse("+6687aadf862bd776c8fc18b8e9f8e20"), None);
        assert!(!format!("{token:?}").contains(&token.to_string()[..8]));
    }
}
