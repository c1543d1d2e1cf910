pub mod http_client;
#[cfg(target_os = "linux")]
pub mod listener;
#[cfg(target_os = "linux")]
pub mod program;
pub mod server;
#[allow(dead_code, reason = "the bench uses all of it")]
pub mod simulated_device;
#[cfg(target_os = "linux")]
pub mod sound_server;
#[cfg(target_os = "linux")]
pub mod timestamps;
pub mod virtual_world;
pub mod wait;
