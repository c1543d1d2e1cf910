//! ICE credentials of both sides (RFC 8445 §5.3).

use std::fmt;

use data_encoding::HEXLOWER;

/// Random bytes of a user fragment: 24 bits are required, and no two sessions may have the same.
const UFRAG_BYTES: usize = 8;
/// Random bytes of a password: 128 bits are required.
const PASSWORD_BYTES: usize = 16;
/// Random bytes of a secret.
const SECRET_BYTES: usize = 16;
/// Bytes of a tie breaker (RFC 8445 §16.1).
const TIE_BREAKER_BYTES: usize = 8;

/// This host's credentials for one session, from one ICE restart to the next.
#[derive(Clone)]
pub struct LocalCredentials {
    /// User fragment, by which a check finds its session.
    pub ufrag: String,
    /// Password that authenticates the client's checks and their responses.
    pub password: String,
    /// What the transaction ids of this host's own checks are made from. It is never told.
    pub secret: [u8; SECRET_BYTES],
    /// What would decide if both sides claimed the same role.
    pub tie_breaker: [u8; TIE_BREAKER_BYTES],
}

/// A client's credentials for one session, from one ICE restart to the next.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteCredentials {
    /// User fragment.
    pub ufrag: String,
    /// Password that authenticates this host's checks and their responses.
    pub password: String,
}

impl LocalCredentials {
    /// Fresh ones, from the operating system's random numbers.
    ///
    /// # Panics
    /// If the operating system has no random numbers: nothing can be kept private then.
    pub fn random() -> LocalCredentials {
        let (ufrag, password): ([u8; UFRAG_BYTES], [u8; PASSWORD_BYTES]) = (random_bytes(), random_bytes());
        LocalCredentials {
            ufrag: HEXLOWER.encode(&ufrag),
            password: HEXLOWER.encode(&password),
            secret: random_bytes(),
            tie_breaker: random_bytes(),
        }
    }

    /// Strong entity tag of the ICE session, quotes included (RFC 9725 §4.3.1).
    pub fn etag(&self) -> String {
        format!("\"{}\"", self.ufrag)
    }
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system provides random numbers");
    bytes
}

impl fmt::Debug for LocalCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalCredentials({})", self.ufrag)
    }
}

impl fmt::Debug for RemoteCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteCredentials({})", self.ufrag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_long_enough_differ_and_are_not_shown() {
        let (first, second) = (LocalCredentials::random(), LocalCredentials::random());
        assert!(first.ufrag.len() >= 4 && first.password.len() >= 22);
        assert!(first.ufrag != second.ufrag && first.password != second.password && first.secret != second.secret);
        assert!(!format!("{first:?}").contains(&first.password));
    }
}
