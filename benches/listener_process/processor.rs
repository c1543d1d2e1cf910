//! Processor time of single threads, and on which processor they run. Linux only.

use std::fs;
use std::mem;
use std::time::Duration;

/// The last thread of this name in this process.
pub fn thread_named(name: &str) -> Option<i32> {
    let tasks = fs::read_dir("/proc/self/task").ok()?.flatten();
    let named = tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
    named.last()?.file_name().to_str()?.parse().ok()
}

/// This thread.
pub fn this_thread() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

/// Processor time that a thread of this process has used.
pub fn time_of(thread: i32) -> Duration {
    // The kernel's name for the processor clock of one thread: CPUCLOCK_SCHED | CPUCLOCK_PERTHREAD.
    let clock = !thread << 3 | 6;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a local that the call fills.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(result, 0, "the thread is there");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Keeps this thread to one processor, and those it starts from now on. With a single one there is nothing to choose.
pub fn pin(processor: usize) {
    pin_thread(0, processor);
}

/// The same for another thread of this process.
pub fn pin_thread(thread: i32, processor: usize) {
    // SAFETY: all-zero is an empty set, and the call only reads it.
    unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(thread, mem::size_of_val(&set), &raw const set);
    }
}

/// Resident memory of this process, in bytes.
pub fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or_default() * 1024
}
