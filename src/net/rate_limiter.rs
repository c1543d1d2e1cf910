//! A rate limit for each subnet: token buckets in a table that cannot grow without end. Pure: time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::net::subnet::Subnet;
use crate::net::token_bucket::{Rate, TokenBucket};

/// Subnets in the table. When it is full of buckets that are not full again, all further subnets share one bucket.
const MAX_SUBNETS: usize = 16_384;

/// So many actions per second on average, and a burst at once, for each subnet.
#[derive(Debug)]
pub struct RateLimiter {
    rate: Rate,
    buckets: HashMap<Subnet, TokenBucket>,
}

impl RateLimiter {
    /// Every subnet begins with a full bucket. A burst of less than one action is taken for one.
    pub fn new(per_s: f64, burst: f64) -> RateLimiter {
        RateLimiter { rate: Rate { per_s, burst: burst.max(1.0) }, buckets: HashMap::new() }
    }

    /// Takes one token from the bucket of this address's subnet.
    ///
    /// # Errors
    /// The time until there is one.
    pub fn take(&mut self, ip: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut subnet = Subnet::from(ip);
        if !self.buckets.contains_key(&subnet) && self.buckets.len() >= MAX_SUBNETS {
            let rate = self.rate;
            self.buckets.retain(|_, bucket| !bucket.is_full(rate, now));
            if self.buckets.len() >= MAX_SUBNETS {
                subnet = Subnet::from(IpAddr::V6(Ipv6Addr::UNSPECIFIED));
            }
        }
        let bucket = self.buckets.entry(subnet).or_insert_with(|| TokenBucket::full(self.rate, now));
        bucket.take(self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_subnet_has_a_bucket_of_its_own() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(2.0, 3.0);
        let taken = (0..10).filter(|_| limiter.take(ip("192.0.2.1"), now).is_ok()).count();
        assert_eq!(taken, 3);
        assert_eq!(limiter.take(ip("192.0.2.1"), now), Err(Duration::from_millis(500)));
        assert!(limiter.take(ip("192.0.2.2"), now).is_ok(), "another client");
        let later = now + Duration::from_millis(500);
        assert!(limiter.take(ip("192.0.2.1"), later).is_ok());
        assert!(limiter.take(ip("192.0.2.1"), later).is_err());
    }

    #[test]
    fn a_flood_from_many_addresses_does_not_fill_memory() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(1.0, 1.0);
        let nth = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(n));
        for n in 0..MAX_SUBNETS as u32 * 2 {
            let _ = limiter.take(nth(n), now);
        }
        assert!(limiter.buckets.len() <= MAX_SUBNETS + 1);
        // Once the buckets are full again, a new client is served.
        assert!(limiter.take(nth(u32::MAX), now).is_err());
        assert!(limiter.take(nth(u32::MAX), now + Duration::from_secs(1)).is_ok());
        assert!(limiter.buckets.len() < 10);
    }
}
