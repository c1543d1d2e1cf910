//! Addresses of this host and of its clients, and what one client may use.

pub mod addresses;
pub mod interfaces;
pub mod quota;
