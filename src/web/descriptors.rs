//! How many sockets and files this process may have open. The one place of `web` with system calls of its own: there is
//! no safe way to these two in the standard library.

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
