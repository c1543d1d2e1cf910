//! ICE (RFC 8445) of one session: credentials, candidates, and the lite agent that answers checks.

pub mod agent;
pub mod candidates;
pub mod credentials;
pub mod patch;
mod path;
