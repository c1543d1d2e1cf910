//! Everything that is tested from outside, in one binary.

#[cfg(target_os = "linux")]
mod pulse;
#[cfg(target_os = "linux")]
mod sound_server;
