//! Whether somebody is still there: when to ping, and when to give up. Pure: time is an argument.

use std::time::{Duration, Instant};

/// PeerEvent to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Send a ping.
    Ping,
    /// Nothing was heard for too long.
    Gone,
    /// Nothing until then.
    Wait(Instant),
}

/// One connection's.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    every: Duration,
    gone_after: Duration,
    pinged: Instant,
    heard: Instant,
}

impl Heartbeat {
    /// The first ping is due after `every`.
    pub fn new(every: Duration, gone_after: Duration, now: Instant) -> Heartbeat {
        Heartbeat { every, gone_after, pinged: now, heard: now }
    }

    /// A whole message or a pong arrived. Bytes that dribble in do not count.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// PeerEvent to do next.
    pub fn poll(&mut self, now: Instant) -> Beat {
        let (ping, gone) = (self.pinged + self.every, self.heard + self.gone_after);
        if now >= gone {
            Beat::Gone
        } else if now >= ping {
            self.pinged = now;
            Beat::Ping
        } else {
            Beat::Wait(ping.min(gone))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_pings_without_an_answer_are_the_end() {
        let (start, s) = (Instant::now(), Duration::from_secs);
        let mut heartbeat = Heartbeat::new(s(15), s(45), start);
        assert_eq!(heartbeat.poll(start), Beat::Wait(start + s(15)));
        assert_eq!(heartbeat.poll(start + s(15)), Beat::Ping);
        assert_eq!(heartbeat.poll(start + s(15)), Beat::Wait(start + s(30)));
        heartbeat.heard(start + s(16));
        assert_eq!(heartbeat.poll(start + s(30)), Beat::Ping);
        assert_eq!(heartbeat.poll(start + s(45)), Beat::Ping);
        assert_eq!(heartbeat.poll(start + s(60)), Beat::Ping);
        assert_eq!(heartbeat.poll(start + s(60)), Beat::Wait(start + s(61)));
        assert_eq!(heartbeat.poll(start + s(61)), Beat::Gone);
    }
}
