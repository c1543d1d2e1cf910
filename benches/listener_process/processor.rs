//! Processor time of single threads of this process, and on which processor they run. Linux only.

use std::mem;
use std::time::Duration;

/// The calling thread.
pub fn this_thread() -> i32 {
    // SAFETY: takes no argument and cannot fail.
    unsafe { libc::gettid() }
}

/// Processor time that a thread of this process has used.
pub fn time_of(thread: i32) -> Duration {
    // The kernel's number for the processor clock of one thread: CPUCLOCK_SCHED | CPUCLOCK_PERTHREAD.
    let clock = !thread << 3 | 6;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a local variable that the call fills.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(result, 0, "the thread exists");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Keeps a thread of this process, and those it starts from now on, to one processor. Does nothing if there is no such
/// processor.
pub fn pin(thread: i32, processor: usize) {
    // SAFETY: all-zero is an empty set, and the call only reads it.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(thread, mem::size_of_val(&set), &raw const set);
    }
}
