//! A rate limit for each address and each network around it: token buckets in a table that cannot grow without end. Pure:
//! time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::net::subnet::{MAX_NESTED, Subnet};
use crate::net::token_bucket::{Rate, TokenBucket};

/// New networks in the table within the time that a bucket needs to be full again. While there are more, those that are
/// not in the table share one bucket.
const MAX_SUBNETS: usize = 16_384;

/// So many actions per second on average, and a burst at once, for each address; see [`Subnet::nested`] for the shares of
/// networks.
#[derive(Debug)]
pub struct RateLimiter {
    rate: Rate,
    /// In this time every bucket is full again, whatever it owed, so that forgetting it changes nothing.
    refill: Duration,
    max_subnets: usize,
    /// Buckets that were used since `since`.
    recent: HashMap<Subnet, TokenBucket>,
    /// Buckets that were last used before that. All of them are forgotten at once, after `refill`: no search is needed for
    /// those that are full.
    older: HashMap<Subnet, TokenBucket>,
    since: Option<Instant>,
    /// For all networks that the table has no space for.
    overflow: Option<TokenBucket>,
}

impl RateLimiter {
    /// Every address begins with a full bucket. A burst of less than one action is taken for one.
    pub fn new(per_s: f64, burst: f64) -> RateLimiter {
        RateLimiter::with_max_subnets(per_s, burst, MAX_SUBNETS)
    }

    /// The same with a table for so many networks.
    pub fn with_max_subnets(per_s: f64, burst: f64, max_subnets: usize) -> RateLimiter {
        let rate = Rate { per_s, burst: burst.max(1.0) };
        RateLimiter {
            rate,
            refill: Duration::try_from_secs_f64(2.0 * rate.burst / per_s).unwrap_or(Duration::MAX),
            max_subnets,
            recent: HashMap::new(),
            older: HashMap::new(),
            since: None,
            overflow: None,
        }
    }

    /// Takes one token from the buckets of this address and of all networks around it.
    ///
    /// # Errors
    /// The time until each of them has one; nothing was taken.
    pub fn take(&mut self, ip: IpAddr, now: Instant) -> Result<(), Duration> {
        self.forget_full_buckets(now);
        // The widest first, and without making buckets: while a network around it has no token, an address leaves no
        // entry in the table.
        for (subnet, shares) in Subnet::nested(ip).rev() {
            let (bucket, rate) = match self.recent.get(&subnet).or_else(|| self.older.get(&subnet)) {
                None if self.is_full() => (self.overflow.as_ref(), self.rate),
                bucket => (bucket, self.rate.times(shares)),
            };
            bucket.map_or(Ok(()), |bucket| bucket.check(rate, now))?;
        }
        self.charge_all(ip, 1.0, now);
        Ok(())
    }

    /// Takes so many tokens for what was done already, also if there are fewer; returns the time until nothing is owed. See
    /// [`TokenBucket::charge`].
    pub fn charge(&mut self, ip: IpAddr, tokens: f64, now: Instant) -> Duration {
        self.forget_full_buckets(now);
        self.charge_all(ip, tokens, now)
    }

    fn charge_all(&mut self, ip: IpAddr, tokens: f64, now: Instant) -> Duration {
        let (mut wait, mut has_overflowed) = (Duration::ZERO, false);
        for (subnet, shares) in Subnet::nested(ip) {
            let rate = self.rate.times(shares);
            match self.bucket(subnet, rate, now) {
                Some(bucket) => wait = wait.max(bucket.charge(tokens, rate, now)),
                None => has_overflowed = true,
            }
        }
        if has_overflowed {
            let bucket = self.overflow.get_or_insert_with(|| TokenBucket::full(self.rate, now));
            wait = wait.max(bucket.charge(tokens, self.rate, now));
        }
        wait
    }

