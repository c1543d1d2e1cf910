//! Network addresses: this host's, those shown to people, hosts and ports in URLs, and limits for each client's subnet.

pub mod authority;
pub mod concurrency_limit;
pub mod host_names;
pub mod ice_server;
pub mod interfaces;
pub mod nearness;
pub mod page_addresses;
pub mod rate_limiter;
pub mod shared_rate_limiter;
pub mod subnet;
pub mod token_bucket;
