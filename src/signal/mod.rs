//! Rooms: a server that introduces browsers to one another and keeps out of the way. The protocol is described in the
//! README, with an example of each message.
//!
//! # The files
//!
//! | file | what it is |
//! |---|---|
//! | `ids` | room names, ids, tokens |
//! | `wire` | the messages as text |
//! | `heartbeat` | when to ping, when to give up |
//! | `rooms` | who is where and may say what: pure, in virtual time; its parts are `rooms/terms`, `rooms/seats` and `rooms/host`, what hosts may do |
//! | `hub` | the thread that owns the rooms and every peer's outbox |

pub mod heartbeat;
pub mod hub;
pub mod ids;
pub mod rooms;
pub mod wire;
