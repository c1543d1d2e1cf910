//! A permission as a token that can be sent around: who shows it may do what it says, as this server's key has signed it. Pure:
//! the key, the time and the random numbers are somebody else's. Whether a token was withdrawn or used up is not known here.
//!
//! A token is `BASE64URL(payload).BASE64URL(HMAC-SHA256(BASE64URL(payload)))` (RFC 4648 §5 without padding, RFC 2104); the
//! payload is a small JSON object. There is one algorithm and no header that names it, so nobody can ask for another.

use std::fmt;

use aws_lc_rs::hmac;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

use crate::ids::names::RoomName;

/// No token of ours is longer, with the longest of all room names.
pub const TOKEN_CHARS: usize = 512;

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// To enter this one room.
    Room(RoomName),
    /// To listen to the stations.
    Listen,
    /// Everything, everywhere, and the host's role in every room.
    Admin,
}

/// A token's name, by which it can be withdrawn: 16 hexadecimal digits. No secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(u64);

impl TokenId {
    /// Made of random bits.
    pub fn new(bits: u64) -> TokenId {
        TokenId(bits)
    }

    /// None if it is not an id.
    pub fn parse(text: &str) -> Option<TokenId> {
        let bytes: [u8; 8] = HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()?;
        Some(TokenId(u64::from_be_bytes(bytes)))
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Which token this is.
    pub id: TokenId,
    /// What it allows.
    pub permission: Permission,
    /// Until when, in seconds since 1970; for ever, if None.
    pub expires_s: Option<u64>,
    /// How many times somebody may come in with it; without limit, if None.
    pub uses: Option<u32>,
}

/// The payload. A member that is not known could be a limit that is not known, so it makes the token unreadable.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<'a> {
    id: &'a str,
    what: What,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uses: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Room,
    Listen,
    Admin,
}

/// What tokens are signed with: 32 random bytes.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(secret)")
    }
}

impl SigningKey {
    /// Bytes of a key.
    pub const BYTES: usize = 32;

    /// Of these bytes.
    pub fn new(bytes: &[u8; SigningKey::BYTES]) -> SigningKey {
        SigningKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// A claims as a token.
    pub fn sign(&self, claims: &Claims) -> String {
        let (what, room) = match &claims.permission {
            Permission::Room(name) => (What::Room, Some(name.as_str())),
            Permission::Listen => (What::Listen, None),
            Permission::Admin => (What::Admin, None),
        };
        let id = claims.id.to_string();
        let payload = Payload { id: &id, what, room, expires: claims.expires_s, uses: claims.uses };
        let json = serde_json::to_vec(&payload).expect("a payload has string keys only and no value that can fail");
        let text = BASE64URL_NOPAD.encode(&json);
        let tag = hmac::sign(&self.0, text.as_bytes());
        format!("{text}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
    }

    /// What a token says, if this key has signed it. Nothing of it is looked at before that is certain, and the
    /// comparison takes as long whatever it finds.
    pub fn read(&self, token: &str) -> Option<Claims> {
        let (text, tag) = token.split_once('.').filter(|_| token.len() <= TOKEN_CHARS)?;
        let tag = BASE64URL_NOPAD.decode(tag.as_bytes()).ok()?;
        hmac::verify(&self.0, text.as_bytes(), &tag).ok()?;
        let json = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let payload: Payload<'_> = serde_json::from_slice(&json).ok()?;
        let permission = match (payload.what, payload.room) {
            (What::Room, Some(name)) => Permission::Room(RoomName::parse(name)?),
            (What::Listen, None) => Permission::Listen,
            (What::Admin, None) => Permission::Admin,
            _ => return None,
        };
        Some(Claims { id: TokenId::parse(payload.id)?, permission, expires_s: payload.expires, uses: payload.uses })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(n: u8) -> SigningKey {
        SigningKey::new(&[n; SigningKey::BYTES])
    }

    fn claims(permission: Permission) -> Claims {
        Claims { id: TokenId::new(7), permission, expires_s: Some(1_800_000_000), uses: Some(u32::MAX) }
    }

    fn grants() -> [Claims; 3] {
        let longest = RoomName::parse(&"x".repeat(64)).unwrap();
        [
            claims(Permission::Room(longest)),
            claims(Permission::Listen),
            Claims { expires_s: None, uses: None, ..claims(Permission::Admin) },
        ]
    }

    #[test]
    fn what_was_signed_is_read_again_and_fits_into_a_link() {
        for claims in grants() {
            let token = key(1).sign(&claims);
            assert_eq!(key(1).read(&token), Some(claims));
            assert!(token.len() <= 300, "{}", token.len());
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{token}");
        }
    }

    #[test]
    fn another_key_or_any_other_character_makes_it_worthless() {
        for claims in grants() {
            let token = key(1).sign(&claims);
            assert_eq!(key(2).read(&token), None);
            for at in 0..token.len() {
                let other = if &token[at..=at] == "A" { "B" } else { "A" };
                let mut forged = token.clone();
                forged.replace_range(at..=at, other);
                assert_eq!(key(1).read(&forged), None, "at {at}");
                assert_eq!(key(1).read(&token[..at]), None, "cut at {at}");
            }
            for odd in [format!("{token}A"), format!("{token}="), format!(" {token}"), format!("{token}.")] {
                assert_eq!(key(1).read(&odd), None, "{odd}");
            }
        }
    }

    #[test]
    fn a_payload_that_is_not_understood_wholly_is_not_understood_at_all() {
        let signed = |json: &str| {
            let text = BASE64URL_NOPAD.encode(json.as_bytes());
            let tag = hmac::sign(&key(1).0, text.as_bytes());
            format!("{text}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
        };
        let good = r#"{"id":"0000000000000007","what":"listen"}"#;
        assert!(key(1).read(&signed(good)).is_some());
        for json in [
            r#"{"id":"0000000000000007","what":"listen","only":"mondays"}"#,
            r#"{"id":"0000000000000007","what":"listen","room":"a"}"#,
            r#"{"id":"0000000000000007","what":"room"}"#,
            r#"{"id":"0000000000000007","what":"room","room":"a b"}"#,
            r#"{"id":"0000000000000007","what":"everything"}"#,
            r#"{"id":"7","what":"listen"}"#,
            r#"{"what":"listen"}"#,
            r#"{"id":"0000000000000007","what":"listen","uses":-1}"#,
            "[]",
            "",
        ] {
            assert_eq!(key(1).read(&signed(json)), None, "{json}");
        }
        let long = format!("{{{}\"id\":\"0000000000000007\",\"what\":\"listen\"}}", " ".repeat(TOKEN_CHARS));
        assert_eq!(key(1).read(&signed(&long)), None);
    }

    #[test]
    fn ids_are_written_in_one_way_only() {
        assert_eq!(TokenId::parse("00000000000000ff"), Some(TokenId::new(255)));
        for odd in ["", "ff", "00000000000000FF", "+0000000000000ff", "00000000000000ff "] {
            assert_eq!(TokenId::parse(odd), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn no_text_at_all_is_taken_for_a_token(text in "\\PC{0,200}", bytes in "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}") {
            prop_assert_eq!(key(1).read(&text), None);
            prop_assert_eq!(key(1).read(&bytes), None);
        }
    }
}
