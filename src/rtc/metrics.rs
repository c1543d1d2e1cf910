//! What the rtc threads count, all together.

use crate::observe::metrics::{Counter, Gauge};

/// Counts of all rtc threads.
#[derive(Clone, Debug, Default)]
pub struct RtcMetrics {
    /// Sessions at present, connected or not.
    pub sessions: Gauge,
    /// Sessions ever admitted.
    pub admitted: Counter,
    /// Datagrams received.
    pub datagrams_in: Counter,
    /// Datagrams sent.
    pub datagrams_out: Counter,
    /// Datagrams that belonged to no session.
    pub datagrams_unknown: Counter,
    /// Datagrams the kernel would not take.
    pub datagrams_unsent: Counter,
}
