//! Memory that a crowd has left behind goes back to the system. The C library keeps what was freed for later use, which
//! after a flood is more than the house itself needs. Whoever counts a crowd tells `main` of its ebb; `main` has the time
//! to look through the heap.

use std::time::Duration;

use crossbeam_channel::Sender;

use crate::observe::reports::Report;

/// Fewer than these leave nothing worth looking for.
const CROWD: usize = 16;

/// From the latest ebb to the search. Who leaves is counted out while its thread still runs and holds some of the heap,
/// and on a busy machine thousands of such threads take a while to end.
pub const TRIM_DELAY: Duration = Duration::from_secs(2);

/// Watches how many there are of something that takes memory.
#[derive(Debug)]
pub struct HighWater {
    high: usize,
    reports: Sender<Report>,
}

impl HighWater {
    /// Nobody is here yet.
    pub fn new(reports: Sender<Report>) -> HighWater {
        HighWater { high: 0, reports }
    }

    /// So many are here now. When three quarters of the most have left, `main` hears of it.
    pub fn set(&mut self, count: usize) {
        self.high = self.high.max(count);
        if self.high >= CROWD && count <= self.high / 4 {
            self.high = count;
            // Full only if `main` has other worries.
            let _ = self.reports.try_send(Report::LoadDropped);
        }
    }
}

/// Once, before threads are started: whatever is free at the end of a thread's heap goes back as soon as it exceeds a
/// bound. `malloc_trim` leaves such ends alone, and glibc, left alone, raises the bound with the largest block that was
/// ever freed, and keeps small blocks (fast bins) that part an end from all that is free before it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub fn prepare() {
    const FREE_END_BYTES: libc::c_int = 128 * 1024;
    for (name, value) in [(libc::M_TRIM_THRESHOLD, FREE_END_BYTES), (libc::M_MXFAST, 0)] {
        // SAFETY: numbers that these may be (mallopt(3)); nothing is freed or moved.
        if unsafe { libc::mallopt(name, value) } != 1 {
            log::debug!("mallopt({name}, {value}) was refused");
        }
    }
}

/// Other systems' allocators see to it themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn prepare() {}

/// Gives back what has been freed. Takes some milliseconds and holds up allocations meanwhile, a heap at a time.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub fn trim() {
    // SAFETY: no arguments that could be wrong; it may be called at any time from any thread (malloc_trim(3)).
    let released = unsafe { libc::malloc_trim(0) } == 1;
    log::debug!("memory was {}given back", if released { "" } else { "not " });
}

/// Other systems' allocators see to it themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ebb_is_told_once_and_only_after_a_crowd() {
        let (report, reports) = crossbeam_channel::bounded(8);
        let mut high_water = HighWater::new(report);
        for count in [0, 10, 0, 15, 0] {
            high_water.set(count);
        }
        assert!(reports.is_empty());
        for count in [1_000, 251, 250, 249, 200, 62, 61, 20] {
            high_water.set(count);
        }
        let told: Vec<_> = reports.try_iter().collect();
        assert_eq!(told, [Report::LoadDropped, Report::LoadDropped], "at 250 and at 62");
    }
}
