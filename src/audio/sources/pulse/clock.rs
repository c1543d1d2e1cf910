//! When a sample was captured: a linear function from positions in a record stream to time, corrected by the latency
//! that the server reports. Pure: positions and times are arguments. The stream's thread uses it.

/// A larger difference between measurement and expectation means that the source was suspended or sound was lost: the
/// measurement is taken as it is. A smaller difference is mostly noise of the measurement and is smoothed.
const STEP_NANOS: i64 = 5_000_000;

/// A small difference is divided by this for each correction. There is one measurement a second, and the clocks of
/// sound cards differ from ours by about 20 µs in a second, so a quarter is enough to follow them.
const SMOOTHING: i64 = 4;

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct CaptureClock {
    bytes_per_second: u64,
    /// The latest known point; none before the first measurement.
    anchor: Option<Anchor>,
}

#[derive(Clone, Copy, Debug)]
struct Anchor {
    position_bytes: u64,
    captured_nanos: i64,
}

impl CaptureClock {
    pub(crate) fn new(bytes_per_second: u64) -> CaptureClock {
        CaptureClock { bytes_per_second: bytes_per_second.max(1), anchor: None }
    }

    /// How long the sound in `bytes` bytes lasts.
    pub(crate) fn nanos_of(&self, bytes: u64) -> i64 {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(self.bytes_per_second);
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }

    /// When the byte at `position_bytes` was captured; `None` if that is unknown.
    pub(crate) fn captured_nanos(&self, position_bytes: u64) -> Option<i64> {
        let anchor = self.anchor?;
        Some(anchor.captured_nanos.saturating_add(self.nanos_of(position_bytes.saturating_sub(anchor.position_bytes))))
    }

    /// The server reported that the byte at `position_bytes` was captured at `captured_nanos`. Positions never
    /// decrease.
    pub(crate) fn correct(&mut self, position_bytes: u64, captured_nanos: i64) {
        let captured_nanos = match self.captured_nanos(position_bytes) {
            Some(expected) if (captured_nanos - expected).abs() <= STEP_NANOS => {
                expected + (captured_nanos - expected) / SMOOTHING
            }
            _ => captured_nanos,
        };
        self.anchor = Some(Anchor { position_bytes, captured_nanos });
    }

    /// Sound was missing: earlier measurements say nothing about what follows.
    pub(crate) fn forget(&mut self) {
        self.anchor = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_PER_SECOND: u64 = 48_000 * 8;

    #[test]
    fn time_advances_with_samples_between_two_measurements() {
        let mut clock = CaptureClock::new(BYTES_PER_SECOND);
        assert_eq!(clock.captured_nanos(0), None);
        clock.correct(3_840, 7_000_000);
        assert_eq!(clock.captured_nanos(3_840), Some(7_000_000));
        assert_eq!(clock.captured_nanos(7_680), Some(17_000_000));
    }

    #[test]
    fn a_small_difference_is_smoothed_and_a_large_one_is_taken_as_it_is() {
        let mut clock = CaptureClock::new(BYTES_PER_SECOND);
        clock.correct(0, 0);
        clock.correct(BYTES_PER_SECOND, 1_000_400_000);
        assert_eq!(clock.captured_nanos(BYTES_PER_SECOND), Some(1_000_100_000));
        clock.correct(2 * BYTES_PER_SECOND, 5_000_000_000);
        assert_eq!(clock.captured_nanos(2 * BYTES_PER_SECOND), Some(5_000_000_000));
    }

    #[test]
    fn after_a_gap_the_capture_time_is_unknown() {
        let mut clock = CaptureClock::new(BYTES_PER_SECOND);
        clock.correct(0, 0);
        clock.forget();
        assert_eq!(clock.captured_nanos(100), None);
    }
}
