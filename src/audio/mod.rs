//! Sound: from a device, a sound server or an oscillator to Opus packets.

pub mod encoder;
pub mod layout;
pub mod pcm;
pub mod processing;
pub mod sources;
