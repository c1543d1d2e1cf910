//! Who may do what: signed tokens, what became of them, and links that carry them.

pub mod links;
pub mod token_store;
mod token_uses;
pub mod tokens;
