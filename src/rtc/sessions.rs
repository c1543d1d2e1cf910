//! All listeners of this host: who gets which datagram, who is due when, and one packet sent to many.
//!
//! Pure, like [`crate::rtc::session`]: change one thing, then drain [`Fanout::poll_output`]. Nothing here looks at every
//! session to find one: addresses, ICE user fragments and ids are hashed, deadlines lie in a heap.

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
use crate::rtc::requests::{IfMatch, PatchRefusal, Patched};
use crate::rtc::session::{self, Listener, Reason};
use crate::rtc::srtp::prefetch::fetch;
use crate::rtc::tracks::send::{Voice, Way};
use crate::rtc::udp::batch::Batch;
use crate::rtc::udp::stun;
use crate::station::timeline::History;

/// Addresses remembered for one session: a browser checks from every interface it has, and moves between networks.
const ADDRESSES_PER_SESSION: usize = 16;

/// Checks remembered for one session, so that whoever repeats one that he saw cannot draw the session to himself. A
/// connected browser makes one every few seconds.
const CHECKS_PER_SESSION: usize = 64;

/// So many listeners before it is their turn, voices are fetched from memory, and then their keys.
const VOICES_AHEAD: usize = 6;
const KEYS_AHEAD: usize = 2;

/// With no session there is nothing to wait for; looking again once an hour costs nothing.
const IDLE: Duration = Duration::from_secs(3600);

/// A session that asks to be told the time at once is told a little later, so that none can keep the loop to itself.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// Sessions are told the time at full multiples of this, many in one turn: waking up costs more than most of them want done.
/// What they wait for, reports and repetitions, is a matter of tenths of seconds.
const TICK: Duration = Duration::from_millis(10);

/// Plain STUN answers a second, to all together. Several thousand browsers may ask in the same second, each a few times;
/// whoever asks more, or in the name of others, shall take neither this thread's time nor its listeners' bandwidth.
const STUN_ANSWERS_PER_S: u32 = 5_000;
/// Where a STUN message carries it (RFC 8489 §5).
const TRANSACTION_ID: std::ops::Range<usize> = 8..20;
const STUN_WINDOW: Duration = Duration::from_secs(1);

/// What the fanout wants done or known.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Transmit(Transmit),
    /// Send what the batch now holds.
    Batch,
    /// A session's sound starts to flow.
    Connected {
        /// Whose.
        listener: SessionId,
        /// What it hears.
        station: usize,
    },
    /// A session is over and forgotten.
    Gone {
        /// Whose.
        listener: SessionId,
        /// What it heard.
        station: usize,
        /// Whether it had been connected.
        was_connected: bool,
        /// Why.
        reason: Reason,
    },
    /// Nothing more until then.
    Wait(Instant),
}

/// Every session, and the indexes that find them.
pub struct Fanout {
    seats: Slab<Seat>,
    by_id: HashMap<SessionId, usize>,
    by_ufrag: HashMap<String, usize>,
    by_address: HashMap<SocketAddr, usize>,
    /// Earliest first. An entry counts only if it is the one its seat has in `scheduled`.
    deadlines: BinaryHeap<Reverse<(Instant, usize)>>,
    outputs: VecDeque<Output>,
    /// By the stations' index.
    lanes: Vec<Lane>,
    /// Packets on their way to their listeners.
    rounds: VecDeque<Round>,
    /// From when ticks are counted.
    start: Option<Instant>,
    /// Since when plain STUN answers are counted, and how many there were.
    stun_answers: Option<(Instant, u32)>,
}

struct Seat {
    /// Ten thousand bytes that need not move when the table grows, nor leave it as large as it ever was.
    listener: Box<Listener>,
    ufrag: String,
    addresses: VecDeque<SocketAddr>,
    /// The beginnings of the transaction ids of its last checks (RFC 8489 §5: 96 random bits).
    checks: VecDeque<u32>,
    scheduled: Option<Instant>,
    /// Key of its voice in its station's lane, once it has been connected.
    voice: Option<usize>,
}

/// One station: its last packets, and all who hear it, in the order in which they are served.
struct Lane {
    history: History,
    voices: Slab<Voice>,
}

/// One packet, and how many of its station's listeners have been served.
struct Round {
    station: usize,
    place: u64,
    packet: Packet,
    at: Instant,
    served: usize,
}

