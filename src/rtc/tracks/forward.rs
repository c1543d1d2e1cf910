//! From one packet of a track to all of its receivers.
//!
//! Pure. It holds, for each track, the send tracks of its receivers side by side, and seals a packet for one after the
//! other into the batch that leaves. It knows no session but by its key: a packet that must pass through a session's engine
//! is handed back to the caller.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use slab::Slab;

use crate::media::packet::Packet;
use crate::media::track::TrackId;
use crate::rtc::srtp::prefetch::prefetch;
use crate::rtc::tracks::send::SendTrack;
use crate::rtc::udp::batch::{Batch, Route};
use crate::station::timeline::Timeline;

/// A send track is prefetched so many receivers before its turn, and its key so many.
const SEND_TRACKS_AHEAD: usize = 6;
const KEYS_AHEAD: usize = 2;

/// Where a receiver's send track is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendKey {
    /// The track that it receives.
    pub track: TrackId,
    key: usize,
}

/// What happened in one step of forwarding.
#[derive(Debug)]
pub enum Step {
    /// The batch is full, or one packet has reached all of its receivers.
    Sealed,
    /// This packet must leave through that session's engine, with that sequence number; then take the next step.
    Engine {
        /// The session's key.
        session: usize,
        /// Extended RTP sequence number.
        sequence: u64,
        /// What to send.
        packet: Packet,
        /// When it came from the encoder.
        at: Instant,
    },
    /// No packet is left.
    Idle,
}

/// All tracks that this thread's sessions may receive.
#[derive(Default)]
pub struct Forwarder {
    tracks: HashMap<TrackId, Track>,
    /// Packets on their way to their receivers.
    rounds: VecDeque<Round>,
}

struct Track {
    timeline: Timeline,
    /// Its receivers, in the order in which they are served.
    receivers: Slab<SendTrack>,
}

/// One packet, and how many of its track's receivers have been served.
struct Round {
    track: TrackId,
    index: u64,
    packet: Packet,
    at: Instant,
    served: usize,
}

impl Forwarder {
    /// Adds a track. Resends are read from its timeline.
    pub fn add_track(&mut self, id: TrackId, timeline: Timeline) {
        self.tracks.insert(id, Track { timeline, receivers: Slab::new() });
    }

    /// Forgets a track, and its packets that are still on their way.
    ///
    /// Returns the keys of the sessions that received it.
    pub fn remove_track(&mut self, id: TrackId) -> Vec<usize> {
        self.rounds.retain(|round| round.track != id);
        let track = self.tracks.remove(&id);
        track.map_or(vec![], |track| track.receivers.iter().map(|(_, receiver)| receiver.session).collect())
    }

    /// Adds a receiver. None if there is no such track (any more).
    pub fn add_receiver(&mut self, track: TrackId, receiver: SendTrack) -> Option<SendKey> {
        let key = self.tracks.get_mut(&track)?.receivers.insert(receiver);
        Some(SendKey { track, key })
    }

    /// Removes a receiver.
    pub fn remove_receiver(&mut self, key: SendKey) {
        if let Some(track) = self.tracks.get_mut(&key.track) {
            track.receivers.try_remove(key.key);
        }
    }

    /// A receiver's send track.
    pub fn receiver(&mut self, key: SendKey) -> Option<&mut SendTrack> {
        self.tracks.get_mut(&key.track)?.receivers.get_mut(key.key)
    }

    /// The next packet of a track, and its index in the timeline. Packets of unknown tracks are dropped.
    pub fn push(&mut self, track: TrackId, index: u64, packet: Packet, now: Instant) {
        if self.tracks.contains_key(&track) {
            self.rounds.push_back(Round { track, index, packet, at: now, served: 0 });
        }
    }

    /// Seals packets into the batch until it is full, a packet has reached all, or one must pass through an engine.
    pub fn step(&mut self, batch: &mut Batch) -> Step {
        let Some(round) = self.rounds.front_mut() else { return Step::Idle };
        let Some(track) = self.tracks.get_mut(&round.track) else {
            self.rounds.pop_front();
            return Step::Sealed;
        };
        while !batch.is_full() {
            if round.served >= track.receivers.capacity() {
                self.rounds.pop_front();
                return Step::Sealed;
            }
            track.receivers.get(round.served + SEND_TRACKS_AHEAD).inspect(|receiver| prefetch(*receiver));
            track.receivers.get(round.served + KEYS_AHEAD).inspect(|receiver| receiver.prefetch_key());
            let receiver = track.receivers.get_mut(round.served);
            round.served += 1;
            let Some(receiver) = receiver else { continue };
            if receiver.route.is_none() {
                continue;
            }
            if receiver.can_seal() {
                receiver.seal(&round.packet, round.index, round.at, batch);
            } else {
                let sequence = receiver.next_engine_sequence(&round.packet, round.at);
                let (session, packet) = (receiver.session, round.packet.clone());
                return Step::Engine { session, sequence, packet, at: round.at };
            }
        }
        Step::Sealed
    }

    /// Seals a packet again that a client misses, by the 16 bits of its sequence number. None if it was not sealed here, is
    /// no longer in the timeline, or the client's retransmit budget is spent.
    pub fn resend(&mut self, key: SendKey, sequence: u16) -> Option<(Route, Vec<u8>)> {
        let track = self.tracks.get_mut(&key.track)?;
        let receiver = track.receivers.get_mut(key.key)?;
        let index = receiver.index_of_missing(sequence)?;
        receiver.reseal(&track.timeline.get(index)?, index)
    }
}
