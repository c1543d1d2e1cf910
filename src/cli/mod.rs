//! What a person at a terminal sees: flags, subcommands, the source menu, the greeting.

pub mod command;
pub mod command_line;
mod flag;
mod flag_values;
mod flags;
pub mod greeting;
pub mod invite;
mod menu;
mod qr;
mod serve;
pub mod source;
mod subcommands;
