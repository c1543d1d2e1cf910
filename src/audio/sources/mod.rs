//! Where sound comes from.

#[cfg(target_os = "linux")]
mod alsa;
pub mod capture;
pub mod device;
#[cfg(target_os = "linux")]
pub mod pulse;
pub mod tone;
