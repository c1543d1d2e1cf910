//! HTTP as values. Pure.

pub mod body;
pub mod client_address;
pub mod head;
pub mod message;
pub mod origin;
pub mod query;
pub mod redirect;
pub mod upgrade;
