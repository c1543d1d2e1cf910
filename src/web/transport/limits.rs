//! What clients may use of this server: connections, bytes and time. Plain numbers from the command line; the owner of
//! a resource enforces its limit.

use std::time::Duration;

/// What one connection, one address and all clients together may use. An address is an IPv4 address or an IPv6 /64, and the
/// networks around it have several times as much ([`Subnet`](crate::net::subnet)). Trusted proxies may have any number of
/// connections up to `max_connections`; the clients behind them count as if each request were a connection of theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP connections at a time. Fewer, if the process may not open that many descriptors.
    pub max_connections: usize,
    /// TCP connections at a time from one address.
    pub max_connections_per_address: usize,
    /// New TCP connections a second from one address, and new WebSockets of one client behind a proxy, on average; five
    /// times as many at once.
    pub connections_per_s: usize,
    /// Listeners at a time from one address, and the same number of streamed responses.
    pub max_listeners_per_address: usize,
    /// Offers a second from one address, on average; five times as many at once.
    pub offers_per_s: usize,
    /// Streamed responses at a time. Each keeps its connection and that connection's thread.
    pub max_streamed_responses: usize,
    /// A request head, line ends included.
    pub head_bytes: usize,
    /// From the first wait for a head to its last byte; single bytes do not extend it.
    pub head_timeout: Duration,
    /// A request body, after any chunked coding is removed.
    pub body_bytes: usize,
    /// From the end of the head to the last byte of the body.
    pub body_timeout: Duration,
    /// Between the end of a response and the first byte of the next head.
    pub idle_timeout: Duration,
    /// For each 16 KiB of a response: a client that takes less than that in this time is disconnected.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 12_000,
            max_connections_per_address: 1_000,
            connections_per_s: 200,
            max_listeners_per_address: 500,
            offers_per_s: 50,
            max_streamed_responses: 1_000,
            head_bytes: 16 * 1024,
            head_timeout: Duration::from_secs(10),
            body_bytes: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(10),
        }
    }
}
