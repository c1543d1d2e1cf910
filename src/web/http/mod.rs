//! HTTP as values. Pure.

pub mod base_url;
pub mod body;
pub mod chunked;
pub mod client_address;
pub mod error_code;
pub mod forwarded;
pub mod head;
pub mod message;
pub mod origin;
pub mod origin_policy;
pub mod query;
pub mod redirect;
pub mod response_head;
pub mod routes;
pub mod upgrade;
