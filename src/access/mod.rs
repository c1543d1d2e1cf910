//! Who may do what: signed tokens, which of them were revoked or used, and links that carry them.

pub mod links;
pub mod tickets;
pub mod token_clock;
mod token_files;
pub mod token_store;
mod token_uses;
pub mod tokens;
mod use_reservations;