impl Fanout {
    /// Without listeners. There are as many stations as histories, in the order of their index.
    pub fn new(histories: impl IntoIterator<Item = History>) -> Fanout {
        let lane = |history| Lane { history, voices: Slab::new() };
        Fanout {
            seats: Slab::new(),
            by_id: HashMap::new(),
            by_ufrag: HashMap::new(),
            by_address: HashMap::new(),
            deadlines: BinaryHeap::new(),
            outputs: VecDeque::new(),
            lanes: histories.into_iter().map(lane).collect(),
            rounds: VecDeque::new(),
            start: None,
            stun_answers: None,
        }
    }

    /// How many sessions there are, connected or not.
    pub fn len(&self) -> usize {
        self.seats.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.seats.is_empty()
    }

    /// Takes a session in; datagrams for it may arrive from now on.
    pub fn admit(&mut self, listener: impl Into<Box<Listener>>, now: Instant) {
        let mut listener = listener.into();
        let (id, ufrag) = (listener.id, listener.ufrag());
        let key = self.seats.insert(Seat {
            listener,
            ufrag: ufrag.clone(),
            addresses: VecDeque::new(),
            checks: VecDeque::new(),
            scheduled: None,
            voice: None,
        });
        self.by_id.insert(id, key);
        self.by_ufrag.insert(ufrag, key);
        self.drain(key, now);
    }

