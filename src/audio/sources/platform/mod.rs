//! The capture devices of each operating system, behind the same functions.

#[cfg(not(target_os = "linux"))]
pub(super) mod cpal_hosts;
#[cfg(target_os = "linux")]
pub(super) mod linux;
