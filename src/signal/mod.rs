//! Rooms: the server introduces browsers to one another. What follows is the protocol of their WebSockets.
//!
#![doc = include_str!("protocol.md")]

pub mod client_message;
pub mod events;
pub mod heartbeat;
pub mod hub;
pub mod limits;
pub mod metrics;
mod moderation;
mod peer;
pub mod peer_channel;
pub mod peer_state;
pub mod protocol_error;
mod registry;
mod room;
pub mod rooms;
pub mod server_message;
