//! The networks that an address belongs to, and how many of something each of them has. Pure.
//!
//! An IPv4 address counts by itself. Of IPv6, networks of three sizes count, one inside the other, since nobody knows how
//! much of it one client has: a phone has a /64 out of its carrier's pool, a home a /56 or /60, a company or university a
//! /48, and a /56 is 256 times a /64. So a /64 has one share, as an IPv4 address has, a /56 has four of them
//! and a /48 sixteen: enough for many phones of one pool and for a campus, and not 256 and 65,536 times as much as for
//! one client.

use std::collections::HashMap;
use std::net::IpAddr;

/// A network that counts: an IPv4 address, or a /64, /56 or /48 of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet {
    /// The first bits of the address; the others are zero.
    prefix: u64,
    bits: u8,
}

/// How many networks one address belongs to, at the most.
pub const MAX_NESTED: usize = 3;
/// Bits of a network, and its shares. The narrowest first.
const IPV4: &[(u8, u32)] = &[(32, 1)];
const IPV6: &[(u8, u32)] = &[(64, 1), (56, 4), (48, 16)];

impl Subnet {
    /// The networks of an address, the narrowest first, and how many shares each has: one share is what one client may
    /// have.
    pub fn nested(ip: IpAddr) -> impl DoubleEndedIterator<Item = (Subnet, u32)> {
        let (prefix, networks) = match ip.to_canonical() {
            IpAddr::V4(ip) => (u64::from(u32::from(ip)) << 32, IPV4),
            IpAddr::V6(ip) => ((u128::from(ip) >> 64) as u64, IPV6),
        };
        let network = move |bits: u8| Subnet { prefix: prefix & (u64::MAX << (64 - bits)), bits };
        networks.iter().map(move |&(bits, shares)| (network(bits), shares))
    }

    /// The widest network of an address.
    pub fn widest(ip: IpAddr) -> Subnet {
        let bits = if ip.to_canonical().is_ipv4() { IPV4 } else { IPV6 }.len() - 1;
        Subnet::nested(ip).nth(bits).map_or_else(|| Subnet::from(ip), |(subnet, _)| subnet)
    }
}

/// The narrowest network: what one client has.
impl From<IpAddr> for Subnet {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Subnet { prefix: u64::from(u32::from(ip)) << 32, bits: 32 },
            IpAddr::V6(ip) => Subnet { prefix: (u128::from(ip) >> 64) as u64, bits: 64 },
        }
    }
}

/// How many of something one address, and so each network, may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimit {
    /// For an IPv4 address, or a /64 of IPv6.
    pub max_per_address: usize,
    /// All that there are, for all networks together. A network wider than a /64 has no more than half of them, so that no
    /// site takes everything, unless one address may have more.
    pub total: usize,
}

impl AddressLimit {
    fn of(&self, shares: u32) -> usize {
        let max = self.max_per_address;
        if shares == 1 { max } else { max.saturating_mul(shares as usize).min(self.total / 2).max(max) }
    }
}

/// How many of something each network has. The table has at most three entries for each thing that is counted, so whatever
/// limits those limits the table.
#[derive(Debug)]
pub struct SubnetCounts {
    limit: AddressLimit,
    counts: HashMap<Subnet, usize>,
}

/// Without a limit.
impl Default for SubnetCounts {
    fn default() -> Self {
        SubnetCounts::new(AddressLimit { max_per_address: usize::MAX, total: usize::MAX })
    }
}

impl SubnetCounts {
    /// Nothing is counted yet.
    pub fn new(limit: AddressLimit) -> SubnetCounts {
        SubnetCounts { limit, counts: HashMap::new() }
    }

    /// Whether all networks of this address may have one more.
    pub fn may_add(&self, ip: IpAddr) -> bool {
        self.may_add_within(self.limit, ip)
    }

    /// The same with another limit.
    pub fn may_add_within(&self, limit: AddressLimit, ip: IpAddr) -> bool {
        let count = |subnet| self.counts.get(&subnet).copied().unwrap_or(0);
        Subnet::nested(ip).all(|(subnet, shares)| count(subnet) < limit.of(shares))
    }

    /// Counts one more, whatever the limit.
    pub fn add(&mut self, ip: IpAddr) {
        for (subnet, _) in Subnet::nested(ip) {
            *self.counts.entry(subnet).or_insert(0) += 1;
        }
    }

    /// Counts one less.
    pub fn remove(&mut self, ip: IpAddr) {
        for (subnet, _) in Subnet::nested(ip) {
            match self.counts.get_mut(&subnet) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(self.counts.remove(&subnet)),
            }
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
        for text in ["192.0.2.1", "2001:db8:1:2:3::4"] {
            assert_eq!(Subnet::nested(ip(text)).next(), Some((Subnet::from(ip(text)), 1)));
            assert_eq!(Subnet::nested(ip(text)).last().unwrap().0, Subnet::widest(ip(text)));
            assert!(Subnet::nested(ip(text)).count() <= MAX_NESTED);
        }
    }

    #[test]
    fn a_count_of_zero_leaves_no_entry() {
        let mut counts = SubnetCounts::new(AddressLimit { max_per_address: 2, total: 10 });
        for text in ["192.0.2.1", "2001:db8::1"] {
            counts.add(ip(text));
            counts.add(ip(text));
            assert!(!counts.may_add(ip(text)));
            counts.remove(ip(text));
            assert!(counts.may_add(ip(text)));
            counts.remove(ip(text));
            counts.remove(ip(text));
            assert!(counts.counts.is_empty());
        }
    }

    /// Takes as many as there are for addresses of that many /64s; returns how many those were.
    fn taken(limit: AddressLimit, nth: impl Fn(u32) -> String) -> usize {
        let mut counts = SubnetCounts::new(limit);
        let mut taken = 0;
        for ip in (0..256).map(|n| ip(&nth(n))) {
            while counts.may_add(ip) {
                counts.add(ip);
                taken += 1;
            }
        }
        taken
    }

    #[test]
    fn a_home_with_a_56_has_four_shares_and_a_site_with_a_48_sixteen() {
        let limit = AddressLimit { max_per_address: 10, total: 100_000 };
        assert_eq!(taken(limit, |n| format!("2001:db8:1:1::{n:x}")), 10);
        assert_eq!(taken(limit, |n| format!("2001:db8:1:11{n:02x}::1")), 40);
        assert_eq!(taken(limit, |n| format!("2001:db8:1:{n:02x}00::1")), 160);
        assert_eq!(taken(limit, |n| format!("2001:db8:{n:x}::1")), 2_560, "of different sites");
        assert_eq!(taken(limit, |n| format!("192.0.2.{n}")), 2_560, "of IPv4");
    }

    #[test]
    fn no_site_takes_more_than_half_of_all_unless_one_address_may() {
        let of = |max_per_address, total| {
            taken(AddressLimit { max_per_address, total }, |n| format!("2001:db8:1:{n:02x}00::1"))
        };
        assert_eq!(of(10, 100), 50);
        assert_eq!(of(80, 100), 80);
        assert_eq!(of(200, 100), 200, "the total is enforced by whoever counts all");
    }
}
