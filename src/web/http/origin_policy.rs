//! Which requests of browsers are answered, whatever page has them sent. Pure; asked once per request.
//!
//! A page acts from where its visitor is. To clients elsewhere it can do nothing that its author could not do directly,
//! so to them WHEP is open and only what acts in a visitor's name is kept to this server's own pages. A client that is
//! *near* (`net::nearness`) has a place that outsiders lack, and a page could use it in two ways:
//!
//! - by its own origin, in requests to this server: `Origin` names it, or `Sec-Fetch-Site` where a browser sends no
//!   `Origin` (Fetch Metadata §2.3). Such a request needs a token or an origin that is allowed.
//! - by a name of its own that it lets point to this server (DNS rebinding), which makes it this server's page for the
//!   browser. It cannot change the `Host` that it was loaded from, so `Host` must be what such a page cannot have: an
//!   address, a name that nobody can register, or a name that this server is known to have.
//!
//! | `Host`, asked by a near client | accepted because |
//! |---|---|
//! | none, or empty | HTTP/1.0; browsers always send one |
//! | `192.0.2.1`, `[fe80::1%25eth0]`, `127.1` | an address is looked up nowhere, and no name ends in a number (URL §3.5) |
//! | `localhost`, `a.localhost` | this machine for every browser (RFC 6761 §6.3) |
//! | `studio`, `studio.local`, `.lan`, `.internal`, `.home.arpa` | nobody can register it (RFC 6762, RFC 8375) |
//! | a name of this host, of its certificate, of `--public-url` or `--allow-host` | its owner gave it that name |
//! | anything else | not accepted: 421 |

use std::borrow::Cow;

use crate::net::authority::Authority;
use crate::web::http::origin::Origin;

/// Names below these belong to the network that one is in: of multicast DNS (RFC 6762 §3), of routers by custom,
/// reserved for private use (ICANN 2024), and of homes (RFC 8375).
const LOCAL_DOMAINS: [&str; 4] = ["local", "lan", "internal", "home.arpa"];
/// What pages of other origins may read of a response besides its body (Fetch §3.3.4).
const EXPOSED: (&str, Cow<'static, str>) =
    ("Access-Control-Expose-Headers", Cow::Borrowed("Location, Link, ETag, Accept-Patch, Retry-After"));

/// What the operator allows, and what this server is called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OriginPolicy {
    /// Pages of every origin are treated as this server's own.
    pub allows_all_origins: bool,
    /// Pages of these origins are, too.
    pub allowed_origins: Vec<Origin>,
    /// Names of this server, in lower case and without a dot at the end.
    pub names: Vec<String>,
}

/// What a request says of where it comes from and where it goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// Its client is near.
    pub is_near: bool,
    /// `Host`, or the authority in its target. Empty if there is none.
    pub host: &'a str,
    /// The host is a name in the certificate that this server shows.
    pub is_certified: bool,
    /// `Origin`
    pub origin: Option<&'a str>,
    /// `Sec-Fetch-Site`
    pub fetch_site: Option<&'a str>,
    /// `Sec-Fetch-Mode`
    pub fetch_mode: Option<&'a str>,
}

/// Who has a request sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initiator {
    /// A program, a person, or a page of this server or of an allowed origin.
    Trusted,
    /// A page of another origin.
    Foreign,
    /// Perhaps a page that has let its own name point to this server.
    Misdirected,
}

/// What the policy says of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Who has it sent.
    pub initiator: Initiator,
    /// Its client is near.
    pub is_near: bool,
}

impl Verdict {
    /// A request whose page uses the place of its visitor: it needs a token.
    pub fn needs_token(self) -> bool {
        self.is_near && self.initiator == Initiator::Foreign
    }
}

impl OriginPolicy {
    /// Decides about one request.
    pub fn judge(&self, asked: &Asked<'_>) -> Verdict {
        let is_near = asked.is_near;
        let initiator = if is_near && !asked.is_certified && !self.has_name(asked.host) {
            Initiator::Misdirected
        } else if self.allows_all_origins || !self.is_foreign(asked) {
            Initiator::Trusted
        } else {
            Initiator::Foreign
        };
        Verdict { initiator, is_near }
    }

