//! How much the system lets this process have at a time: open files and sockets, and threads that sleep. The one place of
//! `web` with system calls of its own: there is no safe way to these in the standard library.

use std::io;

/// Raises the soft limit to the hard one, for the whole process; 2,000 visitors do not fit into the usual 1,024. Returns
/// the limit that now holds.
///
/// # Errors
/// What the system said; the old limit holds then.
#[cfg(unix)]
pub fn raise_limit() -> io::Result<u64> {
    let mut limit = read()?;
    // macOS reports "unlimited" but takes no more than OPEN_MAX.
    let most = if cfg!(target_os = "macos") { limit.rlim_max.min(10_240) } else { limit.rlim_max };
    if limit.rlim_cur < most {
        limit.rlim_cur = most;
        // SAFETY: the pointer is to a whole rlimit that outlives the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// The soft limit, if there is one.
#[cfg(unix)]
pub fn limit() -> Option<u64> {
    read().ok().map(|limit| limit.rlim_cur)
}

#[cfg(unix)]
fn read() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a whole rlimit that outlives the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0 {
        Ok(limit)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// There is no such limit here.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn raise_limit() -> io::Result<u64> {
    Ok(u64::MAX)
}

/// There is no such limit here.
#[cfg(not(unix))]
pub fn limit() -> Option<u64> {
    None
}

/// Makes waking one of many threads cheap. Since Linux 6.16 a process has a table of its own for sleeping threads, with
/// four places per processor; of 10,000 sleepers on two processors more than a thousand share one, and each wake-up
/// goes through them all. On older kernels this does nothing and need not.
///
/// # Errors
/// What the system said; all goes on as it was then.
#[cfg(target_os = "linux")]
pub fn enlarge_futex_hash() -> io::Result<()> {
    /// From linux/prctl.h; the libc crate does not have them yet.
    const PR_FUTEX_HASH: libc::c_int = 78;
    const PR_FUTEX_HASH_SET_SLOTS: libc::c_ulong = 1;
    /// 64 bytes each, in the kernel.
    const SLOTS: libc::c_ulong = 4096;
    // SAFETY: no pointers are passed.
    let done = unsafe { libc::prctl(PR_FUTEX_HASH, PR_FUTEX_HASH_SET_SLOTS, SLOTS, 0 as libc::c_ulong) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// There is no such table here.
///
/// # Errors
/// Never.
#[cfg(not(target_os = "linux"))]
pub fn enlarge_futex_hash() -> io::Result<()> {
    Ok(())
}

/// Gives the system back what this thread's stack has used deeper down than now: a TLS handshake needs some 30 KiB, and
/// a thread that then sleeps for hours would keep them.
#[cfg(target_os = "linux")]
#[inline(never)]
pub fn release_stack() {
    let here = 0_u8;
    let here = std::ptr::from_ref(&here) as usize;
    let mut low = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the attributes are filled in by the first call, if it succeeds, and not used after the last one. A zeroed
    // pthread_attr_t is plain memory to be written over.
    let known = unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) == 0 && {
            let known = libc::pthread_attr_getstack(&attributes, &mut low, &mut size) == 0;
            libc::pthread_attr_destroy(&mut attributes);
            known
        }
    };
    // SAFETY: asks for a number.
    let Ok(page) = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) else { return };
    // Stacks grow down on every system of Linux that we know. A page is left for what this function itself may need.
    let end = (here / page).saturating_sub(1) * page;
    let begin = (low as usize).next_multiple_of(page);
    if known && begin < end && end < low as usize + size {
        // SAFETY: whole pages between the end of this thread's own stack and its present depth: nobody's memory now. They
        // read as zeros if the stack grows there again.
        unsafe { libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_DONTNEED) };
    }
}

/// Nothing of the kind is done here.
#[cfg(not(target_os = "linux"))]
pub fn release_stack() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[inline(never)]
    fn deep(kilobytes: usize) -> u64 {
        let block = std::hint::black_box([kilobytes as u8; 1024]);
        let below = if kilobytes == 0 { 0 } else { deep(kilobytes - 1) };
        below + u64::from(std::hint::black_box(block)[1023])
    }

    #[test]
    fn a_stack_is_as_good_as_before_after_it_was_released() {
        let thread = std::thread::Builder::new().stack_size(1024 * 1024).spawn(|| {
            let (kept, before) = (std::hint::black_box([7_u8; 4096]), deep(100));
            release_stack();
            assert_eq!((kept, deep(100)), ([7; 4096], before));
        });
        thread.unwrap().join().unwrap();
    }
}
