//! One path of a session: a pair of addresses that a genuine check of the client has used, and what is known of it. Pure.

use std::time::{Duration, Instant};

use str0m::net::Protocol;

use crate::rtc::udp::batch::Route;
use crate::rtc::udp::classify::Datagram;

/// A path on which nothing genuine has arrived for so long is gone. Browsers check every 2 to 6 s (RFC 7675 §5.1: consent
/// expires after 30 s); some clients only if they have sent nothing else.
pub(super) const PATH_LIFETIME: Duration = Duration::from_secs(15);

/// A path that was heard of and nominated within this time is preferred to one that was not: a client that has moved uses
/// its new path only.
pub(super) const RECENT: Duration = Duration::from_secs(6);

/// A pair of addresses that a genuine check has used.
#[derive(Debug)]
pub(super) struct Path {
    pub protocol: Protocol,
    pub route: Route,
    /// As the client sees it (RFC 8445 §7.1.1).
    pub priority: u32,
    /// When the latest check or report of the client arrived.
    pub heard: Instant,
    /// When the client last asked to use it.
    pub nominated: Option<Instant>,
    pub is_proved: bool,
}

impl Path {
    pub fn is(&self, protocol: Protocol, route: Route) -> bool {
        self.protocol == protocol && self.route == route
    }

    pub fn is_alive(&self, now: Instant) -> bool {
        now < self.heard + PATH_LIFETIME
    }

    pub fn is_recent(&self, now: Instant) -> bool {
        now < self.heard + RECENT
    }

    /// What is preferred has the larger one.
    pub fn rank(&self, now: Instant) -> (bool, bool, u32) {
        (self.is_recent(now), self.nominated.is_some_and(|at| now < at + RECENT), self.priority)
    }
}

/// The way back to where a datagram came from, from the address that it was sent to.
pub(super) fn route_to(datagram: &Datagram<'_>) -> Route {
    Route { source: datagram.destination, destination: datagram.source }
}
