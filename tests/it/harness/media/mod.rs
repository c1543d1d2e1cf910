//! The two ends of the media path, for tests and benches: the device that a station captures, and the WebRTC client that
//! receives it.

pub mod rtc_client;
#[allow(dead_code, reason = "tests make the device fail, benches read when it called back")]
pub mod simulated_device;
pub mod timestamps;
