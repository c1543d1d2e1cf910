//! The limit of open files and sockets of this process. System calls, for which the standard library has no safe function.
//! It raises the limit once; what is done when the limit is reached is decided where connections are accepted.

use std::io;

/// Raises the soft limit to the hard one for the whole process, as 2,000 clients do not fit into the usual 1,024. Returns
/// the limit that now holds.
///
/// # Errors
/// The operating system's; the old limit holds then.
#[cfg(unix)]
pub fn raise_limit() -> io::Result<u64> {
    let mut limit = read()?;
    // macOS reports "unlimited" but takes no more than OPEN_MAX.
    let highest = if cfg!(target_os = "macos") { limit.rlim_max.min(10_240) } else { limit.rlim_max };
    if limit.rlim_cur < highest {
        limit.rlim_cur = highest;
        // SAFETY: the pointer is to a whole rlimit that outlives the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// The soft limit; None where there is none.
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

/// This system has no such limit.
///
/// # Errors
/// Never.
#[cfg(not(unix))]
pub fn raise_limit() -> io::Result<u64> {
    Ok(u64::MAX)
}

/// This system has no such limit.
#[cfg(not(unix))]
pub fn limit() -> Option<u64> {
    None
}
