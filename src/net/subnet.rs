//! The network addresses that count as one client, and how many of something each of them has. Pure.

use std::collections::HashMap;
use std::net::IpAddr;

/// An IPv4 address, or the /64 of IPv6 that one household or host usually has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    /// The IPv4 address, or the first 64 bits of the IPv6 address.
    prefix: u64,
    is_ipv6: bool,
}

impl From<IpAddr> for Subnet {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Subnet { prefix: u64::from(u32::from(ip)), is_ipv6: false },
            IpAddr::V6(ip) => Subnet { prefix: (u128::from(ip) >> 64) as u64, is_ipv6: true },
        }
    }
}

/// How many of something each subnet has. The table has at most one entry for each thing that is counted, so whatever
/// limits those limits the table.
#[derive(Debug, Default)]
pub struct SubnetCounts(HashMap<Subnet, usize>);

impl SubnetCounts {
    /// How many this address's subnet has.
    pub fn of(&self, ip: IpAddr) -> usize {
        self.0.get(&ip.into()).copied().unwrap_or(0)
    }

    /// Counts one more.
    pub fn add(&mut self, ip: IpAddr) {
        *self.0.entry(ip.into()).or_insert(0) += 1;
    }

    /// Counts one less.
    pub fn remove(&mut self, ip: IpAddr) {
        let subnet = ip.into();
        match self.0.get_mut(&subnet) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.0.remove(&subnet)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn all_addresses_of_an_ipv6_64_count_as_one_client() {
        let same = |a: &str, b: &str| Subnet::from(ip(a)) == Subnet::from(ip(b));
        assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2") && !same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1") && !same("192.0.2.1", "192.0.2.2"));
        assert!(!same("0.0.0.0", "::"));
    }

    #[test]
    fn a_count_of_zero_leaves_no_entry() {
        let mut counts = SubnetCounts::default();
        counts.add(ip("192.0.2.1"));
        counts.add(ip("192.0.2.1"));
        counts.remove(ip("192.0.2.1"));
        assert_eq!((counts.of(ip("192.0.2.1")), counts.of(ip("192.0.2.2"))), (1, 0));
        counts.remove(ip("192.0.2.1"));
        counts.remove(ip("192.0.2.1"));
        assert!(counts.0.is_empty());
    }
}
