//! Rooms: the server introduces browsers to one another.

pub mod heartbeat;
pub mod hub;
pub mod ids;
pub mod messages;
pub mod rooms;
