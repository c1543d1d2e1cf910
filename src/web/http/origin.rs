//! Which page a request comes from, as browsers say in `Origin` (RFC 6454 §7), and which pages may read the response
//! (Fetch §3.2, CORS). Pure. Programs other than browsers send no `Origin` and are not restricted: this only keeps
//! pages of other sites from acting in a visitor's name.

use std::borrow::Cow;

use crate::net::authority::Authority;

/// A scheme, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `http` or `https`.
    scheme: &'static str,
    /// Without the scheme's own port, as browsers write it.
    authority: Authority,
}

impl Origin {
    /// None if the text is not an origin. One with a path, a user name or a pattern is not.
    pub fn parse(text: &str) -> Option<Origin> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
        let authority = Authority::parse(rest)?.without_default_port(default_port(scheme));
        Some(Origin { scheme, authority })
    }

    /// Whether a page of this origin came from the host and port that the request asks.
    ///
    /// The scheme is not compared, only used for what a port that is not written means: this server's port speaks HTTP
    /// and HTTPS alike, and behind a TLS proxy a page of `https:` asks it over plain HTTP. No other server can serve a
    /// page from this host and port by the other scheme.
    pub fn is_of(&self, host: &str) -> bool {
        let asked = Authority::parse(host).map(|asked| asked.without_default_port(default_port(self.scheme)));
        asked.as_ref() == Some(&self.authority)
    }
}

impl std::fmt::Display for Origin {
    /// As browsers write it, without a slash at the end.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

fn default_port(scheme: &str) -> u16 {
    if scheme == "https" { 443 } else { 80 }
}

/// Whether a request with this `Origin` field may act here. Without the field it does not come from a page.
pub fn may_act(origin: Option<&str>, host: &str, allowed: &[Origin]) -> bool {
    let Some(origin) = origin else { return true };
    // `null`, which pages send that hide their origin, does not parse.
    Origin::parse(origin).is_some_and(|origin| origin.is_of(host) || allowed.contains(&origin))
}

/// The header fields that say whether a page of another origin may read the response; `is_open` if every page may.
pub fn cross_origin_fields(
    is_open: bool,
    origin: Option<&str>,
    allowed: &[Origin],
) -> Vec<(&'static str, Cow<'static, str>)> {
    const EXPOSED: (&str, Cow<'static, str>) =
        ("Access-Control-Expose-Headers", Cow::Borrowed("Location, Link, ETag, Accept-Patch, Retry-After"));
    if is_open {
        return vec![("Access-Control-Allow-Origin", Cow::Borrowed("*")), EXPOSED];
    }
    if allowed.is_empty() {
        return vec![];
    }
    // Also where it is not allowed: a cached response for one page must not be given to another (Fetch §3.2.5).
    let mut fields = vec![("Vary", Cow::Borrowed("Origin"))];
    if let Some(origin) = origin.and_then(Origin::parse).filter(|origin| allowed.contains(origin)) {
        fields.extend([("Access-Control-Allow-Origin", Cow::Owned(origin.to_string())), EXPOSED]);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::http::routes;

    fn origin(text: &str) -> Origin {
        Origin::parse(text).unwrap()
    }

    #[test]
    fn an_origin_is_written_as_browsers_do() {
        for (text, written) in [
            ("https://Example.org", "https://example.org"),
            ("HTTPS://example.org:443", "https://example.org"),
            ("http://example.org:443", "http://example.org:443"),
            ("http://192.0.2.1:80", "http://192.0.2.1"),
            ("http://[2001:DB8::1]:8088", "http://[2001:db8::1]:8088"),
        ] {
            assert_eq!(origin(text).to_string(), written);
        }
        for odd in [
            "",
            "null",
            "*",
            "https://",
            "https://*.example.org",
            "https://a/",
            "https://a/b",
            "https://u@a",
            "https://a:x",
            "https://a:70000",
            "https://a b",
            "https://[::1",
            "https://[x]",
            "https://a?b",
            "ftp://a",
            "a:8088",
            "https://a, https://b",
        ] {
            assert_eq!(Origin::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_page_may_act_on_the_host_and_port_that_it_came_from() {
        for (page, host) in [
            ("http://example.org", "example.org"),
            ("http://example.org", "Example.org:80"),
            ("https://example.org", "example.org:443"),
            ("https://example.org", "example.org"),
            ("http://localhost:8088", "localhost:8088"),
            ("https://[::1]:8088", "[::1]:8088"),
        ] {
            assert!(may_act(Some(page), host, &[]), "{page} at {host}");
        }
        for (page, host) in [
            ("http://example.org", "example.org:8088"),
            ("http://example.org:8088", "example.org"),
            ("http://evil.example.org", "example.org"),
            ("http://example.org.evil", "example.org"),
            ("http://localhost:8088", "127.0.0.1:8088"),
            ("https://example.org", "example.org:80"),
            ("null", "null"),
            ("", ""),
            ("http://a, http://a", "a"),
        ] {
            assert!(!may_act(Some(page), host, &[]), "{page} at {host}");
        }
        assert!(may_act(None, "example.org", &[]));
    }

    #[test]
    fn a_page_of_an_allowed_origin_may_act_and_the_scheme_counts() {
        let named = [origin("https://club.example:444")];
        assert!(may_act(Some("https://club.example:444"), "a", &named));
        assert!(!may_act(Some("http://club.example:444"), "a", &named));
        assert!(!may_act(Some("https://club.example"), "a", &named));
    }

    #[test]
    fn every_page_may_read_whep_and_only_allowed_ones_the_rest() {
        let named = [origin("https://club.example")];
        let fields = |path, origin| cross_origin_fields(routes::find(path).is_open_to_all_origins, origin, &named);
        let allowed = |path, origin| {
            let fields = fields(path, origin);
            let found = fields.iter().find(|(name, _)| *name == "Access-Control-Allow-Origin");
            found.map(|(_, value)| value.to_string())
        };
        assert_eq!(allowed("/whep/main/x", Some("https://a")).as_deref(), Some("*"));
        assert_eq!(allowed("/whep", None).as_deref(), Some("*"));
        assert_eq!(allowed("/whepx", Some("https://a")), None);
        assert_eq!(allowed("/api/status", Some("https://club.example")).as_deref(), Some("https://club.example"));
        assert_eq!(allowed("/api/status", Some("https://a")), None);
        assert_eq!(fields("/api/status", Some("https://a")), [("Vary", Cow::Borrowed("Origin"))]);
        assert_eq!(cross_origin_fields(false, Some("https://a"), &[]), []);
    }
}
