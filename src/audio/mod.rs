//! Sound: from a device, a sound server or an oscillator to Opus packets. Knows nothing of listeners, rooms or the web.

pub mod device;
pub mod encoder;
pub mod pcm;
pub mod station;
#[cfg(target_os = "linux")]
mod pulse;
