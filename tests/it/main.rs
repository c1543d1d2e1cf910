//! Everything that is tested from outside, as one binary with one harness.

mod http;
mod layers;
#[cfg(target_os = "linux")]
mod pulse;
mod simulated;
#[cfg(target_os = "linux")]
mod sound_server;
mod virtual_time;
mod whep;
