//! What a person at a terminal sees: flags, subcommands, the source menu, the greeting.

pub mod command;
mod flags;
pub mod greeting;
pub mod invite;
mod menu;
mod qr;
pub mod source;
mod subcommands;
