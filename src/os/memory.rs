//! Returns freed memory to the system after a peak of load. The C library keeps freed memory for later use, and after a
//! flood of clients that is more than the program itself needs. The threads that count connections or sessions report the
//! drop to `main` ([`HighWater`]); `main` trims the heap ([`trim`]), because that takes milliseconds. Nothing here allocates
//! or decides about clients.

use std::time::Duration;

use crossbeam_channel::Sender;

use crate::observe::reports::Report;

/// A peak below this leaves too little memory to look for.
const MIN_PEAK: usize = 16;

/// From the latest drop to the trim. A client is counted as gone while its thread still runs and holds some of the heap,
/// and on a busy machine thousands of such threads take a while to end.
pub const TRIM_DELAY: Duration = Duration::from_secs(2);

/// The highest count, since the last drop, of something that takes memory: connections, sessions.
#[derive(Debug)]
pub struct HighWater {
    peak: usize,
    reports: Sender<Report>,
}

impl HighWater {
    /// Starts at a count of 0.
    pub fn new(reports: Sender<Report>) -> HighWater {
        HighWater { peak: 0, reports }
    }

    /// Sets the present count. When it has fallen to half of the peak, [`Report::LoadDropped`] is sent.
    pub fn set(&mut self, count: usize) {
        self.peak = self.peak.max(count);
        if self.peak >= MIN_PEAK && count <= self.peak / 2 {
            self.peak = count;
            // Full only if `main` is already busy with other reports, which end the process.
            let _ = self.reports.try_send(Report::LoadDropped);
        }
    }
}

/// Called once, before threads are started. Fixes the size above which glibc returns the free end of a thread's heap at
/// once. `malloc_trim` does not touch such ends; by default glibc raises that size with the largest block that was ever
/// freed, and keeps small blocks (fast bins) that separate an end from the free memory before it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub fn prepare() {
    const FREE_END_BYTES: libc::c_int = 128 * 1024;
    for (name, value) in [(libc::M_TRIM_THRESHOLD, FREE_END_BYTES), (libc::M_MXFAST, 0)] {
        // SAFETY: values that mallopt(3) permits; nothing is freed or moved.
        if unsafe { libc::mallopt(name, value) } != 1 {
            log::debug!("mallopt({name}, {value}) was refused");
        }
    }
}

/// Does nothing here: other allocators return memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn prepare() {}

/// Returns freed memory to the system. Takes some milliseconds; allocations in the heap being trimmed wait meanwhile.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
pub fn trim() {
    // SAFETY: may be called at any time from any thread, and every argument is valid (malloc_trim(3)).
    let released = unsafe { libc::malloc_trim(0) } == 1;
    log::debug!("memory: {}", if released { "freed pages returned" } else { "no freed pages to return" });
}

/// Does nothing here: other allocators return memory by themselves.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_is_reported_once_and_only_after_a_peak() {
        let (report, reports) = crossbeam_channel::bounded(8);
        let mut high_water = HighWater::new(report);
        for count in [0, 10, 0, 15, 0] {
            high_water.set(count);
        }
        assert!(reports.is_empty());
        for count in [1_000, 501, 500, 499, 300, 250, 249, 200] {
            high_water.set(count);
        }
        let reported: Vec<_> = reports.try_iter().collect();
        assert_eq!(reported, [Report::LoadDropped, Report::LoadDropped], "at 500 and at 250");
    }
}
