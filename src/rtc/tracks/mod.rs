//! RTP streams: what sessions send.

pub mod send;
