//! Everything that is tested from outside, as one binary with one harness.

#[cfg(target_os = "linux")]
mod access;
#[cfg(target_os = "linux")]
mod app;
mod architecture;
#[cfg(target_os = "linux")]
mod audio;
#[cfg(target_os = "linux")]
mod deploy;
mod fuzz;
mod harness;
#[cfg(target_os = "linux")]
mod observe;
mod rtc;
mod signal;
#[cfg(target_os = "linux")]
mod station;
#[cfg(target_os = "linux")]
mod stress;
mod web;
