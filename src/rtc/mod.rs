//! Listeners: WebRTC sessions that receive a station. Knows nothing of how sound is made, of rooms or of HTTP.

pub mod batch;
pub mod candidates;
pub mod crypto;
pub mod datagrams;
pub mod engine;
pub mod fanout;
pub mod fetch;
pub mod gcm;
pub mod history;
pub mod keys;
pub mod listener;
pub mod mailbox;
pub mod sdp;
pub mod session;
pub mod stun;
pub mod voice;
