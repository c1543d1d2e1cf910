//! Tokens: claims, signed with this server's key. The bearer of a token may do what its claims permit. Pure: the key, the time
//! and the random numbers are arguments. Whether a token was revoked or used up is not known here.
//!
//! A token is `BASE64URL(payload).BASE64URL(HMAC-SHA256(BASE64URL(payload)))` (RFC 4648 §5 without padding, RFC 2104); the
//! payload is a small JSON object. There is one algorithm and no header that names it (unlike RFC 7515), so a forger cannot
//! choose a weaker one.

use std::fmt;

use aws_lc_rs::hmac;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Serialize};

use crate::ids::names::RoomName;

/// Characters of the longest token, one with the longest room name.
pub const TOKEN_CHARS: usize = 512;

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// To join this one room.
    Room(RoomName),
    /// To listen to the stations.
    Listen,
    /// Everything, and to be a moderator in every room.
    Admin,
}

/// The id of a token, by which it can be revoked: 16 hexadecimal digits. No secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(u64);

impl TokenId {
    /// The id with these bits, which are random except in tests.
    pub fn new(bits: u64) -> TokenId {
        TokenId(bits)
    }

    /// None if the text is not an id.
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

/// What a token says: its id, what it permits, and within which limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The token's id.
    pub id: TokenId,
    /// What it permits.
    pub permission: Permission,
    /// When it expires, in seconds since 1970; None: never.
    pub expires_s: Option<u64>,
    /// How many times it may be used; None: without limit.
    pub uses: Option<u32>,
}

/// The payload. An unknown member could be a limit that this version does not know, so a token that has one is refused.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<'a> {
    id: &'a str,
    what: PermissionKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uses: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PermissionKind {
    Room,
    Listen,
    Admin,
}

/// The key that tokens are signed with: 32 random bytes.
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

    /// The key made of these bytes.
    pub fn new(bytes: &[u8; SigningKey::BYTES]) -> SigningKey {
        SigningKey(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Claims as a token.
    pub fn sign(&self, claims: &Claims) -> String {
        let (what, room) = match &claims.permission {
            Permission::Room(name) => (PermissionKind::Room, Some(name.as_str())),
            Permission::Listen => (PermissionKind::Listen, None),
            Permission::Admin => (PermissionKind::Admin, None),
        };
        let id = claims.id.to_string();
        let payload = Payload { id: &id, what, room, expires: claims.expires_s, uses: claims.uses };
        let json = serde_json::to_vec(&payload).expect("a payload has string keys only and no value that can fail");
        let text = BASE64URL_NOPAD.encode(&json);
        let tag = hmac::sign(&self.0, text.as_bytes());
        format!("{text}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
    }

    /// The claims of a token, if this key has signed it. Nothing of the payload is looked at before the signature is
    /// verified, which takes the same time for right and wrong ones.
    pub fn verify(&self, token: &str) -> Option<Claims> {
        let (text, tag) = token.split_once('.').filter(|_| token.len() <= TOKEN_CHARS)?;
        let tag = BASE64URL_NOPAD.decode(tag.as_bytes()).ok()?;
        hmac::verify(&self.0, text.as_bytes(), &tag).ok()?;
        let json = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let payload: Payload<'_> = serde_json::from_slice(&json).ok()?;
        let permission = match (payload.what, payload.room) {
            (PermissionKind::Room, Some(name)) => Permission::Room(RoomName::parse(name)?),
            (PermissionKind::Listen, None) => Permission::Listen,
            (PermissionKind::Admin, None) => Permission::Admin,
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

    fn all_claims() -> [Claims; 3] {
        let longest = RoomName::parse(&"x".repeat(64)).unwrap();
        [
            claims(Permission::Room(longest)),
            claims(Permission::Listen),
            Claims { expires_s: None, uses: None, ..claims(Permission::Admin) },
        ]
    }

    #[test]
    fn signed_claims_are_verified_and_fit_into_a_link() {
        for claims in all_claims() {
            let token = key(1).sign(&claims);
            assert_eq!(key(1).verify(&token), Some(claims));
            assert!(token.len() <= 300, "{}", token.len());
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{token}");
        }
    }

    #[test]
    fn another_key_or_any_changed_character_is_refused() {
        for claims in all_claims() {
            let token = key(1).sign(&claims);
            assert_eq!(key(2).verify(&token), None);
            for at in 0..token.len() {
                let other = if &token[at..=at] == "A" { "B" } else { "A" };
                let mut forged = token.clone();
                forged.replace_range(at..=at, other);
                assert_eq!(key(1).verify(&forged), None, "at {at}");
                assert_eq!(key(1).verify(&token[..at]), None, "cut at {at}");
            }
            for odd in [format!("{token}A"), format!("{token}="), format!(" {token}"), format!("{token}.")] {
                assert_eq!(key(1).verify(&odd), None, "{odd}");
            }
        }
    }

    #[test]
    fn a_payload_that_is_not_wholly_understood_is_refused() {
        let signed = |json: &str| {
            let text = BASE64URL_NOPAD.encode(json.as_bytes());
            let tag = hmac::sign(&key(1).0, text.as_bytes());
            format!("{text}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))
        };
        let good = r#"{"id":"0000000000000007","what":"listen"}"#;
        assert!(key(1).verify(&signed(good)).is_some());
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
            assert_eq!(key(1).verify(&signed(json)), None, "{json}");
        }
        let long = format!("{{{}\"id\":\"0000000000000007\",\"what\":\"listen\"}}", " ".repeat(TOKEN_CHARS));
        assert_eq!(key(1).verify(&signed(&long)), None);
    }

    #[test]
    fn ids_have_one_spelling() {
        assert_eq!(TokenId::parse("00000000000000ff"), Some(TokenId::new(255)));
        for odd in ["", "ff", "00000000000000FF", "+0000000000000ff", "00000000000000ff "] {
            assert_eq!(TokenId::parse(odd), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn no_other_text_is_a_token(text in "\\PC{0,200}", bytes in "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}") {
            prop_assert_eq!(key(1).verify(&text), None);
            prop_assert_eq!(key(1).verify(&bytes), None);
        }
    }
}
