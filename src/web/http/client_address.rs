//! Which client sent a request: the other end of the connection, or, if a trusted proxy forwarded the request, the
//! client that the proxy names. Pure.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

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

    /// The client behind `sender`, which sent a request with these fields: the elements of `X-Forwarded-For`, to which
    /// each proxy appends one, and the last element of `X-Forwarded-Proto`. Any client can write anything into them, so
    /// the list is read from the right, and the first address that is no trusted proxy is the client; what stands left
    /// of it is ignored.
    pub fn client(&self, sender: Client, forwarded_for: &[String], forwarded_proto: Option<&str>) -> Client {
        if !self.trust(sender.address.ip()) {
            return sender;
        }
        let is_secure = match forwarded_proto {
            Some(proto) => proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss"),
            None => sender.is_secure,
        };
        let mut address = sender.address;
        for named in forwarded_for.iter().rev() {
            let Some(named) = parse_address(named) else { break };
            address = named;
            if !self.trust(named.ip()) {
                break;
            }
        }
        Client { address, is_secure }
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
        let client = proxies(&["10.0.0.0/8", "fd00::/8", "127.0.0.1"]).client(sender, &list, proto);
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
