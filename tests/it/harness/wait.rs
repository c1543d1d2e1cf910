//! Waiting for what another thread or process does, on machines of any speed.

use std::thread;
use std::time::{Duration, Instant};

/// No response takes that long, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Short, but long enough for a busy machine to send what a test wants to be in time.
pub const SHORT: Duration = Duration::from_millis(400);

/// Returns once the condition holds; panics if that takes too long.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "{what} did not happen");
        thread::sleep(Duration::from_millis(2));
    }
}
