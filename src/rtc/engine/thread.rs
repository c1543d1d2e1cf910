//! One rtc thread: drives its [`Sessions`] with datagrams, packets, commands and time.
//!
//! It owns its UDP socket and its sessions. It blocks in one place, on socket, waker and the next deadline; commands and
//! packets come through bounded queues whose senders use the waker.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::ids::session::SessionId;
use crate::net::concurrency_limit::Permit;
use crate::observe::metrics::Gauge;
use crate::observe::reports::{self, Report};
use crate::os::memory::HighWater;
use crate::os::priority;
use crate::rtc::sessions::{Output, Sessions};
use crate::rtc::udp::batch::Batch;
use crate::rtc::udp::socket::{Datagrams, Flushed};

use super::shared::{Command, Shared};

/// Batches of datagrams read in one turn before commands and deadlines are looked after again. A packet that is to be sent
/// ends the turn at once: each datagram may be a part of a handshake, and a batch of them takes milliseconds.
const READS_PER_TURN: usize = 16;

/// How long the kernel may take over the last datagrams.
const LAST_DATAGRAMS_TIMEOUT: Duration = Duration::from_secs(1);

const SOCKET: Token = Token(0);
const WAKER: Token = Token(1);

/// A socket that can be waited for.
pub(super) struct Socket {
    datagrams: Datagrams,
    poll: Poll,
}

impl Socket {
    /// Takes a bound socket over.
    ///
    /// Returns what wakes the thread that waits for it.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<(Socket, Waker)> {
        let mut datagrams = Datagrams::new(socket)?;
        let poll = Poll::new()?;
        poll.registry().register(datagrams.source(), SOCKET, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        Ok((Socket { datagrams, poll }, waker))
    }
}

pub(super) struct RtcThread {
    /// Its number, which is its place in `shared.threads`.
    nth: usize,
    sessions: Sessions,
    datagrams: Datagrams,
    poll: Poll,
    shared: Arc<Shared>,
    high_water: HighWater,
    /// Its client's share of the limit per address, for each session.
    permits: HashMap<SessionId, Permit>,
    batch: Batch,
    /// Whether the poll reports that the socket is writable. It does so after each datagram that leaves, so it is asked only
    /// while something waits for room.
    awaits_room: bool,
}

impl RtcThread {
    pub(super) fn new(nth: usize, socket: Socket, shared: Arc<Shared>, reports: Sender<Report>) -> RtcThread {
        RtcThread {
            nth,
            sessions: Sessions::default(),
            datagrams: socket.datagrams,
            poll: socket.poll,
            shared,
            high_water: HighWater::new(reports),
            permits: HashMap::new(),
            batch: Batch::default(),
            awaits_room: false,
        }
    }

    pub(super) fn start(self, reports: Sender<Report>) -> io::Result<JoinHandle<()>> {
        let name = if self.shared.threads.len() == 1 { "rtc".into() } else { format!("rtc-{}", self.nth) };
        reports::spawn(name, reports, move || {
            priority::raise();
            self.run();
        })
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        // Readiness is told once, at its edge, so what was left unread is remembered here.
        let mut unread = true;
        let mut deadline = Instant::now();
        while !self.shared.stopping.load(Ordering::Acquire) {
            let timeout = if unread { Duration::ZERO } else { deadline.saturating_duration_since(Instant::now()) };
            self.wait(&mut events, timeout);
            unread |= events.iter().any(|event| event.token() == SOCKET && event.is_readable());
            // One reading of the clock serves a whole turn.
            let now = Instant::now();
            self.handle_packets(now);
            if unread {
                unread = self.handle_datagrams(now);
            }
            self.handle_commands(now);
            self.sessions.handle_timeout(now);
            deadline = self.drain(now);
        }
        let now = Instant::now();
        self.sessions.close_all(now);
        self.drain(now);
        self.send_last_datagrams(&mut events);
    }

