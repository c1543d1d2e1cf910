//! A host for PulseAudio and PipeWire behind the traits of cpal.

mod clock;
mod connection;
mod default_device;
mod errors;
pub mod host;
mod server_paths;
mod stream;
mod stream_reader;
