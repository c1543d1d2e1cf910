//! All sessions of one rtc thread: which of them a datagram is for, whose deadline is due, and what each wants sent.
//!
//! Pure: change one thing, then drain [`Sessions::poll_output`] until it says [`Output::Wait`]. No look-up goes through all
//! sessions: addresses, ICE user fragments and ids are hashed, deadlines lie in a heap. What flows over sessions is
//! [`Forwarder`]'s.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use slab::Slab;
use str0m::ice::StunMessage;
use str0m::net::{Protocol, Transmit};

use crate::ids::session::SessionId;
use crate::media::packet::Packet;
use crate::media::track::TrackId;
use crate::rtc::ice::agent;
use crate::rtc::ice::patch::{IcePatch, Patched};
use crate::rtc::requests::PatchRefusal;
use crate::rtc::session::{self, Reason, Session};
use crate::rtc::srtp::provider;
use crate::rtc::tracks::forward::{Forwarder, SendKey, Step};
use crate::rtc::tracks::send::SendTrack;
use crate::rtc::udp::batch::Batch;
use crate::rtc::udp::classify::{Datagram, Kind, kind};
use crate::rtc::udp::stun;
use crate::rtc::udp::stun_shares::StunShares;
use crate::station::timeline::Timeline;

/// The deadline when there is no session.
const IDLE: Duration = Duration::from_secs(3600);

/// A session that asks for the time at once gets it a little later, so that no session can keep the loop busy.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Sessions get the time at full multiples of this, many in one turn: waking up costs more than most of them have to do.
/// What they wait for, reports and retransmissions, takes tenths of seconds.
const TICK: Duration = Duration::from_millis(10);

/// What the sessions want done or known.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Transmit(Transmit),
    /// Send what the batch now holds.
    Batch,
    /// A session begins to receive a track.
    Connected {
        /// Which session.
        session: SessionId,
        /// What it receives.
        track: TrackId,
    },
    /// A session is over and forgotten.
    Gone {
        /// Which session.
        session: SessionId,
        /// What it received or was going to receive.
        track: TrackId,
        /// Whether it had been connected.
        was_connected: bool,
        /// Why.
        reason: Reason,
    },
    /// Nothing more until then.
    Wait(Instant),
}

/// Every session, and the indexes that find them.
#[derive(Default)]
pub struct Sessions {
    entries: Slab<Entry>,
    by_id: HashMap<SessionId, usize>,
    by_ufrag: HashMap<String, usize>,
    by_address: HashMap<(Protocol, SocketAddr), Claim>,
    /// Earliest first. An element counts only if its entry has the same time in `scheduled`.
    deadlines: BinaryHeap<Reverse<(Instant, usize)>>,
    outputs: VecDeque<Output>,
    forwarder: Forwarder,
    /// From when ticks are counted.
    first_tick: Option<Instant>,
    stun_shares: StunShares,
}

/// The session that an address belongs to.
#[derive(Clone, Copy)]
struct Claim {
    key: usize,
    /// The session's client receives there. Until then, the latest claim counts; after that, only another proof does.
    is_proved: bool,
}

struct Entry {
    /// Ten thousand bytes that need not move when the table grows, nor leave it as large as it ever was.
    session: Box<Session>,
    ufrag: String,
    scheduled: Option<Instant>,
    /// What it asked to receive.
    track: TrackId,
    /// Its send track, once it has been connected.
    sending: Option<SendKey>,
}

impl Sessions {
    /// How many sessions there are, connected or not.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many addresses of clients are remembered.
    pub fn addresses(&self) -> usize {
        self.by_address.len()
    }

    /// Adds a track that sessions may receive.
    pub fn add_track(&mut self, track: TrackId, timeline: Timeline) {
        self.forwarder.add_track(track, timeline);
    }

