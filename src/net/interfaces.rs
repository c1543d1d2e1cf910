//! The addresses of this host's network interfaces that a client can be told to try, and their subnets. Asks the operating
//! system anew each time, because laptops change networks. Called on the thread that needs the answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use if_addrs::IfAddr;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// This host's addresses behind a socket that is bound to `bound`.
///
/// Loopback is included only for a client that used it (`reached_at`), or when there is nothing else: a remote browser
/// would send to its own host.
pub fn local_addresses(bound: SocketAddr, reached_at: Option<IpAddr>) -> Vec<SocketAddr> {
    let ip = bound.ip().to_canonical();
    if !ip.is_unspecified() {
        return vec![SocketAddr::new(ip, bound.port())];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let all = interfaces.iter().map(|interface| interface.ip()).filter(|ip| bound.is_ipv6() || ip.is_ipv4());
    choose(all, reached_at.is_some_and(|ip| ip.is_loopback()))
        .into_iter()
        .map(|ip| SocketAddr::new(ip, bound.port()))
        .collect()
}

/// The subnets of all interfaces; none if the system does not tell.
pub fn subnets() -> Vec<IpNet> {
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let subnet = |address: &IfAddr| match address {
        IfAddr::V4(it) => Ipv4Net::new(it.ip, it.prefixlen).map(IpNet::V4),
        IfAddr::V6(it) => Ipv6Net::new(it.ip, it.prefixlen).map(IpNet::V6),
    };
    interfaces.iter().filter_map(|interface| subnet(&interface.addr).ok()).collect()
}

fn choose(all: impl Iterator<Item = IpAddr>, with_loopback: bool) -> Vec<IpAddr> {
    let (mut loopback, mut others): (Vec<IpAddr>, Vec<IpAddr>) = (vec![], vec![]);
    for ip in all.filter(|ip| !is_link_local(*ip)) {
        let list = if ip.is_loopback() { &mut loopback } else { &mut others };
        if !list.contains(&ip) {
            list.push(ip);
        }
    }
    if with_loopback || others.is_empty() {
        others.append(&mut loopback);
    }
    if others.is_empty() {
        others.extend([IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    }
    others
}

/// Link-local addresses need a zone, which ICE candidates cannot carry (RFC 8839 §5.1). An address of 169.254/16 means
/// that the interface has no network.
fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subnet_of_loopback_is_among_the_subnets() {
        let localhost: IpAddr = Ipv4Addr::LOCALHOST.into();
        let subnets = subnets();
        assert!(subnets.iter().any(|subnet| subnet.contains(&localhost) && subnet.prefix_len() == 8), "{subnets:?}");
    }

    #[test]
    fn loopback_is_offered_to_loopback_clients_or_when_there_is_nothing_else() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let all = [ip("127.0.0.1"), ip("192.168.1.5"), ip("fe80::1"), ip("2001:db8::5"), ip("192.168.1.5")];
        assert_eq!(choose(all.into_iter(), false), [ip("192.168.1.5"), ip("2001:db8::5")]);
        assert_eq!(choose(all.into_iter(), true), [ip("192.168.1.5"), ip("2001:db8::5"), ip("127.0.0.1")]);
        assert_eq!(choose([ip("127.0.0.1")].into_iter(), false), [ip("127.0.0.1")]);
    }
}
