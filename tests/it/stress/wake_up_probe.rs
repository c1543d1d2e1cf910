//! A thread with the priority of the station's threads that only sleeps: how late it wakes up is the delay that the machine
//! causes by itself, for example because it is rented and shared.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub struct WakeUpProbe {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl WakeUpProbe {
    pub fn start() -> WakeUpProbe {
        let stopping = Arc::<AtomicBool>::default();
        let stop = stopping.clone();
        let thread = thread::spawn(move || {
            roomtone::os::priority::raise();
            let mut max_delay = Duration::ZERO;
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                thread::sleep(Duration::from_millis(1));
                max_delay = max_delay.max(begun.elapsed().saturating_sub(Duration::from_millis(1)));
            }
            max_delay
        });
        WakeUpProbe { stopping, thread }
    }

    /// Ends the thread. Returns the longest delay.
    pub fn stop(self) -> Duration {
        self.stopping.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
