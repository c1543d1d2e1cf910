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

impl Rate {
    /// So many times as much.
    #[must_use]
    pub fn times(self, shares: u32) -> Rate {
        Rate { per_s: self.per_s * f64::from(shares), burst: self.burst * f64::from(shares) }
    }
}

/// The tokens of one client.
#[derive(Clone, Copy, Debug)]
pub struct TokenBucket {
    /// Negative after more was charged than there was.
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
        self.check(rate, now)?;
        self.charge(1.0, rate, now);
        Ok(())
    }

    /// Whether a token could be taken.
    ///
    /// # Errors
    /// The time until there is one.
    pub fn check(&self, rate: Rate, now: Instant) -> Result<(), Duration> {
        let missing = 1.0 - self.tokens_at(rate, now);
        if missing <= 0.0 { Ok(()) } else { Err(time_for(missing, rate)) }
    }

    /// Takes so many tokens for what was done already, also if there are fewer; returns the time until nothing is owed.
    /// Several that share a bucket and wait that long have their turns one after the other. No more than a burst is ever
    /// owed.
    pub fn charge(&mut self, tokens: f64, rate: Rate, now: Instant) -> Duration {
        self.tokens = (self.tokens_at(rate, now) - tokens).max(-rate.burst);
        self.updated = now;
        if self.tokens >= 0.0 { Duration::ZERO } else { time_for(-self.tokens, rate) }
    }

    fn tokens_at(&self, rate: Rate, now: Instant) -> f64 {
        let added = now.saturating_duration_since(self.updated).as_secs_f64() * rate.per_s;
        (self.tokens + added).min(rate.burst)
    }
}

fn time_for(tokens: f64, rate: Rate) -> Duration {
    Duration::try_from_secs_f64(tokens / rate.per_s).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_s: 2.0, burst: 3.0 };

    #[test]
    fn a_burst_is_allowed_and_then_only_what_time_adds() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(RATE, start);
        let taken = (0..10).filter(|_| bucket.take(RATE, start).is_ok()).count();
        assert_eq!(taken, 3);
        assert_eq!(bucket.take(RATE, start), Err(Duration::from_millis(500)));
        let later = start + Duration::from_millis(500);
        assert_eq!(bucket.take(RATE, later), Ok(()));
        assert!(bucket.take(RATE, later).is_err());
    }

    #[test]
    fn a_bucket_fills_up_to_the_burst_and_no_further() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(RATE, start);
        bucket.take(RATE, start).unwrap();
        let much_later = start + Duration::from_secs(3_600);
        let taken = (0..10).filter(|_| bucket.take(RATE, much_later).is_ok()).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn what_is_charged_beyond_the_tokens_is_owed_up_to_a_burst() {
        let start = Instant::now();
        let mut bucket = TokenBucket::full(RATE, start);
        let ms = |bucket: &mut TokenBucket, tokens| bucket.charge(tokens, RATE, start).as_millis();
        assert_eq!((ms(&mut bucket, 3.0), ms(&mut bucket, 1.0), ms(&mut bucket, 1.0)), (0, 500, 1_000));
        assert_eq!(ms(&mut bucket, 1_000.0), 1_500);
        assert!(bucket.take(RATE, start + Duration::from_millis(1_999)).is_err());
        assert!(bucket.take(RATE, start + Duration::from_millis(2_000)).is_ok());
    }
}
