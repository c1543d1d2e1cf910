//! The uses of tokens that may be used only a number of times, as values and as lines of a file. Pure.

use crate::access::tokens::{Claims, TokenId};
use crate::ids::peer::PeerId;

/// Uses of all tokens, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenUses(Vec<TokenUse>);

/// One use of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TokenUse {
    token: TokenId,
    /// The peer that used it. A peer that comes back is not counted again. A listener has no id.
    peer: Option<PeerId>,
    /// The token's own expiry; the use is forgotten after that.
    expires_s: Option<u64>,
}

impl TokenUses {
    /// Reads a file of `TOKEN PEER EXPIRES` in each line. Lines that are damaged are left out.
    pub fn parse(bytes: &[u8]) -> TokenUses {
        TokenUses(String::from_utf8_lossy(bytes).lines().filter_map(TokenUse::parse).collect())
    }

    /// The content of the file.
    pub fn to_lines(&self) -> String {
        self.0.iter().map(TokenUse::to_line).collect()
    }

    /// Whether the token has been used as often as it may be. Not for a peer that has used it before.
    pub fn is_used_up(&self, claims: &Claims, peer: Option<PeerId>) -> bool {
        let Some(limit) = claims.uses else { return false };
        let uses = self.0.iter().filter(|used| used.token == claims.id);
        let used_before = peer.is_some() && uses.clone().any(|used| used.peer == peer);
        !used_before && uses.count() >= limit as usize
    }

    /// Records a use and forgets those of expired tokens. False if this use was recorded before: then nothing changes.
    pub fn record(&mut self, claims: &Claims, peer: Option<PeerId>, now_s: u64) -> bool {
        let used = TokenUse::new(claims, peer);
        let recorded_before = peer.is_some() && self.0.contains(&used);
        if !recorded_before {
            self.0.retain(|used| used.expires_s.is_none_or(|expires_s| expires_s > now_s));
            self.0.push(used);
        }
        !recorded_before
    }

    /// Forgets the latest such use. False if there is none.
    pub fn remove(&mut self, claims: &Claims, peer: Option<PeerId>) -> bool {
        let used = TokenUse::new(claims, peer);
        let at = self.0.iter().rposition(|other| *other == used);
        at.map(|at| self.0.remove(at)).is_some()
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
        let mut words = line.split(' ');
        let token = TokenId::parse(words.next()?)?;
        let (peer, expires) = (words.next()?, words.next()?);
        let peer = if peer == "-" { None } else { Some(PeerId::parse(peer)?) };
        let expires_s = if expires == "-" { None } else { Some(expires.parse().ok()?) };
        Some(TokenUse { token, peer, expires_s })
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
    fn a_damaged_line_is_left_out() {
        let uses = TokenUses::parse(b"\xff nonsense\n0000000000000009 - -\n0000000000000009 - x\n\n");
        assert_eq!(uses.to_lines(), "0000000000000009 - -\n");
    }

    #[test]
    fn a_peer_that_comes_back_uses_a_token_once() {
        let (mut uses, claims) = (TokenUses::default(), claims(2, None));
        assert!(uses.record(&claims, peer(1), NOW_S));
        assert!(!uses.record(&claims, peer(1), NOW_S));
        assert!(!uses.is_used_up(&claims, peer(2)));
        // Two listeners without an id are two uses.
        assert!(uses.record(&claims, None, NOW_S) && uses.record(&claims, None, NOW_S));
        assert!(uses.is_used_up(&claims, peer(2)) && !uses.is_used_up(&claims, peer(1)));
        assert!(uses.remove(&claims, None) && uses.remove(&claims, None) && !uses.remove(&claims, None));
        assert!(!uses.is_used_up(&claims, peer(2)));
    }

    #[test]
    fn uses_of_expired_tokens_are_forgotten() {
        let mut uses = TokenUses::default();
        uses.record(&claims(1, Some(NOW_S)), None, NOW_S - 1);
        uses.record(&claims(1, Some(NOW_S + 1)), None, NOW_S);
        assert_eq!(uses.to_lines(), format!("0000000000000009 - {}\n", NOW_S + 1));
    }
}