    /// Removes a track, and closes the sessions that receive it: at once, or as soon as they connect.
    pub fn remove_track(&mut self, track: TrackId, now: Instant) {
        for key in self.forwarder.remove_track(track) {
            self.drive(key, now, Session::close);
        }
    }

    /// Takes in a session that will receive a track; datagrams for it may arrive from now on.
    pub fn admit(&mut self, session: impl Into<Box<Session>>, track: TrackId, now: Instant) {
        let session = session.into();
        let (id, ufrag) = (session.id, session.ufrag().to_owned());
        let key = self.entries.insert(Entry { session, ufrag: ufrag.clone(), scheduled: None, track, sending: None });
        self.by_id.insert(id, key);
        self.by_ufrag.insert(ufrag, key);
        self.drain(key, now);
    }

    /// A datagram arrived. False if no session takes it and it is no question that is answered.
    pub fn handle_datagram(&mut self, datagram: &Datagram<'_>, now: Instant) -> bool {
        match kind(datagram.bytes) {
            Kind::PlainBinding => self.answer_stun(datagram, now),
            Kind::IceCheck => self.handle_check(datagram, now).is_some(),
            Kind::StunReply => self.handle_response(datagram, now).is_some(),
            // Known by where they come from, once a check has told which session is there.
            Kind::Dtls | Kind::Rtp => {
                let Some(claim) = self.by_address.get(&(datagram.protocol, datagram.source)) else { return false };
                self.drive(claim.key, now, |session| session.handle_datagram(datagram, now));
                true
            }
            Kind::Turn | Kind::Unknown => false,
        }
    }

    /// The next packet of a track, and its index in the timeline.
    pub fn handle_packet(&mut self, track: TrackId, index: u64, packet: Packet, now: Instant) {
        self.forwarder.push(track, index, packet, now);
    }

