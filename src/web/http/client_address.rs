//! Which client sent a request: the other end of the connection, or, if a trusted proxy forwarded the request, the
//! client that the proxy names. Pure.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::web::http::forwarded::{Forwarding, Hops};

/// The client that sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its own address. If a proxy names it without a port, the port is 0.
    pub address: SocketAddr,
    /// It speaks TLS: with this server, or with a trusted proxy.
    pub is_secure: bool,
}

/// Proxies whose forwarding headers are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Reads networks like `10.0.0.0/8` and `fd00::/8`, and single addresses.
    ///
    /// # Errors
    /// The text that is neither.
    pub fn parse(networks: &[String]) -> Result<TrustedProxies, String> {
        let network = |text: &String| {
            let network = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| IpNet::from(ip.to_canonical())));
            network.map_err(|_| text.clone())
        };
        networks.iter().map(network).collect::<Result<_, _>>().map(TrustedProxies)
    }

    /// Whether this is the address of a trusted proxy.
    pub fn trust(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// The client behind `sender`, which sent a request with these fields. Any client can write anything into them, so a
    /// list is read from the right, where the nearest proxy has appended, and the first address that is no trusted proxy is
    /// the client; what stands left of it is ignored. A proxy that knows one kind of fields passes the other on as the client
    /// wrote it: where the two kinds name different clients nothing is decided, and the proxy itself stands for the client.
    pub fn client(&self, sender: Client, forwarding: &Forwarding) -> Client {
        if !self.trust(sender.address.ip()) {
            return sender;
        }
        let Forwarding { by_custom, by_standard, .. } = forwarding;
        let is_secure = match by_custom.proto.as_ref().or(by_standard.proto.as_ref()) {
            Some(proto) => proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss"),
            None => sender.is_secure,
        };
        let one = |hops: &Hops| self.last_untrusted(sender.address, &hops.addresses);
        let address = match (by_custom.addresses.is_empty(), by_standard.addresses.is_empty()) {
            (_, true) => one(by_custom),
            (true, false) => one(by_standard),
            (false, false) => {
                Some(one(by_custom)).filter(|it| it.ip() == one(by_standard).ip()).unwrap_or(sender.address)
            }
        };
        Client { address, is_secure }
    }

    /// The host that the browser asked for, if `sender` is a trusted proxy that says so. It is what the browser sent, so it is
    /// believed no more than `Host`.
    pub fn host<'a>(&self, sender: Client, forwarding: &'a Forwarding) -> Option<&'a str> {
        let hosts = [&forwarding.by_custom, &forwarding.by_standard].map(|hops| hops.host.as_deref());
        let host = match hosts {
            [Some(one), Some(other)] if one != other => None,
            [one, other] => one.or(other),
        };
        host.filter(|_| self.trust(sender.address.ip()))
    }

    /// What a trusted proxy took from the front of the path; it may be anything.
    pub fn prefix<'a>(&self, sender: Client, forwarding: &'a Forwarding) -> Option<&'a str> {
        forwarding.prefix.as_deref().filter(|_| self.trust(sender.address.ip()))
    }

    fn last_untrusted(&self, sender: SocketAddr, addresses: &[String]) -> SocketAddr {
        let mut address = sender;
        for named in addresses.iter().rev() {
            let Some(named) = parse_address(named) else { break };
            address = named;
            if !self.trust(named.ip()) {
                break;
            }
        }
        address
    }
}

