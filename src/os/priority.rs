//! Thread priorities: the threads that sound passes through are raised above all others, those that serve pages are lowered.
//! The only file with these system calls; each function acts on the thread that calls it.
//!
//! All raised threads share one real-time priority (`SCHED_RR`), on purpose: sound is passed on through queues that are
//! short loops of atomic operations, and a thread that displaced another one in the middle of such a loop would wait for it
//! in vain. Where the system does not permit real time, a negative nice value is tried; where it does not permit that
//! either, one warning says what to grant. Nothing here is called from an audio callback. On other systems than Linux
//! nothing is done: Windows and macOS raise the threads of their audio callbacks by themselves.

#[cfg(target_os = "linux")]
pub use linux::{lower, raise, raise_threads_started_by};

/// Nothing is raised on this system.
#[cfg(not(target_os = "linux"))]
pub fn raise() {}

/// Runs `start`; nothing is raised on this system.
#[cfg(not(target_os = "linux"))]
pub fn raise_threads_started_by<T>(start: impl FnOnce() -> T) -> T {
    start()
}

/// Nothing is lowered on this system.
#[cfg(not(target_os = "linux"))]
pub fn lower() {}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod linux {
    use std::io;
    use std::sync::{Once, OnceLock};

    use libc::{c_int, c_void, siginfo_t};

    /// Of 1 to 99: above all ordinary threads, below other real-time threads such as sound servers and the kernel's own.
    const REAL_TIME: c_int = 10;
    /// Used where real time is not permitted: nine times the share of an ordinary thread.
    const RAISED_NICE: c_int = -10;
    /// Added to the nice value of lowered threads: a third of the share of an ordinary thread.
    const LOWERED_BY: c_int = 5;
    /// A raised thread that runs for this long without once going to sleep is caught in a loop or overloaded. On one core
    /// no other thread would run; the kernel's own limit applies after 950 ms of each second, and may be switched off
    /// (`/proc/sys/kernel/sched_rt_runtime_us`).
    const LONGEST_RUN_US: libc::rlim_t = 500_000;

    /// Raises the calling thread, but not the threads that it starts.
    pub fn raise() {
        raise_with(libc::SCHED_RESET_ON_FORK);
    }

    /// Runs `start`; the threads that it starts are raised, and the calling thread only meanwhile. For threads that a library
    /// starts.
    pub fn raise_threads_started_by<T>(start: impl FnOnce() -> T) -> T {
        let nice = nice();
        raise_with(0);
        let started = start();
        // Neither can fail: lowering a priority needs no permission.
        let _ = schedule(libc::SCHED_OTHER, 0);
        let _ = set_nice(nice);
        started
    }

    /// Lowers the calling thread and those that it starts. Only a permitted process could raise it again.
    pub fn lower() {
        if let Err(error) = set_nice(nice() + LOWERED_BY) {
            log::debug!("priority: a thread was not lowered: {error}");
        }
    }

    fn raise_with(flags: c_int) {
        static IS_LIMITED: OnceLock<bool> = OnceLock::new();
        static WARNING: Once = Once::new();
        // No real time without the limit: a thread in a loop would stop a machine with one core.
        let is_limited = *IS_LIMITED.get_or_init(|| limit_real_time().is_ok());
        if is_limited && schedule(libc::SCHED_RR | flags, REAL_TIME).is_ok() {
            return;
        }
        // The flag alone needs no permission.
        let _ = schedule(libc::SCHED_OTHER | flags, 0);
        if let Err(error) = set_nice(RAISED_NICE) {
            WARNING.call_once(|| {
                log::warn!(
                    "Real-time priority for sound is not permitted ({error}): on a busy machine there may be gaps. To permit it: \
                     LimitRTPRIO={REAL_TIME} in the systemd unit, or sudo setcap cap_sys_nice+ep on the program."
                );
            });
        }
    }

    /// The raw call, because musl's function of this name refuses, and because a signal handler may make it.
    fn schedule(policy: c_int, priority: c_int) -> io::Result<()> {
        // SAFETY: all-zero is a valid sched_param; some C libraries have reserved fields in it.
        let mut parameter: libc::sched_param = unsafe { std::mem::zeroed() };
        parameter.sched_priority = priority;
        // SAFETY: 0 is the calling thread, and the kernel reads the one int that the parameter begins with.
        done(unsafe { libc::syscall(libc::SYS_sched_setscheduler, 0, policy, &raw const parameter) } == 0)
    }

    fn nice() -> c_int {
        // SAFETY: returns a number. 0 is the calling thread, which exists.
        unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
    }

    /// Of the calling thread alone: on Linux each has its own, whatever POSIX says (setpriority(2)).
    fn set_nice(nice: c_int) -> io::Result<()> {
        // SAFETY: numbers only.
        done(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice.min(19)) } == 0)
    }

    fn done(is_done: bool) -> io::Result<()> {
        if is_done { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// For the whole process: a thread that runs for too long gets SIGXCPU (getrlimit(2), RLIMIT_RTTIME), which without a
    /// handler would end the process.
    fn limit_real_time() -> io::Result<()> {
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = make_ordinary;
        // SAFETY: all-zero is an empty mask; the handler makes system calls only and lives as long as the program. The
        // limit is a whole rlimit that outlives the calls.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as libc::sighandler_t;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
            done(libc::sigaction(libc::SIGXCPU, &raw const action, std::ptr::null_mut()) == 0)?;
            let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            done(libc::getrlimit(libc::RLIMIT_RTTIME, &raw mut limit) == 0)?;
            limit.rlim_cur = limit.rlim_max.min(LONGEST_RUN_US);
            done(libc::setrlimit(libc::RLIMIT_RTTIME, &raw const limit) == 0)
        }
    }

    /// Runs on the thread that has run for too long, which is an ordinary thread from now on.
    extern "C" fn make_ordinary(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
        const NOTICE: &[u8] =
            b"roomtone: a thread ran for half a second without a pause and is no longer a real-time thread\n";
        // SAFETY: all calls are permitted in a signal handler (signal-safety(7)); errno belongs to the code that was
        // interrupted and is restored.
        unsafe {
            let errno = libc::__errno_location();
            let before = *errno;
            // Nothing else can be done about a failure here.
            let _ = schedule(libc::SCHED_OTHER, 0);
            // The log cannot be used in a signal handler. A full pipe or a stopped terminal must not block this thread, on
            // which sound depends: then the notice is left out.
            let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
            if libc::poll(&raw mut stderr, 1, 0) == 1 && stderr.revents & libc::POLLOUT != 0 {
                libc::write(libc::STDERR_FILENO, NOTICE.as_ptr().cast(), NOTICE.len());
            }
            *errno = before;
        }
    }

    #[cfg(test)]
    mod tests {
        use std::thread;
        use std::time::{Duration, Instant};

        use super::*;

        /// Policy and nice value of the calling thread.
        fn rank() -> (c_int, c_int) {
            // SAFETY: returns a number.
            (unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK, nice())
        }

        fn on_a_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
            thread::scope(|scope| scope.spawn(run).join().unwrap())
        }

        #[test]
        fn threads_started_by_a_raised_thread_are_ordinary() {
            let before = rank();
            on_a_thread(|| {
                raise();
                assert_eq!(on_a_thread(rank), before);
            });
            assert_eq!(rank(), before);
        }

        #[test]
        fn threads_of_a_library_are_raised_and_the_caller_only_meanwhile() {
            on_a_thread(|| {
                let before = rank();
                let (own, theirs) = raise_threads_started_by(|| (rank(), on_a_thread(rank)));
                assert_eq!(own, theirs, "inherited");
                assert_eq!(rank(), before);
                assert_eq!(on_a_thread(rank), before);
            });
        }

        #[test]
        fn a_lowered_thread_lowers_itself_and_the_threads_it_starts() {
            let before = nice();
            on_a_thread(|| {
                lower();
                assert_eq!(nice(), (before + LOWERED_BY).min(19));
                assert_eq!(on_a_thread(nice), nice());
            });
            assert_eq!(nice(), before);
        }

        #[test]
        fn a_raised_thread_that_never_sleeps_becomes_an_ordinary_one() {
            on_a_thread(|| {
                raise();
                if rank().0 != libc::SCHED_RR {
                    return println!("real time is not permitted here");
                }
                let started = Instant::now();
                while rank().0 == libc::SCHED_RR {
                    assert!(started.elapsed() < Duration::from_secs(20), "the thread is still a real-time thread");
                }
            });
        }
    }
}
