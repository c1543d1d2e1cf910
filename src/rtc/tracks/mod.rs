//! RTP streams: what sessions send.

pub mod forward;
pub mod send;
