//! When to ping a connection, and when to close it because nothing was received for too long. Pure: time is an argument.

use std::time::{Duration, Instant};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatAction {
    /// Send a ping.
    Ping,
    /// Close the connection: nothing was received for too long.
    TimeOut,
    /// Nothing until then.
    Wait(Instant),
}

/// The heartbeat of one connection.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    ping_interval: Duration,
    silence_timeout: Duration,
    last_ping: Instant,
    last_received: Instant,
}

impl Heartbeat {
    /// The first ping is due after `ping_interval`.
    pub fn new(ping_interval: Duration, silence_timeout: Duration, now: Instant) -> Heartbeat {
        Heartbeat { ping_interval, silence_timeout, last_ping: now, last_received: now }
    }

    /// A whole message or a pong was received. Part of a message does not count: a client could send a byte at a time.
    pub fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    /// What to do now.
    pub fn poll(&mut self, now: Instant) -> HeartbeatAction {
        let (ping, timeout) = (self.last_ping + self.ping_interval, self.last_received + self.silence_timeout);
        if now >= timeout {
            HeartbeatAction::TimeOut
        } else if now >= ping {
            self.last_ping = now;
            HeartbeatAction::Ping
        } else {
            HeartbeatAction::Wait(ping.min(timeout))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_pings_without_an_answer_time_the_connection_out() {
        let (start, s) = (Instant::now(), Duration::from_secs);
        let mut heartbeat = Heartbeat::new(s(15), s(45), start);
        assert_eq!(heartbeat.poll(start), HeartbeatAction::Wait(start + s(15)));
        assert_eq!(heartbeat.poll(start + s(15)), HeartbeatAction::Ping);
        assert_eq!(heartbeat.poll(start + s(15)), HeartbeatAction::Wait(start + s(30)));
        heartbeat.received(start + s(16));
        assert_eq!(heartbeat.poll(start + s(30)), HeartbeatAction::Ping);
        assert_eq!(heartbeat.poll(start + s(45)), HeartbeatAction::Ping);
        assert_eq!(heartbeat.poll(start + s(60)), HeartbeatAction::Ping);
        assert_eq!(heartbeat.poll(start + s(60)), HeartbeatAction::Wait(start + s(61)));
        assert_eq!(heartbeat.poll(start + s(61)), HeartbeatAction::TimeOut);
    }
}
