//! Listeners: WebRTC sessions that receive a station. Knows nothing of how sound is made, of rooms or of HTTP.

pub mod engine;
pub mod session;
