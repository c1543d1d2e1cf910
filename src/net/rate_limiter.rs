//! How much each network address may ask of us: token buckets and counts, in tables that cannot grow without end. Pure:
//! time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Addresses a table remembers. When it is full of such as are owed something, strangers share one bucket.
const MAX_ADDRESSES: usize = 16_384;

/// Those who are counted as one: an IPv4 address, or the /64 of IPv6 that one household or host usually has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subnet(u64, bool);

impl From<IpAddr> for Subnet {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Subnet(u64::from(u32::from(ip)), false),
            IpAddr::V6(ip) => Subnet((u128::from(ip) >> 64) as u64, true),
        }
    }
}

/// So many a second on average, and a burst at once, for each address.
#[derive(Debug)]
pub struct RateLimiter {
    per_s: f64,
    burst: f64,
    buckets: HashMap<Subnet, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl RateLimiter {
    /// Full buckets for everybody.
    pub fn new(per_s: f64, burst: f64) -> RateLimiter {
        RateLimiter { per_s, burst: burst.max(1.0), buckets: HashMap::new() }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long until there is one again.
    pub fn take(&mut self, ip: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut subnet = Subnet::from(ip);
        if !self.buckets.contains_key(&subnet) && self.buckets.len() >= MAX_ADDRESSES {
            self.forget_the_full(now);
            if self.buckets.len() >= MAX_ADDRESSES {
                subnet = Subnet::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
            }
        }
        let (per_s, burst) = (self.per_s, self.burst);
        let bucket = self.buckets.entry(subnet).or_insert(Bucket { left: burst, at: now });
        *bucket = refilled(*bucket, per_s, burst, now);
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        Err(Duration::try_from_secs_f64((1.0 - bucket.left) / per_s).unwrap_or(Duration::MAX))
    }

    /// A full bucket is like none.
    fn forget_the_full(&mut self, now: Instant) {
        let (per_s, burst) = (self.per_s, self.burst);
        self.buckets.retain(|_, bucket| refilled(*bucket, per_s, burst, now).left < burst);
    }
}

fn refilled(bucket: Bucket, per_s: f64, burst: f64, now: Instant) -> Bucket {
    let earned = now.saturating_duration_since(bucket.at).as_secs_f64() * per_s;
    Bucket { left: (bucket.left + earned).min(burst), at: now }
}

/// How many of something each address has. As many entries as there are somethings, which others limit.
#[derive(Debug, Default)]
pub struct Counts(HashMap<Subnet, usize>);

impl Counts {
    /// How many this address has.
    pub fn of(&self, ip: IpAddr) -> usize {
        self.0.get(&ip.into()).copied().unwrap_or(0)
    }

    /// One more.
    pub fn add(&mut self, ip: IpAddr) {
        *self.0.entry(ip.into()).or_insert(0) += 1;
    }

    /// One less.
    pub fn remove(&mut self, ip: IpAddr) {
        let subnet = ip.into();
        match self.0.get_mut(&subnet) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.0.remove(&subnet)),
        }
    }
}

/// Places of which each address may have so many, taken and given back on different threads.
#[derive(Clone, Debug)]
pub struct ConcurrencyLimit {
    most: usize,
    /// A table of numbers and no more; held for a look-up.
    taken: Arc<Mutex<Counts>>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    ip: IpAddr,
    taken: Arc<Mutex<Counts>>,
}

impl ConcurrencyLimit {
    /// All of them free.
    pub fn new(most: usize) -> ConcurrencyLimit {
        ConcurrencyLimit { most, taken: Arc::default() }
    }

    /// A place for this address, if it does not have as many as it may.
    pub fn take(&self, ip: IpAddr) -> Option<Permit> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        (taken.of(ip) < self.most).then(|| {
            taken.add(ip);
            Permit { ip, taken: Arc::clone(&self.taken) }
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(self.ip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_is_taken_then_only_what_was_earned() {
        let now = Instant::now();
        let mut rate = RateLimiter::new(2.0, 3.0);
        let taken = (0..10).filter(|_| rate.take(ip("192.0.2.1"), now).is_ok()).count();
        assert_eq!(taken, 3);
        assert_eq!(rate.take(ip("192.0.2.1"), now), Err(Duration::from_millis(500)));
        assert!(rate.take(ip("192.0.2.2"), now).is_ok(), "somebody else");
        let later = now + Duration::from_millis(500);
        assert!(rate.take(ip("192.0.2.1"), later).is_ok());
        assert!(rate.take(ip("192.0.2.1"), later).is_err());
    }

    #[test]
    fn a_household_is_one_whatever_address_of_its_64_it_uses() {
        let same = |a: &str, b: &str| Subnet::from(ip(a)) == Subnet::from(ip(b));
        assert!(same("2001:db8:0:1::1", "2001:db8:0:1:ffff::2") && !same("2001:db8:0:1::1", "2001:db8:0:2::1"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1") && !same("192.0.2.1", "192.0.2.2"));
        assert!(!same("0.0.0.0", "::"));
    }

    #[test]
    fn a_flood_from_everywhere_fills_no_memory() {
        let now = Instant::now();
        let mut rate = RateLimiter::new(1.0, 1.0);
        let nth = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(n));
        for n in 0..MAX_ADDRESSES as u32 * 2 {
            let _ = rate.take(nth(n), now);
        }
        assert!(rate.buckets.len() <= MAX_ADDRESSES + 1);
        // Once the buckets are full again, a stranger is served.
        assert!(rate.take(nth(u32::MAX), now).is_err());
        assert!(rate.take(nth(u32::MAX), now + Duration::from_secs(1)).is_ok());
        assert!(rate.buckets.len() < 10);
    }

    #[test]
    fn counts_go_up_and_down_and_away() {
        let mut counts = Counts::default();
        counts.add(ip("192.0.2.1"));
        counts.add(ip("192.0.2.1"));
        counts.remove(ip("192.0.2.1"));
        assert_eq!((counts.of(ip("192.0.2.1")), counts.of(ip("192.0.2.2"))), (1, 0));
        counts.remove(ip("192.0.2.1"));
        counts.remove(ip("192.0.2.1"));
        assert!(counts.0.is_empty());
    }

    #[test]
    fn a_place_is_free_again_once_it_is_given_back() {
        let limit = ConcurrencyLimit::new(2);
        let (first, _second) = (limit.take(ip("192.0.2.1")).unwrap(), limit.take(ip("192.0.2.1")).unwrap());
        assert!(limit.take(ip("192.0.2.1")).is_none() && limit.take(ip("192.0.2.2")).is_some());
        drop(first);
        assert!(limit.take(ip("192.0.2.1")).is_some());
    }
}
