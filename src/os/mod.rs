//! The operating system: what the standard library has no safe call for, and the folder for state.

pub mod file_limits;
pub mod memory;
pub mod nss;
pub mod priority;
pub mod sd_notify;
pub mod secret_file;
pub mod state_dir;
pub mod threads;
