//! Who goes first when the processor is short: the threads that sound passes through before all others, those that serve
//! pages after them. The one file with these system calls; each function speaks of the thread that calls it.
//!
//! What is raised shares one real-time priority (`SCHED_RR`), on purpose: sound is handed on through queues that are short
//! loops of atomic operations, and a thread that cut in on another one in the midst of it would wait for it in vain. Where
//! the system does not permit that, a negative nice value is tried; where not even that, a single warning says what to
//! grant. Nothing here is called from an audio callback. Other systems than Linux are left as they are: Windows and macOS
//! give the threads of their audio callbacks precedence by themselves.

#[cfg(target_os = "linux")]
pub use linux::{lower, raise, raise_threads_started_by};

/// Nothing is raised on this system.
#[cfg(not(target_os = "linux"))]
pub fn raise() {}

/// Nothing is raised on this system; `start` is run.
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

    /// Of 1 to 99: before all that is ordinary, behind what else is in a hurry, as sound servers and the kernel's own.
    const REAL_TIME: c_int = 10;
    /// Where real time is not permitted: nine times the share of an ordinary thread.
    const RAISED_NICE: c_int = -10;
    /// How much nicer those are that can wait: a third of the share of an ordinary thread.
    const LOWERED_BY: c_int = 5;
    /// Whoever is raised and runs for so long without once going to sleep is caught in a loop or has more to do than there
    /// is time for. On one core nobody else would run; the kernel's own stop comes after 950 ms of each second, and may be
    /// switched off (`/proc/sys/kernel/sched_rt_runtime_us`).
    const LONGEST_RUN_US: libc::rlim_t = 500_000;

    /// Raises the calling thread, but none that it starts.
    pub fn raise() {
        raise_with(libc::SCHED_RESET_ON_FORK);
    }

    /// Runs `start`; the threads that it starts are raised, and the calling one only meanwhile. For threads of others.
    pub fn raise_threads_started_by<T>(start: impl FnOnce() -> T) -> T {
        let nice = nice();
        raise_with(0);
        let started = start();
        // Neither can fail: what is given up needs no permission.
        let _ = schedule(libc::SCHED_OTHER, 0);
        let _ = set_nice(nice);
        started
    }

    /// Lets others go before the calling thread, and before those that it starts. There is no way back without permission.
    pub fn lower() {
        if let Err(error) = set_nice(nice() + LOWERED_BY) {
            log::debug!("a thread keeps its priority: {error}");
        }
    }

    fn raise_with(flags: c_int) {
        static NET: OnceLock<bool> = OnceLock::new();
        static WARNING: Once = Once::new();
        // Without a net nobody walks the rope.
        let is_safe = *NET.get_or_init(|| spread_net().is_ok());
        if is_safe && schedule(libc::SCHED_RR | flags, REAL_TIME).is_ok() {
            return;
        }
        // The flag alone needs no permission.
        let _ = schedule(libc::SCHED_OTHER | flags, 0);
        if let Err(error) = set_nice(RAISED_NICE) {
            WARNING.call_once(|| {
                log::warn!(
                    "Sound has no precedence here ({error}); when the machine is busy, there may be gaps. To grant it: \
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
        // SAFETY: asks for a number. 0 is the calling thread, which is there.
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

    /// For the whole process: who runs for too long is told so by SIGXCPU (getrlimit(2), RLIMIT_RTTIME), which would end
    /// the process if nobody minded it.
    fn spread_net() -> io::Result<()> {
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = step_back;
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

    /// On the thread that has run for too long, which is ordinary from now on.
    extern "C" fn step_back(_: c_int, _: *mut siginfo_t, _: *mut c_void) {
        const TOLD: &[u8] =
            b"roomtone: a thread ran for half a second without a pause and has no precedence any more\n";
        // SAFETY: both calls are allowed here (signal-safety(7)); the word about the error belongs to whoever is
        // interrupted and is put back.
        unsafe {
            let errno = libc::__errno_location();
            let before = *errno;
            // Nothing else can be done about a failure here.
            let _ = schedule(libc::SCHED_OTHER, 0);
            libc::write(libc::STDERR_FILENO, TOLD.as_ptr().cast(), TOLD.len());
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
            // SAFETY: asks for a number.
            (unsafe { libc::sched_getscheduler(0) } & !libc::SCHED_RESET_ON_FORK, nice())
        }

        fn apart<T: Send>(run: impl FnOnce() -> T + Send) -> T {
            thread::scope(|scope| scope.spawn(run).join().unwrap())
        }

        #[test]
        fn a_raised_thread_raises_none_that_it_starts() {
            let before = rank();
            apart(|| {
                raise();
                assert_eq!(apart(rank), before);
            });
            assert_eq!(rank(), before);
        }

        #[test]
        fn what_others_start_is_raised_and_whoever_asks_only_meanwhile() {
            apart(|| {
                let before = rank();
                let (own, theirs) = raise_threads_started_by(|| (rank(), apart(rank)));
                assert_eq!(own, theirs, "inherited");
                assert_eq!(rank(), before);
                assert_eq!(apart(rank), before);
            });
        }

        #[test]
        fn a_lowered_thread_lowers_itself_and_what_it_starts() {
            let before = nice();
            apart(|| {
                lower();
                assert_eq!(nice(), (before + LOWERED_BY).min(19));
                assert_eq!(apart(nice), nice());
            });
            assert_eq!(nice(), before);
        }

        #[test]
        fn a_raised_thread_that_never_sleeps_becomes_an_ordinary_one() {
            apart(|| {
                raise();
                if rank().0 != libc::SCHED_RR {
                    return println!("real time is not permitted here");
                }
                let begun = Instant::now();
                while rank().0 == libc::SCHED_RR {
                    assert!(begun.elapsed() < Duration::from_secs(20), "it goes on and on");
                }
            });
        }
    }
}
