//! This host's candidates as lines of SDP (RFC 8839 §5.1). Pure.

use std::net::{IpAddr, SocketAddr};

/// Type preferences (RFC 8445 §5.1.2.2).
const HOST: u32 = 126;
const SERVER_REFLEXIVE: u32 = 100;

/// Local preference of the first candidate of a type; each further one has one less (RFC 8445 §5.1.2.1).
const LOCAL_PREFERENCE: u32 = 65_535;

/// Media and reports share one component (RFC 5761).
const COMPONENT: u32 = 1;

/// The lines for this host's own addresses, and for the address by which the client reached it if that is not one of
/// them: behind a router that forwards the port, it is the only one that works. Without line ends.
pub fn lines(addresses: &[SocketAddr], reached_at: Option<IpAddr>) -> Vec<String> {
    let mut lines: Vec<String> = (1..).zip(addresses).map(|(nth, address)| line(nth, HOST, *address, "host")).collect();
    if let Some((mapped, base)) = mapped(addresses, reached_at) {
        let kind = format!("srflx raddr {} rport {}", base.ip(), base.port());
        lines.push(line(lines.len() as u32 + 1, SERVER_REFLEXIVE, mapped, &kind));
    }
    lines
}

/// The address of a mapping, and what it leads to (RFC 8445 §5.1.1.1).
fn mapped(addresses: &[SocketAddr], reached_at: Option<IpAddr>) -> Option<(SocketAddr, SocketAddr)> {
    let ip = reached_at?;
    let base = addresses.iter().find(|address| address.is_ipv4() == ip.is_ipv4())?;
    let is_own = addresses.iter().any(|address| address.ip() == ip);
    (!is_own).then(|| (SocketAddr::new(ip, base.port()), *base))
}

fn line(nth: u32, type_preference: u32, address: SocketAddr, kind: &str) -> String {
    let local_preference = LOCAL_PREFERENCE.saturating_sub(nth);
    let priority = type_preference << 24 | local_preference << 8 | (256 - COMPONENT);
    // A foundation of its own for each: they have different bases.
    format!("a=candidate:{nth} {COMPONENT} udp {priority} {} {} typ {kind}", address.ip(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_a_host_candidate_and_a_foreign_one_by_which_the_host_was_reached_is_mapped() {
        let addresses = ["192.168.1.5:8088".parse().unwrap(), "[2001:db8::5]:8088".parse().unwrap()];
        let at = |ip: &str| lines(&addresses, Some(ip.parse().unwrap()));
        assert_eq!(
            at("192.168.1.5"),
            [
                "a=candidate:1 1 udp 2130706175 192.168.1.5 8088 typ host",
                "a=candidate:2 1 udp 2130705919 2001:db8::5 8088 typ host"
            ]
        );
        assert_eq!(at("2001:db8::5"), lines(&addresses, None));
        assert_eq!(
            at("203.0.113.9")[2],
            "a=candidate:3 1 udp 1694498047 203.0.113.9 8088 typ srflx raddr 192.168.1.5 rport 8088"
        );
        assert!(at("2001:db8::9")[2].contains("2001:db8::9 8088 typ srflx raddr 2001:db8::5"));
        assert_eq!(lines(&addresses[..1], Some("2001:db8::9".parse().unwrap())).len(), 1, "no IPv6 here");
    }
}
