//! Names, ids and resume tokens: newtypes, each parsed in one place.

pub mod names;
pub mod peer;
pub mod session;