    fn is_foreign(&self, asked: &Asked<'_>) -> bool {
        match asked.origin {
            // `null`, which pages send that hide their origin, does not parse.
            Some(text) => !Origin::parse(text).is_some_and(|it| it.is_of(asked.host) || self.allows(&it)),
            // Pictures, sound and scripts of other sites' pages are fetched without `Origin`. Links are not meant: what
            // a person opens, the page that has the link cannot read. Browsers tell this only on https and localhost.
            None => {
                asked.is_near
                    && matches!(asked.fetch_site, Some("cross-site" | "same-site"))
                    && asked.fetch_mode != Some("navigate")
            }
        }
    }

    fn allows(&self, origin: &Origin) -> bool {
        self.allowed_origins.contains(origin)
    }

    /// Whether no page of somebody else can have been loaded from this host: see the table above.
    pub fn has_name(&self, host: &str) -> bool {
        if host.is_empty() {
            return true;
        }
        let Some(Authority { host, .. }) = Authority::parse(&without_zone(host)) else { return false };
        let name = host.name();
        host.ip().is_some()
            || host.is_loopback()
            || cannot_be_registered(name)
            || self.names.iter().any(|it| it == name)
    }

    /// The header fields that say which pages of other origins may read a response (Fetch §3.3.3): every page where the
    /// route `is_open` to all, but for a near client only one that is allowed, or that shows a token or is about to.
    pub fn response_fields(
        &self,
        verdict: Verdict,
        is_open: bool,
        origin: Option<&str>,
        shows_token: bool,
    ) -> Vec<(&'static str, Cow<'static, str>)> {
        const ALLOW: &str = "Access-Control-Allow-Origin";
        if self.allows_all_origins || (is_open && !verdict.is_near) {
            return vec![(ALLOW, Cow::Borrowed("*")), EXPOSED];
        }
        if !is_open && self.allowed_origins.is_empty() {
            return vec![];
        }
        // Also where it is not allowed: a cached response for one page must not be given to another (Fetch §3.3.3).
        let mut fields = vec![("Vary", Cow::Borrowed("Origin"))];
        let named =
            origin.and_then(Origin::parse).filter(|origin| self.allows(origin)).map(|origin| origin.to_string());
        let is_one = |text: &&str| text.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        let shown = || origin.filter(|_| is_open && shows_token).filter(is_one).map(str::to_owned);
        let origin = named.or_else(shown);
        if is_open || origin.is_some() {
            fields.push(EXPOSED);
        }
        fields.extend(origin.map(|origin| (ALLOW, Cow::Owned(origin))));
        fields
    }
}

/// Some programs send the zone of a link-local address along (RFC 6874), which names one of their own interfaces.
fn without_zone(host: &str) -> Cow<'_, str> {
    let zone = host.starts_with('[').then(|| host.find('%').zip(host.find(']'))).flatten();
    match zone {
        Some((from, to)) if from < to => Cow::Owned(format!("{}{}", &host[..from], &host[to..])),
        _ => Cow::Borrowed(host),
    }
}

