#![doc = include_str!("../../docs/rooms.md")]

pub mod heartbeat;
pub mod hub;
pub mod ids;
pub mod rooms;
pub mod wire;