    /// A datagram arrived. False if it belongs to nobody.
    pub fn handle_datagram(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8], now: Instant) -> bool {
        if let Some(answer) = stun::answer(bytes, source) {
            if !self.may_answer_stun(now) {
                return false;
            }
            // From the very address it was asked on, like everything else.
            let (source, destination) = (destination, source);
            let transmit = Transmit { proto: Protocol::Udp, source, destination, contents: answer.into() };
            self.outputs.push_back(Output::Transmit(transmit));
            return true;
        }
        let Some(key) = self.find_session(source, destination, bytes, now) else { return false };
        self.change(key, now, |listener| listener.handle_datagram(source, destination, bytes, now));
        true
    }

    /// The next packet of a station, for all who listen to it, and its place in the station's history.
    pub fn handle_packet(&mut self, station: usize, place: u64, packet: Packet, now: Instant) {
        self.rounds.push_back(Round { station, place, packet, at: now, served: 0 });
    }

    /// Time passed: every session whose deadline has come is told.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&Reverse((deadline, key))) = self.deadlines.peek()
            && deadline <= now
        {
            self.deadlines.pop();
            let Some(seat) = self.seats.get_mut(key) else { continue };
            if seat.scheduled == Some(deadline) {
                seat.scheduled = None;
                self.change(key, now, |listener| listener.handle_timeout(now));
            }
        }
    }

    /// Adds candidates to a session or restarts its ICE.
    ///
    /// # Errors
    /// [`PatchRefusal`]; the session goes on as it was.
    pub fn handle_patch(
        &mut self,
        id: SessionId,
        fragment: &str,
        if_match: &IfMatch,
        now: Instant,
    ) -> Result<Patched, PatchRefusal> {
        let key = *self.by_id.get(&id).ok_or(PatchRefusal::Unknown)?;
        let mut result = Err(PatchRefusal::Unknown);
        self.change(key, now, |listener| result = listener.handle_patch(fragment, if_match));
        if let Some(seat) = self.seats.get_mut(key) {
            let ufrag = seat.listener.ufrag();
            if ufrag != seat.ufrag {
                self.by_ufrag.remove(&seat.ufrag);
                seat.ufrag.clone_from(&ufrag);
                self.by_ufrag.insert(ufrag, key);
            }
        }
        result
    }

    /// Ends a session with a goodbye. False if there is none of that id.
    pub fn dismiss(&mut self, id: SessionId, now: Instant) -> bool {
        let Some(&key) = self.by_id.get(&id) else { return false };
        self.change(key, now, Listener::close);
        true
    }

    /// Ends every session with a goodbye.
    pub fn dismiss_all(&mut self, now: Instant) {
        let ids: Vec<SessionId> = self.by_id.keys().copied().collect();
        for id in ids {
            self.dismiss(id, now);
        }
    }

    /// The next thing to do. If it is [`Output::Batch`], `batch` was filled anew.
    pub fn poll_output(&mut self, now: Instant, batch: &mut Batch) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        batch.clear();
        while let Some(round) = self.rounds.pop_front() {
            if let Some(round) = self.serve(round, batch) {
                self.rounds.push_front(round);
            }
            if !batch.is_empty() {
                return Output::Batch;
            }
            if let Some(output) = self.outputs.pop_front() {
                return output;
            }
        }
        let deadline = self.deadlines.peek().map(|Reverse((deadline, _))| *deadline);
        Output::Wait(deadline.unwrap_or(now + IDLE))
    }

    /// Seals a packet for the next of its listeners, until the batch is full. The round, if there are more of them.
    fn serve(&mut self, mut round: Round, batch: &mut Batch) -> Option<Round> {
        let Round { station, place, ref packet, at, .. } = round;
        while !batch.is_full() {
            let lane = self.lanes.get_mut(station)?;
            if round.served >= lane.voices.capacity() {
                return None;
            }
            lane.voices.get(round.served + VOICES_AHEAD).inspect(|voice| fetch(*voice));
            lane.voices.get(round.served + KEYS_AHEAD).inspect(|voice| voice.fetch_key());
            let voice = lane.voices.get_mut(round.served);
            round.served += 1;
            let Some(voice) = voice else { continue };
            match voice.way {
                Way::Sealed(_) => {
                    voice.seal(packet, place, at, batch);
                }
                Way::Engine => {
                    let (seat, sequence) = (voice.seat, voice.number(packet, at));
                    self.change(seat, at, |listener| listener.write(sequence, packet, at));
                }
                Way::Nowhere => {}
            }
        }
        Some(round)
    }

    fn voice(&mut self, key: usize) -> Option<&mut Voice> {
        let seat = self.seats.get(key)?;
        self.lanes.get_mut(seat.listener.station)?.voices.get_mut(seat.voice?)
    }

    /// Sends again what a client misses and what is still there.
    fn resend(&mut self, key: usize, missing: &[u16]) {
        let Some(seat) = self.seats.get(key) else { return };
        let (Some(lane), Some(voice)) = (self.lanes.get_mut(seat.listener.station), seat.voice) else { return };
        let Some(voice) = lane.voices.get_mut(voice) else { return };
        for sequence in missing {
            let Some(place) = voice.place_of_missing(*sequence) else { continue };
            let Some(packet) = lane.history.at(place) else { continue };
            if let Some((route, bytes)) = voice.reseal(&packet, place) {
                let transmit = Transmit {
                    proto: Protocol::Udp,
                    source: route.source,
                    destination: route.destination,
                    contents: bytes.into(),
                };
                self.outputs.push_back(Output::Transmit(transmit));
            }
        }
    }

    fn may_answer_stun(&mut self, now: Instant) -> bool {
        let fresh = (now, 0);
        let (since, count) = self.stun_answers.filter(|(since, _)| now < *since + STUN_WINDOW).unwrap_or(fresh);
        self.stun_answers = Some((since, count + 1));
        count < STUN_ANSWERS_PER_S
    }

    /// STUN names its session; everything else is known by where it comes from, once STUN has proved who is there.
    fn find_session(
        &mut self,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
        now: Instant,
    ) -> Option<usize> {
        let known = self.by_address.get(&source).copied();
        // RFC 7983 §7: STUN begins with a byte from 0 to 3.
        if !matches!(bytes.first(), Some(0..=3)) {
            return known;
        }
        let message = StunMessage::parse(bytes).ok()?;
        // A response names nobody, but an ICE-lite agent has asked nothing.
        let (ours, _) = message.split_username()?;
        let key = *self.by_ufrag.get(ours)?;
        let seat = self.seats.get_mut(key)?;
        let check = u32::from_be_bytes(*bytes.get(TRANSACTION_ID)?.first_chunk()?);
        let is_repeated = seat.checks.contains(&check);
        if known == Some(key) && is_repeated {
            return Some(key);
        }
        // The user fragment can be seen by others; only a message with the session's own integrity moves it, and only
        // once: the same check from elsewhere is somebody else's. From where it is known, the engine looks for itself.
        let is_genuine = || seat.listener.accepts(source, destination, bytes, now);
        if known != Some(key) && (is_repeated || !is_genuine()) {
            return None;
        }
        if seat.checks.len() == CHECKS_PER_SESSION {
            seat.checks.pop_front();
        }
        seat.checks.push_back(check);
        if known != Some(key) {
            self.remember_address(key, source);
        }
        Some(key)
    }

    fn remember_address(&mut self, key: usize, address: SocketAddr) {
        let Some(seat) = self.seats.get_mut(key) else { return };
        if seat.addresses.len() == ADDRESSES_PER_SESSION
            && let Some(oldest) = seat.addresses.pop_front()
            && self.by_address.get(&oldest) == Some(&key)
        {
            self.by_address.remove(&oldest);
        }
        seat.addresses.push_back(address);
        self.by_address.insert(address, key);
    }

    /// Makes one change to one session and drains it. A session that panics is our bug or the engine's, but it ends that
    /// session and no other.
    fn change(&mut self, key: usize, now: Instant, change: impl FnOnce(&mut Listener)) {
        // The engine may be about to report, of packets that it has not seen.
        let report = self.voice(key).filter(|voice| voice.can_seal()).map(|voice| voice.report(now));
        let Some(seat) = self.seats.get_mut(key) else { return };
        let listener = &mut seat.listener;
        if let Some(report) = report {
            listener.report(report);
        }
        if catch_unwind(AssertUnwindSafe(|| change(listener))).is_err() {
            return self.forget(key, Reason::Broken);
        }
        self.drain(key, now);
        self.find_way(key);
    }

    fn drain(&mut self, key: usize, now: Instant) {
        let mut told_the_time = false;
        loop {
            let Some(seat) = self.seats.get_mut(key) else { return };
            let listener = &mut seat.listener;
            let output = catch_unwind(AssertUnwindSafe(|| listener.poll_output(now)));
            match output {
                Ok(session::Output::Transmit(transmit)) => self.outputs.push_back(Output::Transmit(transmit)),
                Ok(session::Output::Connected) => self.connect(key),
                Ok(session::Output::Acknowledged) => {
                    if let Some(voice) = self.voice(key) {
                        voice.acknowledge();
                    }
                }
                Ok(session::Output::Missing(missing)) => self.resend(key, &missing),
                Ok(session::Output::Gone(reason)) => return self.forget(key, reason),
                // The engine moves a written packet to the wire only when told the time; it says so by a deadline of now.
                Ok(session::Output::Wait(deadline)) if deadline <= now && !told_the_time => {
                    told_the_time = true;
                    if catch_unwind(AssertUnwindSafe(|| listener.handle_timeout(now))).is_err() {
                        return self.forget(key, Reason::Broken);
                    }
                }
                Ok(session::Output::Wait(deadline)) => {
                    return self.schedule(key, deadline.max(now + SHORTEST_WAIT));
                }
                Err(_) => return self.forget(key, Reason::Broken),
            }
        }
    }

    fn connect(&mut self, key: usize) {
        let Some(seat) = self.seats.get_mut(key).filter(|seat| seat.voice.is_none()) else { return };
        let (listener, station) = (seat.listener.id, seat.listener.station);
        let Some(lane) = self.lanes.get_mut(station) else { return };
        seat.voice = Some(lane.voices.insert(seat.listener.voice(key)));
        self.outputs.push_back(Output::Connected { listener, station });
    }

    /// Keeps the way of a session's packets what the session says it is.
    fn find_way(&mut self, key: usize) {
        let Some(seat) = self.seats.get(key) else { return };
        let (is_connected, route) = (seat.listener.is_connected(), seat.listener.route());
        let Some(voice) = self.voice(key) else { return };
        voice.way = match route {
            _ if !is_connected => Way::Nowhere,
            Some(route) if voice.can_seal() => Way::Sealed(route),
            _ => Way::Engine,
        };
    }

    /// Only an earlier deadline is worth a new entry; a later one is found out when the earlier comes.
    fn schedule(&mut self, key: usize, deadline: Instant) {
        let deadline = next_tick(*self.start.get_or_insert(deadline), deadline);
        let Some(seat) = self.seats.get_mut(key) else { return };
        if seat.scheduled.is_none_or(|scheduled| deadline < scheduled) {
            seat.scheduled = Some(deadline);
            self.deadlines.push(Reverse((deadline, key)));
        }
    }

    fn forget(&mut self, key: usize, reason: Reason) {
        let Some(seat) = self.seats.try_remove(key) else { return };
        self.by_id.remove(&seat.listener.id);
        self.by_ufrag.remove(&seat.ufrag);
        if let (Some(lane), Some(voice)) = (self.lanes.get_mut(seat.listener.station), seat.voice) {
            lane.voices.try_remove(voice);
        }
        for address in &seat.addresses {
            if self.by_address.get(address) == Some(&key) {
                self.by_address.remove(address);
            }
        }
        self.outputs.push_back(Output::Gone {
            listener: seat.listener.id,
            station: seat.listener.station,
            was_connected: seat.voice.is_some(),
            reason,
        });
    }
}

/// The first tick that is not before the deadline, however long the host has been up.
fn next_tick(start: Instant, deadline: Instant) -> Instant {
    let beyond = (deadline.saturating_duration_since(start).as_nanos() % TICK.as_nanos()) as u64;
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
