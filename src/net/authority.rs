//! A host and a port, as they stand in URLs and in the fields `Host` and `Origin` (RFC 3986 §3.2). Pure: no name is looked up.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `HOST` or `HOST:PORT`, without user information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The host.
    pub host: Host,
    /// None if no port is written: then it is that of the scheme.
    pub port: Option<u16>,
}

/// A host name or IP address, in lower case. Hosts are compared as they are written: two spellings of an IPv6 address are
/// two hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// An IPv6 address is in brackets.
    text: String,
    ip: Option<IpAddr>,
}

impl Authority {
    /// None if the text is anything else than an authority. Percent-encoding and user information are refused: browsers
    /// send neither in `Host` or `Origin`. So is every character that is not a letter, digit, `-`, `_` or `.` outside the
    /// brackets of an IPv6 address.
    pub fn parse(text: &str) -> Option<Authority> {
        let end_of_host = match text.strip_prefix('[') {
            Some(rest) => rest.find(']')? + 2,
            None => text.find(':').unwrap_or(text.len()),
        };
        let (host, port) = text.split_at(end_of_host);
        Some(Authority { host: Host::parse(host)?, port: parse_port(port)? })
    }

    /// The same authority for a scheme with this default port: a port that is the default is left out.
    pub fn without_default_port(self, default_port: u16) -> Authority {
        Authority { port: self.port.filter(|port| *port != default_port), ..self }
    }
}

/// `:PORT`; None in Some if there is none. A colon alone means the scheme's own port (RFC 3986 §3.2.3).
fn parse_port(text: &str) -> Option<Option<u16>> {
    if text.is_empty() {
        return Some(None);
    }
    match text.strip_prefix(':')? {
        "" => Some(None),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().map(Some),
        _ => None,
    }
}

impl Host {
    fn parse(text: &str) -> Option<Host> {
        let ip = match text.strip_prefix('[') {
            Some(rest) => Some(IpAddr::V6(rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?)),
            None => {
                let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
                (!text.is_empty() && text.bytes().all(allowed)).then_some(())?;
                text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
            }
        };
        Some(Host { text: text.to_ascii_lowercase(), ip })
    }

    /// The host in lower case, an IPv6 address in brackets.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host without the dot of the root, which a name may end with (RFC 1034 §3.1).
    pub fn name(&self) -> &str {
        self.text.strip_suffix('.').unwrap_or(&self.text)
    }

    /// The address, if the host is one and not a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.ip
    }

    /// Whether the host is this very machine for every browser: an address of loopback, `localhost`, or a name below it
    /// (RFC 6761 §6.3). A name may end with the dot of the root.
    pub fn is_loopback(&self) -> bool {
        let name = self.text.trim_end_matches('.');
        let ip = self.ip.or_else(|| name.parse::<Ipv4Addr>().ok().map(IpAddr::V4));
        name == "localhost" || name.ends_with(".localhost") || ip.is_some_and(|ip| ip.is_loopback())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Authority {
        Authority::parse(text).unwrap_or_else(|| panic!("{text} is refused"))
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_a_port_may_be_missing() {
        let ip = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        for (text, host, address, port) in [
            ("example.org", "example.org", None, None),
            ("Example.ORG:8088", "example.org", None, Some(8088)),
            ("under_score.example.", "under_score.example.", None, None),
            ("example.org:", "example.org", None, None),
            ("example.org:0", "example.org", None, Some(0)),
            ("192.0.2.1:80", "192.0.2.1", ip("192.0.2.1"), Some(80)),
            ("1.2.3", "1.2.3", None, None),
            ("[2001:DB8::1]", "[2001:db8::1]", ip("2001:db8::1"), None),
            ("[2001:db8::1]:65535", "[2001:db8::1]", ip("2001:db8::1"), Some(65_535)),
            ("[::ffff:192.0.2.1]:", "[::ffff:192.0.2.1]", ip("::ffff:192.0.2.1"), None),
        ] {
            let authority = parsed(text);
            assert_eq!((authority.host.as_str(), authority.host.ip(), authority.port), (host, address, port), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for odd in [
            "",
            ":",
            ":80",
            "a b",
            "a:x",
            "a:+1",
            "a:-1",
            "a:65536",
            "a:1:2",
            "user@a",
            "user:secret@a",
            "a/",
            "a?b",
            "a#b",
            "*.example.org",
            "a%2Eb",
            "\u{e4}",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]x:80",
            "[]",
            "[x]",
            "[localhost]",
            "[192.0.2.1]",
            "[fe80::1%eth0]",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "[[::1]]",
            "a]",
            "a[",
        ] {
            assert_eq!(Authority::parse(odd), None, "{odd}");
        }
    }

    #[test]
    fn loopback_is_an_address_or_localhost_or_a_name_below_it() {
        for host in
            ["localhost", "LocalHost", "localhost.", "a.localhost", "a.LOCALHOST.", "127.0.0.1", "127.9.9.9", "[::1]"]
        {
            assert!(parsed(host).host.is_loopback(), "{host}");
        }
        assert!(parsed("127.0.0.1.").host.is_loopback());
        for host in [
            "localhost.example",
            "alocalhost",
            "192.0.2.1",
            "[::2]",
            "[::ffff:127.0.0.1]",
            "127.0.0.1.example",
            "127.1",
        ] {
            assert!(!parsed(host).host.is_loopback(), "{host}");
        }
    }

    #[test]
    fn a_default_port_is_left_out() {
        assert_eq!(parsed("a:443").without_default_port(443), parsed("a"));
        assert_eq!(parsed("a:443").without_default_port(80).to_string(), "a:443");
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_written_as_it_was_read(text in "(\\[?[0-9a-fA-F:.]{0,12}\\]?|[a-zA-Z0-9._-]{0,12})(:[0-9]{0,6})?") {
            if let Some(authority) = Authority::parse(&text) {
                prop_assert_eq!(Authority::parse(&authority.to_string()), Some(authority.clone()));
                prop_assert!(text.to_ascii_lowercase().starts_with(authority.host.as_str()));
            }
        }

        #[test]
        fn parsing_any_text_does_not_panic(text in "\\PC{0,40}") {
            let _ = Authority::parse(&text);
        }
    }
}
