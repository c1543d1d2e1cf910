//! The uses of tokens that may be used only a number of times, as values and as lines of a file. Pure.

use crate::access::tokens::{Claims, TokenId};
use crate::ids::peer::PeerId;

/// Uses of expired tokens are forgotten when there are more than this, and not before: should the clock be set back, the tokens
/// are valid again, and were used nevertheless.
const KEPT_USES: usize = 1_000;

/// Uses of all tokens, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenUses(Vec<TokenUse>);

/// One use of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TokenUse {
    token: TokenId,
    /// The peer that used it. A peer that comes back is not counted again. A listener has no id.
    peer: Option<PeerId>,
    /// The token's own expiry; the use may be forgotten after that.
    expires_s: Option<u64>,
}

impl TokenUses {
    /// Reads a file of `TOKEN PEER EXPIRES` in each line. None if a line is something else: it may have been a use.
    pub fn parse(bytes: &[u8]) -> Option<TokenUses> {
        let lines = std::str::from_utf8(bytes).ok()?.lines().filter(|line| !line.is_empty());
        lines.map(TokenUse::parse).collect::<Option<_>>().map(TokenUses)
    }

    /// The content of the file.
    pub fn to_lines(&self) -> String {
        self.0.iter().map(TokenUse::to_line).collect()
    }

    /// Whether this peer has used the token.
    pub fn has(&self, claims: &Claims, peer: PeerId) -> bool {
        self.0.iter().any(|used| used.token == claims.id && used.peer == Some(peer))
    }

    /// Whether the token has been used as often as it may be. Not for a peer that has used it before.
    pub fn is_used_up(&self, claims: &Claims, peer: Option<PeerId>) -> bool {
        let Some(limit) = claims.uses else { return false };
        let used_before = peer.is_some_and(|peer| self.has(claims, peer));
        !used_before && self.0.iter().filter(|used| used.token == claims.id).count() >= limit as usize
    }

    /// Records a use. Nothing changes if this peer has used the token before.
    pub fn record(&mut self, claims: &Claims, peer: Option<PeerId>, now_s: u64) {
        if peer.is_some_and(|peer| self.has(claims, peer)) {
            return;
        }
        if self.0.len() >= KEPT_USES {
            self.0.retain(|used| used.expires_s.is_none_or(|expires_s| expires_s > now_s));
        }
        self.0.push(TokenUse::new(claims, peer));
    }

    /// Forgets the latest such use, if there is one.
    pub fn remove(&mut self, claims: &Claims, peer: Option<PeerId>) {
        let used = TokenUse::new(claims, peer);
        if let Some(at) = self.0.iter().rposition(|other| *other == used) {
            self.0.remove(at);
        }
    }
}

impl TokenUse {
    fn new(claims: &Claims, peer: Option<PeerId>) -> TokenUse {
        TokenUse { token: claims.id, peer, expires_s: claims.expires_s }
    }

    /// `TOKEN PEER EXPIRES`, with `-` for what there is not.
    fn to_line(&self) -> String {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        let (peer, expires) = (self.peer.map(|peer| peer.to_string()), self.expires_s.map(|s| s.to_string()));
        format!("{} {} {}\n", self.token, or_dash(peer), or_dash(expires))
    }

    fn parse(line: &str) -> Option<TokenUse> {
        let mut words = line.split_ascii_whitespace();
        let token = TokenId::parse(words.next()?)?;
        let (peer, expires) = (words.next()?, words.next()?);
        let peer = if peer == "-" { None } else { Some(PeerId::parse(peer)?) };
        let expires_s = if expires == "-" { None } else { Some(expires.parse().ok()?) };
        words.next().is_none().then_some(TokenUse { token, peer, expires_s })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::tokens::Permission;
    use crate::ids::peer::ResumeToken;

    const NOW_S: u64 = 1_800_000_000;

    fn peer(n: u8) -> Option<PeerId> {
        Some(ResumeToken::from_bytes([n; 32]).id())
    }

    fn claims(uses: u32, expires_s: Option<u64>) -> Claims {
        Claims { id: TokenId::new(9), permission: Permission::Listen, expires_s, uses: Some(uses) }
    }

    #[test]
    fn a_line_is_written_and_read_alike() {
        for (peer, expires_s) in [(None, None), (peer(1), Some(5)), (None, Some(u64::MAX))] {
            let used = TokenUse { token: TokenId::new(9), peer, expires_s };
            assert_eq!(TokenUse::parse(used.to_line().trim_end()), Some(used));
        }
        let id = ResumeToken::from_bytes([1; 32]).id();
        let used = TokenUse { token: TokenId::new(9), peer: Some(id), expires_s: Some(5) };
        assert_eq!(used.to_line(), format!("0000000000000009 {id} 5\n"));
    }

    #[test]
    fn a_file_with_a_damaged_line_is_not_read() {
        let good = "0000000000000009 - -\n";
        assert_eq!(TokenUses::parse(good.as_bytes()).unwrap().to_lines(), good);
        assert_eq!(TokenUses::parse(b""), Some(TokenUses::default()));
        for bad in ["nonsense", "0000000000000009 - x", "0000000000000009 -", "0000000000000009 - - -", "\0"] {
            assert_eq!(TokenUses::parse(format!("{good}{bad}\n{good}").as_bytes()), None, "{bad}");
        }
        assert_eq!(TokenUses::parse(b"\xff"), None);
    }

    #[test]
    fn a_peer_that_comes_back_uses_a_token_once() {
        let (mut uses, claims) = (TokenUses::default(), claims(2, None));
        uses.record(&claims, peer(1), NOW_S);
        uses.record(&claims, peer(1), NOW_S);
        assert!(!uses.is_used_up(&claims, peer(2)));
        // Two listeners without an id are two uses.
        uses.record(&claims, None, NOW_S);
        assert!(uses.is_used_up(&claims, peer(2)) && !uses.is_used_up(&claims, peer(1)));
        uses.remove(&claims, None);
        uses.remove(&claims, None);
        assert!(!uses.is_used_up(&claims, peer(2)) && uses.has(&claims, peer(1).unwrap()));
    }

    #[test]
    fn uses_of_expired_tokens_are_forgotten_when_there_are_many() {
        let mut uses = TokenUses::default();
        for _ in 0..KEPT_USES {
            uses.record(&claims(u32::MAX, Some(NOW_S)), None, NOW_S + 1);
        }
        assert_eq!(uses.0.len(), KEPT_USES, "the clock may be set back");
        uses.record(&claims(1, Some(NOW_S + 2)), None, NOW_S + 1);
        assert_eq!(uses.to_lines(), format!("0000000000000009 - {}\n", NOW_S + 2));
    }
}
