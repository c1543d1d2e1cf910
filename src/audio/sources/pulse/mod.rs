//! A host for PulseAudio and PipeWire behind the traits of cpal.

mod clock;
mod connection;
pub mod host;
mod stream;
