//! One rtc thread: drives its [`Fanout`] with datagrams, packets, commands and time.
//!
//! It owns its UDP socket and its sessions. It blocks in one place, on socket, doorbell and the next deadline; commands and
//! packets come through bounded queues whose senders ring the doorbell.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use mio::{Events, Interest, Poll, Token, Waker};

use super::{Command, Shared};
use crate::ids::session::SessionId;
use crate::net::concurrency_limit::Permit;
use crate::observe::reports::{self, Report};
use crate::os::memory::HighWater;
use crate::os::priority;
use crate::rtc::sessions::{Fanout, Output};
use crate::rtc::udp::batch::Batch;
use crate::rtc::udp::socket::{Datagrams, Flushed};

/// Batches of datagrams read in one turn before commands, packets and deadlines are looked after again.
const READS_PER_TURN: usize = 16;

/// How long the kernel may take over the last datagrams.
const GOODBYES_WITHIN: Duration = Duration::from_secs(1);

const SOCKET: Token = Token(0);
const DOORBELL: Token = Token(1);

/// Where one thread waits.
pub(super) struct Ear {
    datagrams: Datagrams,
    poll: Poll,
}

impl Ear {
    /// On a bound socket; and what wakes it.
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<(Ear, Waker)> {
        let mut datagrams = Datagrams::new(socket)?;
        let poll = Poll::new()?;
        poll.registry().register(datagrams.source(), SOCKET, Interest::READABLE)?;
        let doorbell = Waker::new(poll.registry(), DOORBELL)?;
        Ok((Ear { datagrams, poll }, doorbell))
    }
}

pub(super) struct RtcThread {
    /// Which of the lines it serves.
    n: usize,
    fanout: Fanout,
    datagrams: Datagrams,
    poll: Poll,
    shared: Arc<Shared>,
    reports: Sender<Report>,
    high_water: HighWater,
    /// One for each session, given back when it is gone.
    seats: HashMap<SessionId, Permit>,
    batch: Batch,
    /// Whether the poll tells of room in the socket. It does so after each datagram that leaves, so it is asked only while
    /// something waits for room.
    awaits_room: bool,
}

impl RtcThread {
    pub(super) fn new(n: usize, ear: Ear, shared: Arc<Shared>, reports: Sender<Report>) -> RtcThread {
        RtcThread {
            n,
            fanout: Fanout::new(shared.histories.iter().cloned()),
            datagrams: ear.datagrams,
            poll: ear.poll,
            shared,
            high_water: HighWater::new(reports.clone()),
            reports,
            seats: HashMap::new(),
            batch: Batch::default(),
            awaits_room: false,
        }
    }

    pub(super) fn start(self) -> io::Result<JoinHandle<()>> {
        let name = if self.shared.lines.len() == 1 { "rtc".into() } else { format!("rtc-{}", self.n) };
        reports::spawn(name, self.reports.clone(), move || {
            priority::raise();
            self.run();
        })
    }

    fn run(mut self) {
        let mut events = Events::with_capacity(8);
        // Readiness is told once, at its edge, so what was left unread is remembered here.
        let mut unread = true;
        let mut deadline = Instant::now();
        while !self.shared.closing.load(Ordering::Acquire) {
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
            self.fanout.handle_timeout(now);
            deadline = self.drain_fanout(now);
        }
        let now = Instant::now();
        self.fanout.dismiss_all(now);
        self.drain_fanout(now);
        self.say_goodbyes(&mut events);
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

    /// Lets the kernel take the last datagrams, as long as that may reasonably last.
    fn say_goodbyes(&mut self, events: &mut Events) {
        let until = Instant::now() + GOODBYES_WITHIN;
        while self.datagrams.is_waiting() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.wait(events, left);
            self.datagrams.flush();
        }
    }

    /// Sends what the fanout has to say. Until when there is nothing more.
    fn drain_fanout(&mut self, now: Instant) -> Instant {
        let deadline = loop {
            match self.fanout.poll_output(now, &mut self.batch) {
                Output::Transmit(transmit) => self.datagrams.queue(transmit),
                Output::Batch => {
                    let flushed = self.datagrams.send(&self.batch);
                    self.count(flushed);
                }
                Output::Wait(deadline) => break deadline,
                event => self.note(event),
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

    fn note(&mut self, event: Output) {
        self.high_water.set(self.fanout.len());
        match event {
            Output::Connected { listener, station } => {
                let listeners = self.shared.stations[station].metrics.listeners.raise();
                log::info!("listener {}: connected, {listeners} listening", listener.short());
            }
            Output::Gone { listener, station, was_connected, reason } => {
                self.seats.remove(&listener);
                self.shared.metrics.sessions.lower();
                let listeners = &self.shared.stations[station].metrics.listeners;
                let listeners = if was_connected { listeners.lower() } else { listeners.read() };
                log::info!("listener {}: gone ({reason}), {listeners} listening", listener.short());
            }
            Output::Transmit(_) | Output::Batch | Output::Wait(_) => {}
        }
    }

    /// Each is on its way to everybody before the next is taken.
    fn handle_packets(&mut self, now: Instant) {
        while let Ok((station, place, packet)) = self.shared.lines[self.n].oldest.try_recv() {
            self.fanout.handle_packet(station, place, packet, now);
            self.drain_fanout(now);
        }
    }

    /// True if there may be more to read.
    fn handle_datagrams(&mut self, now: Instant) -> bool {
        for _ in 0..READS_PER_TURN {
            let (fanout, metrics) = (&mut self.fanout, &self.shared.metrics);
            let read = self.datagrams.receive(|source, destination, bytes| {
                metrics.datagrams_in.add(1);
                if !fanout.handle_datagram(source, destination, bytes, now) {
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
        for command in self.shared.lines[self.n].commands.take() {
            self.handle_command(command, now);
        }
    }

    fn handle_command(&mut self, command: Command, now: Instant) {
        // Nobody may be waiting for the reply any more; that is their time-out, not our fault.
        match command {
            Command::Admit { listener, seat, reply } => {
                let room = self.shared.metrics.sessions.raise_below(self.shared.max_listeners as u64);
                if room {
                    self.seats.insert(listener.id, seat);
                    self.fanout.admit(listener, now);
                    self.shared.metrics.admitted.add(1);
                }
                let _ = reply.send(room);
            }
            Command::Patch { id, fragment, if_match, reply } => {
                let _ = reply.send(self.fanout.handle_patch(id, &fragment, &if_match, now));
            }
            Command::Dismiss { id, reply } => {
                let _ = reply.send(self.fanout.dismiss(id, now));
            }
            Command::Knock { reply } => {
                let _ = reply.send(());
            }
        }
    }
}
