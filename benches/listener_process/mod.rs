//! A process with many WebRTC listeners, for benches that need thousands. It is the bench's own executable, started again,
//! so that its memory and its processor time are not those of the server that is measured.

pub mod child;
mod clients;
pub mod handle;
pub mod processor;
pub mod protocol;
