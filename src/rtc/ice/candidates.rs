//! This host's candidates as lines of SDP (RFC 8839 §5.1). Pure.

use std::net::SocketAddr;

/// Type preferences (RFC 8445 §5.1.2.2).
const HOST: u32 = 126;
const SERVER_REFLEXIVE: u32 = 100;

/// Local preference of the first candidate of a type; each further one has one less (RFC 8445 §5.1.2.1).
const LOCAL_PREFERENCE: u32 = 65_535;

/// Media and reports share one component (RFC 5761).
const COMPONENT: u32 = 1;

/// The lines for this host's own addresses, and for those by which the client reached it, as far as they are others: behind a
/// router or in a container that forwards them, they are the only ones that work. Without line ends.
pub fn lines(own: &[SocketAddr], reached_at: &[SocketAddr]) -> Vec<String> {
    let mut lines: Vec<String> = (1..).zip(own).map(|(nth, address)| line(nth, HOST, *address, "host")).collect();
    for mapped in reached_at.iter().filter(|mapped| !own.contains(mapped)) {
        // What it leads to (RFC 8445 §5.1.1.1), which may have the other kind of address.
        let base = own.iter().find(|address| address.is_ipv4() == mapped.is_ipv4());
        let kind = match base {
            Some(base) => format!("srflx raddr {} rport {}", base.ip(), base.port()),
            None if mapped.is_ipv4() => "srflx raddr 0.0.0.0 rport 9".to_owned(),
            None => "srflx raddr :: rport 9".to_owned(),
        };
        lines.push(line(lines.len() as u32 + 1, SERVER_REFLEXIVE, *mapped, &kind));
    }
    lines
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
        let own = ["192.168.1.5:8088".parse().unwrap(), "[2001:db8::5]:8088".parse().unwrap()];
        let at = |reached: &str| lines(&own, &[reached.parse().unwrap()]);
        assert_eq!(
            at("192.168.1.5:8088"),
            [
                "a=candidate:1 1 udp 2130706175 192.168.1.5 8088 typ host",
                "a=candidate:2 1 udp 2130705919 2001:db8::5 8088 typ host"
            ]
        );
        assert_eq!(at("[2001:db8::5]:8088"), lines(&own, &[]));
        assert_eq!(
            at("203.0.113.9:8088")[2],
            "a=candidate:3 1 udp 1694498047 203.0.113.9 8088 typ srflx raddr 192.168.1.5 rport 8088"
        );
        assert!(at("192.168.1.5:9000")[2].contains("192.168.1.5 9000 typ srflx"), "another port is another address");
        assert!(at("[2001:db8::9]:8088")[2].contains("2001:db8::9 8088 typ srflx raddr 2001:db8::5"));
        let other_kind = lines(&own[..1], &["[2001:db8::9]:8088".parse().unwrap()]);
        assert!(other_kind[1].ends_with("2001:db8::9 8088 typ srflx raddr :: rport 9"), "{other_kind:?}");
    }
}