    /// The bucket of a network, among the recent ones from now on; None if there is no space.
    fn bucket(&mut self, subnet: Subnet, rate: Rate, now: Instant) -> Option<&mut TokenBucket> {
        if !self.recent.contains_key(&subnet) {
            let is_full = self.is_full();
            let known = self.older.get(&subnet).copied();
            // Those that are known are kept although there is no space for new ones, but not without end either.
            let bucket = known.filter(|_| self.recent.len() < 2 * self.max_subnets);
            let bucket = bucket.or_else(|| (!is_full).then(|| TokenBucket::full(rate, now)))?;
            self.older.remove(&subnet);
            self.recent.insert(subnet, bucket);
        }
        self.recent.get_mut(&subnet)
    }

    fn is_full(&self) -> bool {
        self.recent.len() + MAX_NESTED > self.max_subnets
    }

    fn forget_full_buckets(&mut self, now: Instant) {
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= self.refill {
            self.older = std::mem::take(&mut self.recent);
            self.since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn nth(n: u32) -> IpAddr {
        IpAddr::from(std::net::Ipv4Addr::from(n))
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
    fn many_64s_of_one_site_have_sixteen_shares_together() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(2.0, 3.0);
        let mut taken = |address: &dyn Fn(u32) -> String| {
            (0..60_000).filter(|&n| limiter.take(ip(&address(n)), now).is_ok()).count()
        };
        assert_eq!(taken(&|n| format!("2001:db8:1:11{:02x}::1", n % 256)), 4 * 3, "a /56");
        assert_eq!(taken(&|n| format!("2001:db8:1:{n:x}::1")), (16 - 4) * 3, "the rest of its /48");
        assert_eq!(taken(&|n| format!("2001:db8:2:{n:x}::1")), 16 * 3, "another /48");
        assert!(limiter.recent.len() < 200, "refused addresses leave entries");
    }

    #[test]
    fn a_flood_from_many_addresses_does_not_fill_memory() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(1.0, 1.0);
        for n in 0..MAX_SUBNETS as u32 * 2 {
            let _ = limiter.take(nth(n), now);
        }
        assert!(limiter.recent.len() + limiter.older.len() <= MAX_SUBNETS);
        assert!(limiter.take(nth(u32::MAX), now).is_err());
        assert!(limiter.take(nth(0), now + Duration::from_secs(1)).is_ok(), "who was there before");
        // Once the buckets are full again, a new client is served, and later the others are forgotten.
        assert!(limiter.take(nth(u32::MAX), now + Duration::from_secs(2)).is_ok());
        assert!(limiter.take(nth(u32::MAX), now + Duration::from_secs(4)).is_ok());
        assert!(limiter.recent.len() + limiter.older.len() < 10);
    }

    #[test]
    fn a_flood_without_end_does_not_fill_memory_either() {
        let (start, max) = (Instant::now(), 100);
        let mut limiter = RateLimiter::with_max_subnets(1.0, 1.0, max);
        for second in 0..20 {
            for n in 0..1_000 {
                let _ = limiter.take(nth(n), start + Duration::from_secs(second));
                assert!(limiter.recent.len() + limiter.older.len() <= 4 * max);
            }
        }
    }

    #[test]
    fn an_empty_bucket_is_not_forgotten_before_it_is_full_again() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(1.0, 10.0);
        let mut taken = 0;
        for tenth in 0..1_000 {
            taken += usize::from(limiter.take(nth(1), start + Duration::from_millis(100 * tenth)).is_ok());
        }
        assert_eq!(taken, 10 + 99);
    }

    #[test]
    fn what_was_charged_keeps_the_others_of_the_address_waiting_in_turn() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(10.0, 5.0);
        assert_eq!(limiter.charge(nth(1), 5.0, now), Duration::ZERO);
        assert_eq!(limiter.charge(nth(1), 1.0, now), Duration::from_millis(100));
        assert_eq!(limiter.charge(nth(1), 1.0, now), Duration::from_millis(200));
        assert_eq!(limiter.charge(nth(2), 1.0, now), Duration::ZERO);
    }
}
