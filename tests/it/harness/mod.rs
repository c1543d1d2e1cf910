//! What tests start, simulate and connect with. Benches use `media` too.

pub mod http_client;
#[cfg(target_os = "linux")]
pub mod listener;
#[cfg(target_os = "linux")]
pub mod loopback_client;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "tests over real sockets run on Linux only"))]
pub mod media;
#[cfg(target_os = "linux")]
pub mod program;
pub mod random;
pub mod room_peer;
pub mod rtc_engine;
pub mod server;
#[cfg(target_os = "linux")]
pub mod sound_server;
pub mod virtual_network;
pub mod wait;
