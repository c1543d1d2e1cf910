//! Which page a request comes from, as browsers say in `Origin` (RFC 6454 §7). Pure. What a page may do is decided by
//! `origin_policy`.

use crate::net::authority::{Authority, Host};

/// A scheme, a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// In lower case: `http` or `https`, or that of pages which no server sent, as those of a browser's extension.
    scheme: String,
    /// Without the scheme's own port, as browsers write it.
    authority: Authority,
}

impl Origin {
    /// None if the text is not an origin. One with a path, a user name or a pattern is not.
    pub fn parse(text: &str) -> Option<Origin> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        // RFC 3986 §3.1.
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
        let authority = Authority::parse(rest).filter(|_| is_scheme)?;
        let authority = match default_port(&scheme) {
            Some(port) => authority.without_default_port(port),
            None => authority,
        };
        Some(Origin { scheme, authority })
    }

    /// Its host.
    pub fn host(&self) -> &Host {
        &self.authority.host
    }

    /// Whether a page of this origin came from the host and port that the request asks.
    ///
    /// Of `http` and `https`, which one is not compared, only used for what a port that is not written means: this
    /// server's port speaks HTTP and HTTPS alike, and behind a TLS proxy a page of `https:` asks it over plain HTTP. No
    /// other server can serve a page from this host and port by the other scheme.
    pub fn is_of(&self, host: &str) -> bool {
        let Some(port) = default_port(&self.scheme) else { return false };
        let asked = Authority::parse(host).map(|asked| asked.without_default_port(port));
        asked.as_ref() == Some(&self.authority)
    }
}

impl std::fmt::Display for Origin {
    /// As browsers write it, without a slash at the end.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

/// None of schemes whose pages no server sends.
fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
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
            "://a",
            "1a://a",
            "a b://a",
            "file://",
            "a:8088",
            "https://a, https://b",
        ] {
            assert_eq!(Origin::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_page_is_of_the_host_and_port_that_it_came_from() {
        for (page, host) in [
            ("http://example.org", "example.org"),
            ("http://example.org", "Example.org:80"),
            ("https://example.org", "example.org:443"),
            ("https://example.org", "example.org"),
            ("http://localhost:8088", "localhost:8088"),
            ("https://[::1]:8088", "[::1]:8088"),
        ] {
            assert!(origin(page).is_of(host), "{page} at {host}");
        }
        for (page, host) in [
            ("http://example.org", "example.org:8088"),
            ("http://example.org:8088", "example.org"),
            ("http://evil.example.org", "example.org"),
            ("http://example.org.evil", "example.org"),
            ("http://localhost:8088", "127.0.0.1:8088"),
            ("https://example.org", "example.org:80"),
            ("capacitor://localhost", "localhost"),
            ("http://a", ""),
        ] {
            assert!(!origin(page).is_of(host), "{page} at {host}");
        }
    }
}
