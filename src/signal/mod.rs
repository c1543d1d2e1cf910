//! Rooms: the server introduces browsers to one another.

pub mod heartbeat;
pub mod hub;
pub mod messages;
pub mod metrics;
pub mod rooms;
