//! The content of an `application/trickle-ice-sdpfrag` (RFC 8840 §9), which a `PATCH` carries in both directions.

use std::fmt::Write;

use crate::observe::sentence::Quoted;
use crate::rtc::ice::credentials::{LocalCredentials, RemoteCredentials};

use super::lines;
use super::transport::{self, STRICT};

/// What a client's fragment says.
#[derive(Debug, PartialEq, Eq)]
pub struct IceFragment {
    /// The client's ICE credentials, if given.
    pub credentials: Option<RemoteCredentials>,
    /// The section it is about, if it says so.
    pub mid: Option<String>,
}

impl IceFragment {
    /// Reads a fragment. Candidates must look like candidates, although none of them is used.
    ///
    /// # Errors
    /// A sentence for the client.
    pub fn parse(text: &str) -> Result<IceFragment, String> {
        let (session, sections) = lines::blocks(text)?;
        let blocks: Vec<_> = std::iter::once(&session).chain(&sections).collect();
        if blocks.iter().all(|block| block.lines().is_empty()) {
            return Err("the fragment is empty".into());
        }
        for (line, value) in blocks.iter().flat_map(|block| block.attributes("candidate")) {
            if value.split_ascii_whitespace().count() < 8 {
                return Err(line.refuse("is not a candidate"));
            }
        }
        let mid = blocks.iter().find_map(|block| block.attribute("mid"));
        let mid = mid.map(|(_, mid)| mid.to_owned());
        Ok(IceFragment { credentials: transport::credentials(&blocks, STRICT)?, mid })
    }
}

/// The fragment that answers an ICE restart (RFC 9725 §4.3.3) of the transport of the section with this mid. The formats of its
/// m= line mean nothing (RFC 8840 §9).
pub fn answer_fragment(mid: Option<&str>, local: &LocalCredentials, candidates: &[String]) -> String {
    let mut fragment = String::from("a=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n");
    let mid = mid.map(|mid| format!("a=mid:{mid}")).into_iter();
    let credentials = [format!("a=ice-ufrag:{}", local.ufrag), format!("a=ice-pwd:{}", local.password)];
    for line in mid.chain(credentials).chain(candidates.iter().cloned()) {
        // Writing to a String cannot fail.
        let _ = write!(fragment, "{line}\r\n");
    }
    fragment + "a=end-of-candidates\r\n"
}

/// Why a session does not take a fragment about the section with this mid.
pub fn refuse_mid(mid: &str) -> String {
    format!("this session's transport does not carry a=mid:{}", Quoted(mid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fragments_are_read_or_refused() {
        let restart = "a=ice-ufrag:wxyz\r\na=ice-pwd:0123456789012345678901\r\nm=audio 9 X 0\r\na=mid:0\r\n";
        let credentials =
            Some(RemoteCredentials { ufrag: "wxyz".to_owned(), password: "0123456789012345678901".to_owned() });
        let mid = Some("0".to_owned());
        assert_eq!(IceFragment::parse(restart), Ok(IceFragment { credentials, mid: mid.clone() }));
        let trickle = "m=audio 9 X 0\r\na=mid:0\r\na=candidate:1 1 udp 1 x.local 5 typ host\r\na=end-of-candidates\r\n";
        assert_eq!(IceFragment::parse(trickle), Ok(IceFragment { credentials: None, mid }));
        for bad in ["", "\r\n", "nonsense", "a=ice-ufrag:abcd", "a=candidate:1", "a=ice-ufrag:a\r\na=ice-pwd:b"] {
            assert!(IceFragment::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_answer_has_our_own_agents_credentials_and_candidates() {
        let local = LocalCredentials::random();
        let candidates = ["a=candidate:1 1 udp 2 192.168.1.5 8088 typ host".to_owned()];
        let fragment = answer_fragment(Some("1"), &local, &candidates);
        let parsed = IceFragment::parse(&fragment).unwrap();
        let credentials = RemoteCredentials { ufrag: local.ufrag.clone(), password: local.password.clone() };
        assert_eq!(parsed, IceFragment { credentials: Some(credentials), mid: Some("1".into()) });
        for line in ["a=ice-lite", candidates[0].as_str(), "a=end-of-candidates"] {
            assert_eq!(fragment.lines().filter(|l| *l == line).count(), 1, "{fragment}");
        }
        assert!(!answer_fragment(None, &local, &[]).contains("a=mid"));
    }
}
