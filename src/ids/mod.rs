//! Names and ids: newtypes that are parsed in one place.

pub mod names;
pub mod peer;
pub mod session;
