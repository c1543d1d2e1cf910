//! Whether a client is near: on this very host, or in a network that the internet does not reach into. A page that such a
//! client opens can use its place there, so `origin_policy` asks more of its requests. Called on `conn-<n>` threads. The
//! operating system is asked for the interfaces' subnets at most once in some seconds, however many clients ask.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::{IpNet, Ipv4Net};

use crate::net::interfaces;

/// How long the subnets are believed. A laptop that joins another network notices within this time.
const REFRESHED_EVERY: Duration = Duration::from_secs(5);
/// A wider subnet is no neighbourhood but a route to everywhere, as tunnels have it: their peers are not near.
const WIDEST_IPV4: u8 = 8;
const WIDEST_IPV6: u8 = 32;
/// Addresses that providers and overlay networks share among their customers (RFC 6598); the internet has no route to them.
const SHARED: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10);

/// Tells which clients are near.
#[derive(Debug)]
pub struct Nearness {
    read: fn() -> Vec<IpNet>,
    subnets: Mutex<Subnets>,
}

#[derive(Debug)]
struct Subnets {
    all: Arc<[IpNet]>,
    /// When they were read, or when a thread began to read them anew.
    read_at: Instant,
}

impl Nearness {
    /// With the subnets of this host's interfaces, as they are now and later.
    pub fn of_this_host() -> Nearness {
        Nearness::new(interfaces::subnets, Instant::now())
    }

    fn new(read: fn() -> Vec<IpNet>, now: Instant) -> Nearness {
        Nearness { read, subnets: Mutex::new(Subnets { all: narrow(read()), read_at: now }) }
    }

    /// Whether this address is near.
    pub fn is_near(&self, ip: IpAddr, now: Instant) -> bool {
        let ip = ip.to_canonical();
        is_unroutable(ip) || self.subnets(now).iter().any(|subnet| subnet.contains(&ip))
    }

    /// One thread reads them anew when it is time; the others go on with those they have.
    fn subnets(&self, now: Instant) -> Arc<[IpNet]> {
        {
            let mut subnets = self.subnets.lock().unwrap_or_else(PoisonError::into_inner);
            if now.saturating_duration_since(subnets.read_at) < REFRESHED_EVERY {
                return Arc::clone(&subnets.all);
            }
            subnets.read_at = now;
        }
        let all = narrow((self.read)());
        self.subnets.lock().unwrap_or_else(PoisonError::into_inner).all = Arc::clone(&all);
        all
    }
}

fn narrow(subnets: Vec<IpNet>) -> Arc<[IpNet]> {
    let widest = |subnet: &IpNet| if subnet.addr().is_ipv4() { WIDEST_IPV4 } else { WIDEST_IPV6 };
    subnets.into_iter().filter(|subnet| subnet.prefix_len() >= widest(subnet)).collect()
}

/// Whether the internet has no route to this address: loopback, private, link-local, unique local or shared.
fn is_unroutable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified() || SHARED.contains(&ip)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn near(nearness: &Nearness, ip: &str, now: Instant) -> bool {
        nearness.is_near(ip.parse().unwrap(), now)
    }

    #[test]
    fn near_is_what_the_internet_does_not_reach_and_what_shares_a_subnet_with_this_host() {
        let now = Instant::now();
        let read =
            || ["203.0.113.0/24", "2001:db8:0:1::/64", "0.0.0.0/0", "::/0"].map(|net| net.parse().unwrap()).into();
        let nearness = Nearness::new(read, now);
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.5",
            "::ffff:192.168.1.5",
            "169.254.1.1",
            "fe80::1",
            "febf::1",
            "fc00::1",
            "fd12::1",
            "100.64.0.1",
            "100.127.255.255",
            "203.0.113.200",
            "2001:db8:0:1:ffff::1",
        ] {
            assert!(near(&nearness, ip, now), "{ip}");
        }
        for ip in [
            "8.8.8.8",
            "172.32.0.1",
            "172.15.0.1",
            "192.169.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "203.0.114.1",
            "::ffff:8.8.8.8",
            "2001:db8:0:2::1",
            "2606:4700::1",
            "ff02::1",
        ] {
            assert!(!near(&nearness, ip, now), "{ip}");
        }
    }

    #[test]
    fn the_system_is_asked_once_in_some_seconds_whoever_asks() {
        static READS: AtomicUsize = AtomicUsize::new(0);
        fn read() -> Vec<IpNet> {
            match READS.fetch_add(1, Ordering::SeqCst) {
                0 => vec![],
                _ => vec!["203.0.113.0/24".parse().unwrap()],
            }
        }
        let start = Instant::now();
        let nearness = Nearness::new(read, start);
        for n in 0..1_000 {
            let now = start + REFRESHED_EVERY.mul_f64(f64::from(n) / 1_001.0);
            assert!(!near(&nearness, "203.0.113.1", now));
        }
        assert_eq!(READS.load(Ordering::SeqCst), 1);
        assert!(near(&nearness, "203.0.113.1", start + REFRESHED_EVERY), "a laptop came into another network");
        assert!(near(&nearness, "203.0.113.1", start + REFRESHED_EVERY));
        assert_eq!(READS.load(Ordering::SeqCst), 2);
    }
}
