//! What is counted of TCP connections and HTTP requests. Plain handles; written by the acceptor and by the threads of
//! connections.

use crate::observe::metrics::{Counter, Gauge};
use crate::observe::registry::{Description, Registry, Unit};

/// Counts of connections and requests. The default is in no registry.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    /// TCP connections at present.
    pub connections: Gauge,
    /// TCP connections ever accepted.
    pub accepted: Counter,
    /// TCP connections refused because a limit was reached.
    pub refused: Counter,
    /// Requests answered.
    pub requests: Counter,
}

/// The section of the JSON has the name that clients of `/api/status` know.
const fn describe(name: &'static str, help: &'static str, json: &'static str) -> Description {
    Description { name, help, unit: Unit::Count, json }
}

impl ConnectionMetrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> ConnectionMetrics {
        let counter = |description| registry.counter(description, &[]);
        ConnectionMetrics {
            connections: registry.gauge(describe("connections", "TCP connections.", "door.connections"), &[]),
            accepted: counter(describe("connections_accepted", "TCP connections accepted.", "door.accepted")),
            refused: counter(describe(
                "connections_refused",
                "TCP connections refused because a limit was reached.",
                "door.refused",
            )),
            requests: counter(describe("http_requests", "HTTP requests answered.", "door.requests")),
        }
    }
}
