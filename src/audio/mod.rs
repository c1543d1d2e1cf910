//! Sound: from a device, a sound server or an oscillator to Opus packets. Knows nothing of listeners, rooms or the web.

#[cfg(target_os = "linux")]
mod alsa;
pub mod blocks;
pub mod capture;
pub mod convert;
pub mod device;
pub mod encoder;
pub mod pcm;
#[cfg(target_os = "linux")]
pub mod pulse;
pub mod resample;
pub mod sine;
pub mod station;