    /// Time passed: every session whose deadline has come gets it.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&Reverse((deadline, key))) = self.deadlines.peek()
            && deadline <= now
        {
            self.deadlines.pop();
            let Some(entry) = self.entries.get_mut(key) else { continue };
            if entry.scheduled == Some(deadline) {
                entry.scheduled = None;
                self.drive(key, now, |session| session.handle_timeout(now));
            }
        }
    }

    /// Adds candidates to a session or restarts its ICE.
    ///
    /// # Errors
    /// [`PatchRefusal`]; the session goes on as it was.
    pub fn handle_patch(&mut self, id: SessionId, patch: IcePatch, now: Instant) -> Result<Patched, PatchRefusal> {
        let key = *self.by_id.get(&id).ok_or(PatchRefusal::Unknown)?;
        let mut result = Err(PatchRefusal::Unknown);
        self.drive(key, now, |session| result = session.handle_patch(patch, now));
        if let Some(entry) = self.entries.get_mut(key)
            && entry.ufrag != entry.session.ufrag()
        {
            self.by_ufrag.remove(&entry.ufrag);
            entry.ufrag = entry.session.ufrag().to_owned();
            self.by_ufrag.insert(entry.ufrag.clone(), key);
        }
        result
    }

    /// Closes a session. False if there is none of that id.
    pub fn close(&mut self, id: SessionId, now: Instant) -> bool {
        let Some(&key) = self.by_id.get(&id) else { return false };
        self.drive(key, now, Session::close);
        true
    }

    /// Closes every session.
    pub fn close_all(&mut self, now: Instant) {
        let ids: Vec<SessionId> = self.by_id.keys().copied().collect();
        for id in ids {
            self.close(id, now);
        }
    }

    /// The next thing to do. If it is [`Output::Batch`], `batch` was filled anew.
    pub fn poll_output(&mut self, now: Instant, batch: &mut Batch) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        batch.clear();
        loop {
            match self.forwarder.step(batch) {
                Step::Engine { session, sequence, packet, at } => {
                    self.drive(session, at, |session| session.write(sequence, &packet, at));
                }
                Step::Sealed if !batch.is_empty() => return Output::Batch,
                Step::Sealed => {
                    if let Some(output) = self.outputs.pop_front() {
                        return output;
                    }
                }
                Step::Idle => break,
            }
        }
        let deadline = self.deadlines.peek().map(|Reverse((deadline, _))| *deadline);
        Output::Wait(deadline.unwrap_or(now + IDLE))
    }

    fn answer_stun(&mut self, datagram: &Datagram<'_>, now: Instant) -> bool {
        let Some(answer) = stun::answer(datagram.bytes, datagram.source) else { return false };
        if !self.stun_shares.take(datagram.source.ip(), now) {
            return false;
        }
        // The answer leaves from the address that was asked, or the client would not accept it.
        self.outputs.push_back(Output::Transmit(Transmit {
            proto: datagram.protocol,
            source: datagram.destination,
            destination: datagram.source,
            contents: answer.into(),
        }));
        true
    }

    /// A check names its session by the user fragment. None if it is not the client's.
    fn handle_check(&mut self, datagram: &Datagram<'_>, now: Instant) -> Option<()> {
        let message = StunMessage::parse(datagram.bytes).ok()?;
        let key = *self.by_ufrag.get(message.split_username()?.0)?;
        let mut is_genuine = false;
        self.drive(key, now, |session| is_genuine = session.handle_check(datagram, &message, key as u32, now));
        is_genuine.then_some(())
    }

    /// The response to a check of a session's agent names its session by the transaction id. None if it is not one.
    fn handle_response(&mut self, datagram: &Datagram<'_>, now: Instant) -> Option<()> {
        let key = agent::session_key(datagram.bytes)?;
        let mut is_genuine = false;
        self.drive(key as usize, now, |session| is_genuine = session.handle_response(datagram, key, now));
        is_genuine.then_some(())
    }

    fn handle_ice(&mut self, key: usize, output: agent::Output) {
        match output {
            agent::Output::Transmit(transmit) => self.outputs.push_back(Output::Transmit(transmit)),
            agent::Output::Claimed(protocol, address) => {
                let claim = self.by_address.entry((protocol, address)).or_insert(Claim { key, is_proved: false });
                if !claim.is_proved {
                    claim.key = key;
                }
            }
            agent::Output::Proved(protocol, address) => {
                self.by_address.insert((protocol, address), Claim { key, is_proved: true });
            }
            agent::Output::Forgotten(protocol, address) => self.forget_address(key, (protocol, address)),
        }
    }

    fn forget_address(&mut self, key: usize, address: (Protocol, SocketAddr)) {
        if self.by_address.get(&address).is_some_and(|claim| claim.key == key) {
            self.by_address.remove(&address);
        }
    }

    /// Makes one change to one session and drains it. A panic is a bug of ours or of the engine's; it ends that session and no
    /// other.
    fn drive(&mut self, key: usize, now: Instant, change: impl FnOnce(&mut Session)) {
        // The engine may be about to report, and it has not seen the packets that were sealed here.
        let sent = self.send_track(key).and_then(|track| track.sent(now));
        provider::with_sent(sent, || {
            let Some(entry) = self.entries.get_mut(key) else { return };
            let session = &mut entry.session;
            match catch_unwind(AssertUnwindSafe(|| change(session))) {
                Ok(()) => self.drain(key, now),
                Err(_) => self.forget(key, Reason::Broken),
            }
        });
    }

    fn drain(&mut self, key: usize, now: Instant) {
        let mut has_got_time = false;
        loop {
            let Some(entry) = self.entries.get_mut(key) else { return };
            let session = &mut entry.session;
            let Ok(output) = catch_unwind(AssertUnwindSafe(|| session.poll_output(now))) else {
                return self.forget(key, Reason::Broken);
            };
            match output {
                session::Output::Transmit(transmit) => self.outputs.push_back(Output::Transmit(transmit)),
                session::Output::Ice(output) => self.handle_ice(key, output),
                session::Output::Connected => self.connect(key),
                session::Output::PathChanged(path) => {
                    if let Some(track) = self.send_track(key) {
                        track.route = path;
                    }
                }
                session::Output::Received => {
                    if let Some(track) = self.send_track(key) {
                        track.acknowledge();
                    }
                }
                session::Output::Missing(missing) => self.resend(key, &missing),
                session::Output::Gone(reason) => return self.forget(key, reason),
                // The engine moves a written packet to the wire only when it gets the time; it says so by a deadline of now.
                session::Output::Wait(deadline) if deadline <= now && !has_got_time => {
                    has_got_time = true;
                    if catch_unwind(AssertUnwindSafe(|| session.handle_timeout(now))).is_err() {
                        return self.forget(key, Reason::Broken);
                    }
                }
                session::Output::Wait(deadline) => return self.schedule(key, deadline.max(now + SHORTEST_WAIT)),
            }
        }
    }

    fn connect(&mut self, key: usize) {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.sending.is_none()) else { return };
        let (session, track) = (entry.session.id, entry.track);
        let send_track = entry.session.send_track(key);
        // The track may have been removed since the session was admitted.
        let Some(sending) = self.forwarder.add_receiver(track, send_track) else { return entry.session.close() };
        entry.sending = Some(sending);
        self.outputs.push_back(Output::Connected { session, track });
    }

    fn send_track(&mut self, key: usize) -> Option<&mut SendTrack> {
        self.forwarder.receiver(self.entries.get(key)?.sending?)
    }

    /// Sends again what a client misses and what is still kept.
    fn resend(&mut self, key: usize, missing: &[u16]) {
        let Some(sending) = self.entries.get(key).and_then(|entry| entry.sending) else { return };
        for sequence in missing {
            if let Some((route, bytes)) = self.forwarder.resend(sending, *sequence) {
                self.outputs.push_back(Output::Transmit(Transmit {
                    proto: Protocol::Udp,
                    source: route.source,
                    destination: route.destination,
                    contents: bytes.into(),
                }));
            }
        }
    }

    /// Only an earlier deadline is worth a new element; a later one is noticed when the earlier one comes.
    fn schedule(&mut self, key: usize, deadline: Instant) {
        let deadline = next_tick(*self.first_tick.get_or_insert(deadline), deadline);
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.scheduled.is_none_or(|scheduled| deadline < scheduled) {
            entry.scheduled = Some(deadline);
            self.deadlines.push(Reverse((deadline, key)));
        }
    }

    fn forget(&mut self, key: usize, reason: Reason) {
        let Some(entry) = self.entries.try_remove(key) else { return };
        self.by_id.remove(&entry.session.id);
        self.by_ufrag.remove(&entry.ufrag);
        if let Some(sending) = entry.sending {
            self.forwarder.remove_receiver(sending);
        }
        for address in entry.session.addresses() {
            self.forget_address(key, address);
        }
        self.outputs.push_back(Output::Gone {
            session: entry.session.id,
            track: entry.track,
            was_connected: entry.sending.is_some(),
            reason,
        });
    }
}

/// The first tick that is not before the deadline, however long the host has been up.
fn next_tick(first: Instant, deadline: Instant) -> Instant {
    let beyond = (deadline.saturating_duration_since(first).as_nanos() % TICK.as_nanos()) as u64;
    if beyond == 0 { deadline } else { deadline + TICK - Duration::from_nanos(beyond) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_met_on_ticks_and_never_early_even_after_years() {
        let start = Instant::now();
        for years in [0, 1, 2, 10] {
            let year = start + Duration::from_secs(years * 365 * 86_400);
            for (asked_us, met_ms) in [(0, 0), (1, 10), (9_999, 10), (10_000, 10), (10_001, 20)] {
                let met = next_tick(start, year + Duration::from_micros(asked_us));
                assert_eq!(met - year, Duration::from_millis(met_ms), "{asked_us} us after {years} years");
            }
        }
    }
}
