//! Everything that is tested from outside, as one binary with one harness.

#[cfg(target_os = "linux")]
mod access;
#[cfg(target_os = "linux")]
mod bustle;
#[cfg(target_os = "linux")]
mod ear;
mod fuzz;
mod http;
mod layers;
#[cfg(target_os = "linux")]
mod loss;
#[cfg(target_os = "linux")]
mod minimal;
#[cfg(target_os = "linux")]
mod program;
#[cfg(target_os = "linux")]
mod pulse;
mod rooms;
#[cfg(target_os = "linux")]
mod siege;
#[allow(dead_code, reason = "the bench uses all of it")]
mod simulated;
#[cfg(target_os = "linux")]
mod sound_server;
#[cfg(target_os = "linux")]
mod stamps;
#[cfg(target_os = "linux")]
mod station;
#[cfg(target_os = "linux")]
mod threads;
mod tls;
mod virtual_malice;
mod virtual_rooms;
mod virtual_sealing;
mod virtual_time;
mod virtual_world;
mod whep;
