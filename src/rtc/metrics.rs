//! What the rtc threads count, all together. Plain handles; written by those threads.

use crate::observe::metrics::{Counter, Gauge};
use crate::observe::registry::{Description, Registry, Unit};

/// Counts of all rtc threads. The default is in no registry.
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
    /// Datagrams that the kernel did not take.
    pub datagrams_unsent: Counter,
}

const fn describe(name: &'static str, help: &'static str, json: &'static str) -> Description {
    Description { name, help, unit: Unit::Count, json }
}

impl RtcMetrics {
    /// Registers them.
    pub fn register(registry: &Registry) -> RtcMetrics {
        let counter = |description| registry.counter(description, &[]);
        RtcMetrics {
            sessions: registry
                .gauge(describe("rtc_sessions", "WebRTC sessions, connected or not.", "rtc.sessions"), &[]),
            admitted: counter(describe("rtc_sessions_admitted", "WebRTC sessions admitted.", "rtc.admitted")),
            datagrams_in: counter(describe("rtc_datagrams_received", "UDP datagrams received.", "rtc.datagrams_in")),
            datagrams_out: counter(describe("rtc_datagrams_sent", "UDP datagrams sent.", "rtc.datagrams_out")),
            datagrams_unknown: counter(describe(
                "rtc_datagrams_unknown",
                "UDP datagrams received that belonged to no session.",
                "rtc.datagrams_unknown",
            )),
            datagrams_unsent: counter(describe(
                "rtc_datagrams_unsent",
                "UDP datagrams that the kernel did not take.",
                "rtc.datagrams_unsent",
            )),
        }
    }
}
