//! A token bucket: so many actions per second on average, and a burst at once. Pure: time is an argument. The rate is an
//! argument too, because thousands of buckets share one rate.

use std::time::{Duration, Instant};

/// How fast a bucket fills, and how much it holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Tokens added per second.
    pub per_s: f64,
    /// Tokens in a full bucket.
    pub burst: f64,
}

/// The tokens of one client.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    tokens: f64,
    updated: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub fn full(rate: Rate, now: Instant) -> TokenBucket {
        TokenBucket { tokens: rate.burst, updated: now }
    }

    /// Takes one token.
    ///
    /// # Errors
    /// The time until there is one; nothing was taken.
    pub fn take(&mut self, rate: Rate, now: Instant) -> Result<(), Duration> {
        self.tokens = self.tokens_at(rate, now);
        self.updated = now;
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(Duration::try_from_secs_f64((1.0 - self.tokens) / rate.per_s).unwrap_or(Duration::MAX))
    }

    /// Whether the bucket is full again, so that forgetting it changes nothing.
    pub fn is_full(&self, rate: Rate, now: Instant) -> bool {
        self.tokens_at(rate, now) >= rate.burst
    }

    fn tokens_at(&self, rate: Rate, now: Instant) -> f64 {
        let added = now.saturating_duration_since(self.updated).as_secs_f64() * rate.per_s;
        (self.tokens + added).min(rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_only_what_time_adds() {
        let (start, rate) = (Instant::now(), Rate { per_s: 2.0, burst: 3.0 });
        let mut bucket = TokenBucket::full(rate, start);
        let taken = (0..10).filter(|_| bucket.take(rate, start).is_ok()).count();
        assert_eq!(taken, 3);
        assert_eq!(bucket.take(rate, start), Err(Duration::from_millis(500)));
        let later = start + Duration::from_millis(500);
        assert_eq!(bucket.take(rate, later), Ok(()));
        assert!(bucket.take(rate, later).is_err());
    }

    #[test]
    fn a_bucket_fills_up_to_the_burst_and_no_further() {
        let (start, rate) = (Instant::now(), Rate { per_s: 2.0, burst: 3.0 });
        let mut bucket = TokenBucket::full(rate, start);
        bucket.take(rate, start).unwrap();
        assert!(!bucket.is_full(rate, start + Duration::from_millis(499)));
        assert!(bucket.is_full(rate, start + Duration::from_millis(500)));
        let much_later = start + Duration::from_secs(3_600);
        let taken = (0..10).filter(|_| bucket.take(rate, much_later).is_ok()).count();
        assert_eq!(taken, 3);
    }
}
