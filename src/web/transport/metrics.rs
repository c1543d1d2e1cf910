//! What is counted of TCP connections and HTTP requests.

use crate::observe::metrics::{Counter, Gauge};

/// Connections and requests.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    /// TCP connections at present.
    pub connections: Gauge,
    /// TCP connections ever accepted.
    pub accepted: Counter,
    /// TCP connections turned away because the limit was reached.
    pub refused: Counter,
    /// Requests answered.
    pub requests: Counter,
}
