//! A rate limit that many threads ask often. The table is in parts, each behind a lock of its own, so that the threads of
//! different clients seldom wait for one another; a lock is held for one look-up.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::net::rate_limiter::RateLimiter;
use crate::net::subnet::Subnet;

const PARTS: usize = 16;
/// Networks in each part; see [`RateLimiter`].
const MAX_SUBNETS_OF_PART: usize = 2_048;

/// See [`RateLimiter`].
#[derive(Debug)]
pub struct SharedRateLimiter {
    hasher: RandomState,
    parts: [Mutex<RateLimiter>; PARTS],
}

impl SharedRateLimiter {
    /// See [`RateLimiter::new`].
    pub fn new(per_s: f64, burst: f64) -> SharedRateLimiter {
        let part = |_| Mutex::new(RateLimiter::with_max_subnets(per_s, burst, MAX_SUBNETS_OF_PART));
        SharedRateLimiter { hasher: RandomState::new(), parts: std::array::from_fn(part) }
    }

    /// See [`RateLimiter::take`].
    ///
    /// # Errors
    /// The time until there is a token; nothing was taken.
    pub fn take(&self, ip: IpAddr, now: Instant) -> Result<(), Duration> {
        self.part(ip).lock().unwrap_or_else(PoisonError::into_inner).take(ip, now)
    }

    /// See [`RateLimiter::charge`].
    pub fn charge(&self, ip: IpAddr, tokens: f64, now: Instant) -> Duration {
        self.part(ip).lock().unwrap_or_else(PoisonError::into_inner).charge(ip, tokens, now)
    }

    /// All addresses of a site are in the same part, since they share buckets.
    fn part(&self, ip: IpAddr) -> &Mutex<RateLimiter> {
        &self.parts[self.hasher.hash_one(Subnet::widest(ip)) as usize % PARTS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_addresses_of_a_site_share_their_buckets() {
        let (now, limiter) = (Instant::now(), SharedRateLimiter::new(1.0, 1.0));
        let take = |text: String| limiter.take(text.parse().unwrap(), now).is_ok();
        assert_eq!((0..256).filter(|n| take(format!("2001:db8:1:{n:x}00::1"))).count(), 16);
        assert_eq!((0..256).filter(|n| take(format!("192.0.2.{n}"))).count(), 256);
        assert_eq!(limiter.charge("192.0.2.1".parse().unwrap(), 1.0, now), Duration::from_secs(1));
    }
}
