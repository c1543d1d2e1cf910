//! The address below which people find the pages: an origin, and a path where a proxy serves this host below one. Pure.

use crate::web::http::origin::Origin;
use crate::web::http::routes::{self, Resource};

/// `https://example.org/sub`: a scheme, a host, a port, and perhaps a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    origin: Origin,
    /// `/sub`, without a slash at its end; empty without a path.
    path: String,
}

impl BaseUrl {
    /// None if the text is no such address. A slash at its end does not matter.
    pub fn parse(text: &str) -> Option<BaseUrl> {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let path = path.strip_suffix('/').unwrap_or(path);
        let is_web = ["http", "https"].iter().any(|one| scheme.eq_ignore_ascii_case(one));
        let origin = Origin::parse(&format!("{scheme}://{authority}")).filter(|_| is_web && is_path(path))?;
        Some(BaseUrl { origin, path: path.to_owned() })
    }

    /// Where pages that it serves come from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The path below which the pages are, without a slash at its end; empty without one.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl std::fmt::Display for BaseUrl {
    /// Without a slash at the end.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.origin, self.path)
    }
}

/// Whether the pages can lie below this path, which is empty or begins with a slash: it needs no percent-encoding, and nothing
/// below it has a meaning of its own, as below `/room`.
pub fn is_path(path: &str) -> bool {
    let is_segment = |segment: &str| {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
        !segment.is_empty() && segment.bytes().any(|b| b != b'.') && segment.bytes().all(allowed)
    };
    let is_free = || matches!(routes::find(&format!("{path}/x")).resource, Resource::Page { .. });
    path.is_empty() || (path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_segment)) && is_free())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_an_origin_and_perhaps_a_path() {
        for (text, written, path) in [
            ("https://Example.org", "https://example.org", ""),
            ("HTTPS://example.org:443/", "https://example.org", ""),
            ("http://192.0.2.1:8088/Sub", "http://192.0.2.1:8088/Sub", "/Sub"),
            ("http://[2001:db8::1]/a/b~c.d/", "http://[2001:db8::1]/a/b~c.d", "/a/b~c.d"),
        ] {
            let url = BaseUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.path()), (written, path));
            assert!(url.origin().is_of(written.split('/').nth(2).unwrap()));
        }
    }

    #[test]
    fn what_no_page_can_lie_below_is_none() {
        for odd in ["ftp://a", "https://", "example.org", "https://a?b", "https://u@a/b"] {
            assert_eq!(BaseUrl::parse(odd), None, "{odd}");
        }
        for odd in
            ["//", "/a//b", "/..", "/a/../b", "/.", "/a b", "/a%20b", "/a?b", "/a#b", "/ä", "/room", "/room/", "/whep"]
        {
            assert_eq!(BaseUrl::parse(&format!("https://a{odd}")), None, "{odd}");
        }
    }
}
