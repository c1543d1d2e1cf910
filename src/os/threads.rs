//! What a process with thousands of sleeping threads asks of Linux: a larger futex hash, and stacks that shrink. System
//! calls, for which the standard library has no safe function. On other systems the functions do nothing.

use std::io;

/// Makes it cheap to wake one of many threads. Since Linux 6.16 each process has a futex hash of its own, with four slots
/// per processor: of 10,000 sleeping threads on two processors more than a thousand share a slot, and each wake-up walks
/// through all of them. On older kernels this does nothing and is not needed.
///
/// # Errors
/// The operating system's; the process works on, with slower wake-ups.
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

/// This system has no futex hash.
///
/// # Errors
/// Never.
#[cfg(not(target_os = "linux"))]
pub fn enlarge_futex_hash() -> io::Result<()> {
    Ok(())
}

/// Returns to the system the part of the calling thread's stack that deeper calls have used: a TLS handshake needs about
/// 30 KiB, and a thread that then sleeps for hours would keep them.
#[cfg(target_os = "linux")]
#[inline(never)]
pub fn release_stack() {
    let here = 0_u8;
    let here = std::ptr::from_ref(&here) as usize;
    let mut low = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the attributes are filled in by the first call, if it succeeds, and not used after the last one. A zeroed
    // pthread_attr_t is plain memory to be written over.
    let is_known = unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) == 0 && {
            let is_known = libc::pthread_attr_getstack(&attributes, &mut low, &mut size) == 0;
            libc::pthread_attr_destroy(&mut attributes);
            is_known
        }
    };
    // SAFETY: returns a number.
    let Ok(page) = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }) else { return };
    // Stacks grow down on every architecture of Linux that we support. One page is left for this function's own calls.
    let end = (here / page).saturating_sub(1) * page;
    let begin = (low as usize).next_multiple_of(page);
    if is_known && begin < end && end < low as usize + size {
        // SAFETY: whole pages between the end of this thread's own stack and its present depth, which nothing uses now. They
        // read as zeros if the stack grows there again.
        unsafe { libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_DONTNEED) };
    }
}

/// Does nothing on this system.
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
    fn a_thread_works_on_after_its_stack_was_released() {
        let thread = std::thread::Builder::new().stack_size(1024 * 1024).spawn(|| {
            let (kept, before) = (std::hint::black_box([7_u8; 4096]), deep(100));
            release_stack();
            assert_eq!((kept, deep(100)), ([7; 4096], before));
        });
        thread.unwrap().join().unwrap();
    }
}
