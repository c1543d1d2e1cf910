//! Where sound comes from.

#[cfg(target_os = "linux")]
mod alsa;
pub mod capture;
mod capture_callbacks;
mod capture_event;
pub mod device;
mod device_choice;
mod device_entry;
pub mod openings;
mod platform;
#[cfg(target_os = "linux")]
pub mod pulse;
mod stream_config;
pub mod tone;