    fn wait(&mut self, events: &mut Events, timeout: Duration) {
        if self.awaits_room != self.datagrams.is_waiting() {
            self.awaits_room = !self.awaits_room;
            let interest = if self.awaits_room { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            if let Err(error) = self.poll.registry().reregister(self.datagrams.source(), SOCKET, interest) {
                panic!("the UDP socket cannot be waited for: {error}");
            }
        }
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                panic!("waiting for the UDP socket failed: {error}")
            }
            _ => {}
        }
    }

    /// Waits until the kernel has taken the last datagrams, for a limited time.
    fn send_last_datagrams(&mut self, events: &mut Events) {
        let until = Instant::now() + LAST_DATAGRAMS_TIMEOUT;
        while self.datagrams.is_waiting() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.wait(events, left);
            self.datagrams.flush();
        }
    }

    /// Sends what the sessions want sent.
    ///
    /// Returns their next deadline.
    fn drain(&mut self, now: Instant) -> Instant {
        let deadline = loop {
            match self.sessions.poll_output(now, &mut self.batch) {
                Output::Transmit(transmit) => self.datagrams.queue(transmit),
                Output::Batch => {
                    let flushed = self.datagrams.send(&self.batch);
                    self.count(flushed);
                }
                Output::Wait(deadline) => break deadline,
                event => self.handle_event(event),
            }
        };
        let flushed = self.datagrams.flush();
        self.count(flushed);
        deadline
    }

    fn count(&self, flushed: Flushed) {
        self.shared.metrics.datagrams_out.add(flushed.sent);
        self.shared.metrics.datagrams_unsent.add(flushed.dropped);
    }

    fn handle_event(&mut self, event: Output) {
        self.high_water.set(self.sessions.len());
        match event {
            Output::Connected { session, track } => {
                let listeners = self.shared.track(track).map_or(0, |track| track.listeners.raise());
                log::info!("listener {}: connected, {listeners} listening", session.short());
            }
            Output::Gone { session, track, was_connected, reason } => {
                self.permits.remove(&session);
                self.shared.end_session();
                let count = |gauge: &Gauge| if was_connected { gauge.lower() } else { gauge.read() };
                let listeners = self.shared.track(track).map_or(0, |track| count(&track.listeners));
                log::info!("listener {}: gone ({reason}), {listeners} listening", session.short());
            }
            Output::Transmit(_) | Output::Batch | Output::Wait(_) => {}
        }
    }

    /// One packet is sent to all receivers before the next is taken.
    fn handle_packets(&mut self, now: Instant) {
        while let Ok((track, index, packet)) = self.shared.threads[self.nth].packets.try_recv() {
            self.sessions.handle_packet(track, index, packet, now);
            self.drain(now);
        }
    }

    /// True if there may be more to read.
    fn handle_datagrams(&mut self, now: Instant) -> bool {
        for nth in 0..READS_PER_TURN {
            if nth > 0 && !self.shared.threads[self.nth].packets.is_empty() {
                return true;
            }
            let (sessions, metrics) = (&mut self.sessions, &self.shared.metrics);
            let read = self.datagrams.receive(|datagram| {
                metrics.datagrams_in.add(1);
                if !sessions.handle_datagram(datagram, now) {
                    metrics.datagrams_unknown.add(1);
                }
            });
            match read {
                Ok(true) => {}
                Ok(false) => return false,
                // An ICMP error of an earlier send is reported here on some systems; the next read goes on.
                Err(error) => {
                    log::debug!("reading the UDP socket: {error}");
                    return true;
                }
            }
        }
        true
    }

    fn handle_commands(&mut self, now: Instant) {
        for command in self.shared.threads[self.nth].commands.take() {
            self.handle_command(command, now);
        }
    }

    fn handle_command(&mut self, command: Command, now: Instant) {
        // A caller that has given up does not take the reply; there is nothing to do about that.
        match command {
            Command::AddTrack { track, reply } => {
                self.sessions.add_track(track.id, track.timeline.clone());
                let _ = reply.send(());
            }
            Command::RemoveTrack { track, reply } => {
                self.sessions.remove_track(track, now);
                let _ = reply.send(());
            }
            Command::Admit { session, track, permit, reply } => {
                let has_room = self.shared.begin_session();
                if has_room {
                    self.permits.insert(session.id, permit);
                    self.sessions.admit(session, track, now);
                    self.shared.metrics.admitted.add(1);
                }
                let _ = reply.send(has_room);
            }
            Command::Patch { id, patch, reply } => {
                let _ = reply.send(self.sessions.handle_patch(id, patch, now));
            }
            Command::Close { id, reply } => {
                let _ = reply.send(self.sessions.close(id, now));
            }
            Command::Ping { reply } => {
                let _ = reply.send(());
            }
        }
    }
}