/// Whether the name has one label, ends in a number, or is below a domain that is the network's own.
fn cannot_be_registered(name: &str) -> bool {
    let Some((_, last)) = name.rsplit_once('.') else { return !name.is_empty() };
    let is_below = |domain: &&str| name.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'));
    (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit())) || LOCAL_DOMAINS.iter().any(is_below)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known as `--public-url https://meet.example.net:8443` and `--allow-host music.example.org` make it known, and
    /// with `--allow-origin https://club.example`.
    fn policy() -> OriginPolicy {
        let origins = ["https://club.example", "https://meet.example.net:8443", "capacitor://localhost"];
        OriginPolicy {
            allows_all_origins: false,
            allowed_origins: origins.iter().map(|text| Origin::parse(text).unwrap()).collect(),
            names: ["meet.example.net", "music.example.org", "studio.fritz.box"].map(str::to_owned).into(),
        }
    }

    fn judged(is_near: bool, host: &str, origin: Option<&str>) -> Initiator {
        policy().judge(&Asked { is_near, host, origin, ..Asked::default() }).initiator
    }

    #[test]
    fn a_near_client_reaches_the_server_by_addresses_and_names_that_nobody_else_can_have() {
        for host in [
            "",
            "localhost",
            "LOCALHOST:8088",
            "localhost.",
            "a.localhost:1",
            "127.0.0.1:8088",
            "192.168.1.5",
            "203.0.113.7:8088",
            "192.168.1.5.",
            "127.1",
            "[::1]:8088",
            "[2001:db8::1]",
            "[::ffff:192.168.1.5]:8088",
            "[fe80::1%25eth0]:8088",
            "[fe80::1%eth0]",
            "studio",
            "Studio:8088",
            "studio.",
            "studio.local",
            "STUDIO.LOCAL.:8088",
            "a.b.lan",
            "studio.corp.internal",
            "studio.home.arpa",
            "studio.fritz.box:8088",
            "meet.example.net",
            "meet.example.net:8443",
            "Meet.Example.NET.:1",
            "music.example.org",
        ] {
            assert_eq!(judged(true, host, None), Initiator::Trusted, "{host}");
        }
        for host in [
            "evil.example",
            "rebound.evil.example:8088",
            "evil.example.",
            "evil.example..",
            "localhost.evil.example",
            "localhost.example",
            "127.0.0.1.evil.example",
            "192.168.1.5.nip.io",
            "studio.evil.example",
            "local.evil.example",
            "evillocal.example",
            "notlan.example",
            ".local",
            ".home.arpa",
            "home.arpa",
            "arpa.",
            ".",
            "..",
            "a.meet.example.net",
            "meet.example.net.evil.example",
            "xn--bcher-kva.example",
            "a$b.evil.example",
            "user@localhost",
            "[evil.example]",
            "[::1%.evil.example",
            "[evil%].example",
            "localhost:x",
            ":8088",
        ] {
            let expected = if host == "arpa." { Initiator::Trusted } else { Initiator::Misdirected };
            assert_eq!(judged(true, host, None), expected, "{host}");
            // Clients elsewhere could ask directly, and a page that asks of its own host is this server's.
            assert_eq!(judged(false, host, None), Initiator::Trusted, "{host}");
            let asked = Asked { is_near: true, is_certified: true, host, ..Asked::default() };
            assert_eq!(policy().judge(&asked).initiator, Initiator::Trusted, "{host} is in the certificate");
        }
    }

    #[test]
    fn a_rebound_page_is_misdirected_though_its_origin_is_that_of_its_host() {
        let (host, origin) = ("evil.example:8088", Some("http://evil.example:8088"));
        assert_eq!(judged(true, host, origin), Initiator::Misdirected);
        assert_eq!(judged(false, host, origin), Initiator::Trusted);
        let any = OriginPolicy { allows_all_origins: true, ..policy() };
        let asked = Asked { is_near: true, host, origin, ..Asked::default() };
        assert_eq!(any.judge(&asked).initiator, Initiator::Misdirected);
    }

    #[test]
    fn a_page_is_trusted_if_it_is_of_the_host_that_it_asks_or_of_an_allowed_origin() {
        for (host, origin) in [
            ("localhost:8088", "http://localhost:8088"),
            ("192.168.1.5:8088", "https://192.168.1.5:8088"),
            ("[::1]:8088", "http://[::1]:8088"),
            ("studio.local.:8088", "http://studio.local.:8088"),
            ("meet.example.net", "https://meet.example.net"),
            ("localhost", "https://club.example"),
            ("localhost", "capacitor://localhost"),
            // Proxies that lose the port of `Host`, or write their own idea of it.
            ("meet.example.net", "https://meet.example.net:8443"),
            ("127.0.0.1:8088", "https://meet.example.net:8443"),
            ("backend", "https://meet.example.net:8443"),
        ] {
            for is_near in [true, false] {
                assert_eq!(judged(is_near, host, Some(origin)), Initiator::Trusted, "{origin} at {host}");
            }
        }
        for (host, origin) in [
            ("localhost:8088", "http://localhost:3000"),
            ("localhost:8088", "http://127.0.0.1:8088"),
            ("127.0.0.1:8088", "https://evil.example"),
            ("localhost", "null"),
            ("localhost", "file://"),
            ("localhost", "chrome-extension://abcdefghijklmnop"),
            ("localhost", "http://club.example"),
            ("localhost", "https://club.example:444"),
            ("localhost", "https://club.example, https://club.example"),
            ("localhost", ""),
            ("", "http://localhost"),
            ("meet.example.net", "https://evil.example"),
        ] {
            for is_near in [true, false] {
                let verdict = policy().judge(&Asked { is_near, host, origin: Some(origin), ..Asked::default() });
                let expected = Verdict { initiator: Initiator::Foreign, is_near };
                assert_eq!((verdict, verdict.needs_token()), (expected, is_near), "{origin} at {host}");
            }
            let any = OriginPolicy { allows_all_origins: true, ..policy() };
            let asked = Asked { is_near: true, host, origin: Some(origin), ..Asked::default() };
            assert_eq!(any.judge(&asked).initiator, Initiator::Trusted, "{origin} at {host}");
        }
    }

    #[test]
    fn what_a_near_browser_fetches_for_another_site_without_origin_is_foreign_unless_a_person_follows_a_link() {
        let judge = |is_near, site, mode, origin| {
            let asked = Asked {
                is_near,
                host: "localhost:8088",
                fetch_site: site,
                fetch_mode: mode,
                origin,
                ..Asked::default()
            };
            policy().judge(&asked).initiator
        };
        for site in ["cross-site", "same-site"] {
            assert_eq!(judge(true, Some(site), Some("no-cors"), None), Initiator::Foreign);
            assert_eq!(judge(true, Some(site), None, None), Initiator::Foreign);
            assert_eq!(judge(true, Some(site), Some("navigate"), None), Initiator::Trusted);
            assert_eq!(judge(false, Some(site), Some("no-cors"), None), Initiator::Trusted);
            // `Origin` says more.
            assert_eq!(judge(true, Some(site), Some("cors"), Some("https://club.example")), Initiator::Trusted);
        }
        for site in [None, Some("same-origin"), Some("none"), Some("")] {
            assert_eq!(judge(true, site, Some("no-cors"), None), Initiator::Trusted, "{site:?}");
        }
        assert_eq!(judge(true, Some("same-origin"), Some("cors"), Some("https://evil.example")), Initiator::Foreign);
    }

    /// `Access-Control-Allow-Origin`, and whether `Vary` is there.
    fn readable(
        policy: &OriginPolicy,
        is_near: bool,
        is_open: bool,
        origin: &str,
        token: bool,
    ) -> (Option<String>, bool) {
        let verdict = Verdict { initiator: Initiator::Foreign, is_near };
        let fields = policy.response_fields(verdict, is_open, Some(origin), token);
        let find = |wanted| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_string());
        let allowed = find("Access-Control-Allow-Origin");
        assert_eq!(find("Access-Control-Expose-Headers").is_some(), is_open || allowed.is_some());
        (allowed, find("Vary").as_deref() == Some("Origin"))
    }

    #[test]
    fn who_may_read_a_response() {
        let (policy, none) = (policy(), OriginPolicy::default());
        let some = |text: &str| Some(text.to_owned());
        let (evil, club) = ("https://evil.example", "https://club.example");
        // From elsewhere: what is open to every page, the rest to allowed ones.
        assert_eq!(readable(&policy, false, true, evil, false), (some("*"), false));
        assert_eq!(readable(&policy, false, false, club, false), (some(club), true));
        assert_eq!(readable(&policy, false, false, evil, true), (None, true));
        assert_eq!(readable(&none, false, false, evil, false), (None, false));
        // From near: no page but allowed ones, and those that show a token.
        assert_eq!(readable(&policy, true, true, evil, false), (None, true));
        assert_eq!(readable(&none, true, true, evil, false), (None, true));
        assert_eq!(readable(&policy, true, true, club, false), (some(club), true));
        assert_eq!(readable(&none, true, true, evil, true), (some(evil), true));
        assert_eq!(readable(&none, true, true, "null", true), (some("null"), true));
        assert_eq!(readable(&none, true, true, "https://a, https://b", true), (None, true));
        assert_eq!(readable(&none, true, false, evil, true), (None, false));
        let any = OriginPolicy { allows_all_origins: true, ..none };
        assert_eq!(readable(&any, true, false, evil, false), (some("*"), false));
    }
}
