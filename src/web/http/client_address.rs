//! Who asks: the address at the other end of the connection, or, if a proxy that is trusted has passed the request on, the
//! one that the proxy names. Pure.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

/// Who asks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The client's own. If a proxy names it without a port, that is 0.
    pub address: SocketAddr,
    /// The client speaks TLS: with us, or with a proxy that is trusted.
    pub secure: bool,
}

/// The proxies whose word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Reads networks like `10.0.0.0/8` and `fd00::/8`, and single addresses.
    ///
    /// # Errors
    /// The text that is neither.
    pub fn parse(networks: &[String]) -> Result<Proxies, String> {
        let network = |text: &String| {
            let network = text.parse().or_else(|_| text.parse().map(|ip: IpAddr| IpNet::from(ip.to_canonical())));
            network.map_err(|_| text.clone())
        };
        networks.iter().map(network).collect::<Result<_, _>>().map(Proxies)
    }

    /// Whether this is the address of one.
    pub fn trust(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }

    /// Who asks, if `peer` passes on a request with these fields: the elements of `X-Forwarded-For`, of which each proxy
    /// appends one, and the last word of `X-Forwarded-Proto`. A stranger can write anything into them, so what stands
    /// left of the first stranger, read from the right, is nobody's word.
    pub fn caller(&self, peer: Caller, forwarded_for: &[String], forwarded_proto: Option<&str>) -> Caller {
        if !self.trust(peer.address.ip()) {
            return peer;
        }
        let secure = match forwarded_proto {
            Some(proto) => proto.eq_ignore_ascii_case("https") || proto.eq_ignore_ascii_case("wss"),
            None => peer.secure,
        };
        let mut address = peer.address;
        for named in forwarded_for.iter().rev() {
            let Some(named) = parse_address(named) else { break };
            address = named;
            if !self.trust(named.ip()) {
                break;
            }
        }
        Caller { address, secure }
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

    fn proxies(networks: &[&str]) -> Proxies {
        Proxies::parse(&networks.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    }

    fn asked(from: &str, forwarded_for: &[&str], proto: Option<&str>) -> (String, bool) {
        let peer = Caller { address: SocketAddr::new(from.parse().unwrap(), 7), secure: false };
        let list: Vec<String> = forwarded_for.iter().map(ToString::to_string).collect();
        let caller = proxies(&["10.0.0.0/8", "fd00::/8", "127.0.0.1"]).caller(peer, &list, proto);
        (caller.address.to_string(), caller.secure)
    }

    #[test]
    fn a_stranger_is_who_it_is_whatever_it_says() {
        assert_eq!(asked("192.0.2.1", &["198.51.100.1"], Some("https")), ("192.0.2.1:7".into(), false));
        assert_eq!(asked("127.0.0.2", &["198.51.100.1"], None).0, "127.0.0.2:7");
    }

    #[test]
    fn the_rightmost_address_that_is_no_proxy_is_the_client() {
        assert_eq!(asked("127.0.0.1", &["198.51.100.1"], Some("HTTPS")), ("198.51.100.1:0".into(), true));
        assert_eq!(asked("::ffff:10.0.0.1", &["6.6.6.6", "198.51.100.1", "10.1.1.1"], None).0, "198.51.100.1:0");
        assert_eq!(asked("fd00::1", &["[2001:db8::1]:443"], Some("http")), ("[2001:db8::1]:443".into(), false));
        assert_eq!(asked("10.0.0.1", &["2001:db8::1"], None).0, "[2001:db8::1]:0");
        assert_eq!(asked("10.0.0.1", &["10.0.0.9", "fd00::2"], None).0, "10.0.0.9:0", "all of them are ours");
    }

    #[test]
    fn what_is_no_address_ends_the_list() {
        assert_eq!(asked("10.0.0.1", &["198.51.100.1", "unknown"], None).0, "10.0.0.1:7");
        assert_eq!(asked("10.0.0.1", &["198.51.100.1", "_x", "10.0.0.2"], None).0, "10.0.0.2:0");
        assert_eq!(asked("10.0.0.1", &[], None), ("10.0.0.1:7".into(), false));
    }

    #[test]
    fn networks_and_addresses_of_both_families_are_read() {
        for wrong in ["", "10.0.0.0/33", "proxy.example.net", "10.0.0"] {
            assert_eq!(Proxies::parse(&[wrong.to_owned()]), Err(wrong.to_owned()));
        }
        assert!(proxies(&["::1"]).trust("::1".parse().unwrap()));
        assert!(proxies(&["0.0.0.0/0"]).trust("192.0.2.1".parse().unwrap()));
        assert!(!proxies(&["0.0.0.0/0"]).trust("2001:db8::1".parse().unwrap()));
        assert!(!proxies(&[]).trust("127.0.0.1".parse().unwrap()));
    }
}