/// Some proxies add a port, some put IPv6 addresses in brackets.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let bare = |text: &str| text.parse().ok().map(|ip: IpAddr| SocketAddr::new(ip, 0));
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = text.parse().ok().or_else(|| bare(bracketed.unwrap_or(text)))?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(networks: &[&str]) -> TrustedProxies {
        TrustedProxies::parse(&networks.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    fn client(from: &str, forwarded_for: &[&str], proto: Option<&str>) -> (String, bool) {
        let sender = Client { address: SocketAddr::new(from.parse().unwrap(), 7), is_secure: false };
        let list: Vec<String> = forwarded_for.iter().map(ToString::to_string).collect();
        let by_custom = Hops { addresses: list, proto: proto.map(str::to_owned), host: None };
        let forwarding = Forwarding { by_custom, ..Forwarding::default() };
        let client = proxies(&["10.0.0.0/8", "fd00::/8", "127.0.0.1"]).client(sender, &forwarding);
        (client.address.to_string(), client.is_secure)
    }

    #[test]
    fn forwarding_headers_of_untrusted_senders_are_ignored() {
        assert_eq!(client("192.0.2.1", &["198.51.100.1"], Some("https")), ("192.0.2.1:7".into(), false));
        assert_eq!(client("127.0.0.2", &["198.51.100.1"], None).0, "127.0.0.2:7");
    }

    #[test]
    fn the_rightmost_address_that_is_no_trusted_proxy_is_the_client() {
        assert_eq!(client("127.0.0.1", &["198.51.100.1"], Some("HTTPS")), ("198.51.100.1:0".into(), true));
        assert_eq!(client("::ffff:10.0.0.1", &["6.6.6.6", "198.51.100.1", "10.1.1.1"], None).0, "198.51.100.1:0");
        assert_eq!(client("fd00::1", &["[2001:db8::1]:443"], Some("http")), ("[2001:db8::1]:443".into(), false));
        assert_eq!(client("10.0.0.1", &["2001:db8::1"], None).0, "[2001:db8::1]:0");
        assert_eq!(
            client("10.0.0.1", &["10.0.0.9", "fd00::2"], None).0,
            "10.0.0.9:0",
            "all of them are trusted proxies"
        );
    }

    #[test]
    fn an_element_that_is_no_address_ends_the_list() {
        assert_eq!(client("10.0.0.1", &["198.51.100.1", "unknown"], None).0, "10.0.0.1:7");
        assert_eq!(client("10.0.0.1", &["198.51.100.1", "_x", "10.0.0.2"], None).0, "10.0.0.2:0");
        assert_eq!(client("10.0.0.1", &[], None), ("10.0.0.1:7".into(), false));
    }

    #[test]
    fn two_kinds_of_fields_that_disagree_decide_nothing() {
        let sender = Client { address: "10.0.0.1:7".parse().unwrap(), is_secure: false };
        let hops = |addresses: &[&str], host: Option<&str>| Hops {
            addresses: addresses.iter().map(ToString::to_string).collect(),
            proto: None,
            host: host.map(str::to_owned),
        };
        let read = |by_custom: Hops, by_standard: Hops| {
            let forwarding = Forwarding { by_custom, by_standard, prefix: None };
            let trusted = proxies(&["10.0.0.0/8"]);
            (
                trusted.client(sender, &forwarding).address.to_string(),
                trusted.host(sender, &forwarding).map(str::to_owned),
            )
        };
        let (client, host) = (&["192.0.2.1"], Some("a.example"));
        assert_eq!(read(hops(&[], None), hops(client, host)), ("192.0.2.1:0".into(), Some("a.example".into())));
        assert_eq!(read(hops(client, host), hops(client, host)), ("192.0.2.1:0".into(), Some("a.example".into())));
        let other = hops(&["192.0.2.2"], Some("b.example"));
        assert_eq!(read(hops(client, host), other), ("10.0.0.1:7".into(), None));
        let untrusted = Client { address: "192.0.2.9:1".parse().unwrap(), is_secure: false };
        let forwarding = Forwarding { by_custom: hops(client, host), ..Forwarding::default() };
        assert_eq!(proxies(&["10.0.0.0/8"]).host(untrusted, &forwarding), None);
    }

    #[test]
    fn networks_and_addresses_of_both_families_are_read() {
        for wrong in ["", "10.0.0.0/33", "proxy.example.net", "10.0.0"] {
            assert_eq!(TrustedProxies::parse(&[wrong.to_owned()]), Err(wrong.to_owned()));
        }
        assert!(proxies(&["::1"]).trust("::1".parse().unwrap()));
        assert!(proxies(&["0.0.0.0/0"]).trust("192.0.2.1".parse().unwrap()));
        assert!(!proxies(&["0.0.0.0/0"]).trust("2001:db8::1".parse().unwrap()));
        assert!(!proxies(&[]).trust("127.0.0.1".parse().unwrap()));
    }
}
