//! What time it is for tokens that expire, when the system's clock may be set while the server runs. A token that has expired
//! stays expired when the clock is set back. Pure: the clocks' readings are arguments.

use std::time::{Instant, SystemTime};

/// 2026-01-01, in seconds since 1970. This program is younger, so a clock before that has not been set: a small computer
/// without a battery starts in 1970 and gets the time from the network later.
pub const CLOCK_SET_SINCE_S: u64 = 1_767_225_600;

/// The time as it should be: the system's clock when it was first seen to be set, and what has passed since then.
#[derive(Clone, Copy, Debug)]
pub struct TokenClock {
    seen: Instant,
    seen_s: u64,
}

impl TokenClock {
    /// As of these readings of the monotonic clock and of the system's clock.
    pub fn new(now: Instant, wall: SystemTime) -> TokenClock {
        TokenClock { seen: now, seen_s: seconds(wall) }
    }

    /// Seconds since 1970: what the system's clock shows, or, if it was set back, what it would show had it not been. A clock that
    /// was ahead for a while may be corrected: only what has passed counts.
    pub fn now_s(&mut self, now: Instant, wall: SystemTime) -> u64 {
        if self.seen_s < CLOCK_SET_SINCE_S {
            *self = TokenClock::new(now, wall);
        }
        let passed = now.saturating_duration_since(self.seen);
        seconds(wall).max(self.seen_s.saturating_add(passed.as_secs()))
    }
}

/// Seconds since 1970; a clock before that shows 1970.
pub fn seconds(wall: SystemTime) -> u64 {
    wall.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(s: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(s)
    }

    const SET_S: u64 = CLOCK_SET_SINCE_S + 1_000;

    #[test]
    fn time_follows_the_clock_forwards_and_is_not_set_back() {
        let seen = Instant::now();
        let mut clock = TokenClock::new(seen, at(SET_S));
        let now = seen + Duration::from_secs(60);
        for (wall_s, shown_s) in [(60, 60), (50, 60), (9_000, 9_000), (61, 61)] {
            assert_eq!(clock.now_s(now, at(SET_S + wall_s)), SET_S + shown_s, "{wall_s}");
        }
        assert_eq!(clock.now_s(now, at(0)), SET_S + 60);
    }

    #[test]
    fn a_clock_that_is_set_after_the_start_counts_from_then() {
        let started = Instant::now();
        let after = |s| started + Duration::from_secs(s);
        let before_1970 = SystemTime::UNIX_EPOCH - Duration::from_secs(5);
        let mut clock = TokenClock::new(started, before_1970);
        assert_eq!(clock.now_s(after(5), at(3)), 3);
        assert_eq!(clock.now_s(after(6), at(SET_S)), SET_S);
        assert_eq!(clock.now_s(after(106), at(SET_S - 50)), SET_S + 100);
    }
}
