//! WebRTC sessions and the threads that drive them.

pub mod engine;
pub mod ice;
pub mod mailbox;
pub mod metrics;
pub mod profile;
pub mod requests;
pub mod sdp;
pub mod session;
pub mod sessions;
pub mod srtp;
pub mod tracks;
pub mod udp;
