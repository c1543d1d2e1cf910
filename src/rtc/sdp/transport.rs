//! What an offer says of its transport: ICE credentials, fingerprints, and who begins the DTLS handshake.

use crate::rtc::ice::credentials::RemoteCredentials;
use crate::rtc::srtp::fingerprint::{Fingerprint, Wrong};

use super::lines::Block;

/// Least characters of user fragment and password: as RFC 8839 §5.4 has it, and as offers have it that play elsewhere.
pub(super) const STRICT: [usize; 2] = [4, 22];
const LENIENT: [usize; 2] = [1, 1];

/// The client's end of a transport.
#[derive(Debug)]
pub(super) struct Transport {
    pub credentials: RemoteCredentials,
    pub fingerprint: Fingerprint,
    /// Whether this side begins the handshake (RFC 8842 §5.3).
    pub is_dtls_client: bool,
}

impl Transport {
    /// Of each attribute, the first of these blocks that has it counts: the section, the session part, and sections that share
    /// their transport with it.
    ///
    /// # Errors
    /// A sentence for the client.
    pub fn read(blocks: &[&Block<'_>]) -> Result<Transport, String> {
        Ok(Transport {
            credentials: credentials(blocks, LENIENT)?.ok_or("the offer has no a=ice-ufrag and a=ice-pwd")?,
            fingerprint: fingerprint(blocks)?,
            is_dtls_client: is_dtls_client(blocks)?,
        })
    }
}

/// The ICE credentials, if there are any.
pub(super) fn credentials(blocks: &[&Block<'_>], least: [usize; 2]) -> Result<Option<RemoteCredentials>, String> {
    let one = |name: &str, least: usize| {
        let Some((line, value)) = blocks.iter().find_map(|block| block.attribute(name)) else { return Ok(None) };
        if !is_ice_chars(value, least) {
            return Err(line.refuse(&format!("is not {least} to 256 letters, digits, + and /")));
        }
        Ok(Some((line, value.to_owned())))
    };
    match (one("ice-ufrag", least[0])?, one("ice-pwd", least[1])?) {
        (Some((_, ufrag)), Some((_, password))) => Ok(Some(RemoteCredentials { ufrag, password })),
        (None, None) => Ok(None),
        (Some((line, _)), None) => Err(line.refuse("has no a=ice-pwd")),
        (None, Some((line, _))) => Err(line.refuse("has no a=ice-ufrag")),
    }
}

fn fingerprint(blocks: &[&Block<'_>]) -> Result<Fingerprint, String> {
    let block = blocks.iter().find(|block| block.attribute("fingerprint").is_some());
    let block = block
        .ok_or("the offer has no a=fingerprint, so nobody could tell whether its sender is the one that connects")?;
    let lines = || block.attributes("fingerprint");
    let line_of = |value: Option<&str>| lines().find(|(_, its)| value.is_none_or(|value| *its == value));
    Fingerprint::read(lines().map(|(_, value)| value)).map_err(|wrong| {
        let (value, reason) = match wrong {
            Wrong::NoKnownHash => (None, "names no hash function that is checked here: sha-256, sha-384 or sha-512"),
            Wrong::NoDigest(value) => (Some(value), "is not a digest of that hash function"),
            Wrong::TooMany(value) => (Some(value), "is one fingerprint too many"),
        };
        line_of(value).map_or_else(|| reason.to_owned(), |(line, _)| line.refuse(reason))
    })
}

/// Without `a=setup` the client begins, as the engines of browsers take it.
fn is_dtls_client(blocks: &[&Block<'_>]) -> Result<bool, String> {
    let Some((line, setup)) = blocks.iter().find_map(|block| block.attribute("setup")) else { return Ok(false) };
    match setup.to_ascii_lowercase().as_str() {
        "actpass" | "active" => Ok(false),
        "passive" => Ok(true),
        _ => Err(line.refuse("is not actpass, active or passive")),
    }
}

/// `ice-char` is ALPHA, DIGIT, `+` or `/`; 256 at the most (RFC 8839 §5.4).
fn is_ice_chars(text: &str, least: usize) -> bool {
    (least..=256).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
}
