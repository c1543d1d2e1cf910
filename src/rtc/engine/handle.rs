//! How other threads reach the rtc threads. A new session is built on the thread that asks for it, and the SDP fragment of a
//! `PATCH` is read there, so that no SDP costs the listeners anything. Every call waits for the reply, for 5 s at most.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::ids::session::SessionId;
use crate::media::packet::Packet;
use crate::media::track::TrackId;
use crate::net::interfaces;
use crate::observe::metrics::{Counter, Gauge};
use crate::rtc::ice::candidates;
use crate::rtc::ice::credentials::LocalCredentials;
use crate::rtc::ice::patch::{self, IcePatch};
use crate::rtc::profile::{OpusTrack, Profile, Role};
use crate::rtc::requests::{Admitted, Offer, Patch, PatchRefusal, Patched, ReachedAt, Refusal};
use crate::rtc::sdp::fragment::{self, IceFragment};
use crate::rtc::session::Session;
use crate::station::timeline::Timeline;

use super::shared::{Command, Shared, ThreadLink, Track};

/// What the engine needs to know of a track.
#[derive(Clone, Debug)]
pub struct TrackSetup {
    /// Which one it is.
    pub id: TrackId,
    /// What SDP tells of it.
    pub opus: OpusTrack,
    /// Where its latest packets are read for resends.
    pub timeline: Timeline,
    /// Sessions that receive it at present.
    pub listeners: Gauge,
    /// Packets dropped because an rtc thread was behind.
    pub packets_dropped: Counter,
}

/// For the threads that answer clients. A clone reaches the same rtc threads.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    /// The profile of every track's listeners, but for the track itself.
    profile: Profile,
    /// Counts up; the remainder is the thread of the next session.
    next_thread: Arc<AtomicUsize>,
}

/// The encoder's end of the packet queues of one track.
#[derive(Clone)]
pub struct PacketSender {
    shared: Arc<Shared>,
    track: TrackId,
    packets_dropped: Counter,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.shared.threads.iter().map(|thread| thread.local)).finish()
    }
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>, profile: Profile) -> Handle {
        Handle { shared, profile, next_thread: Arc::default() }
    }

    /// Adds a track that sessions may receive from now on.
    ///
    /// Returns where its packets go.
    ///
    /// # Errors
    /// If an rtc thread is behind or has ended.
    pub fn add_track(&self, setup: TrackSetup) -> io::Result<PacketSender> {
        let TrackSetup { id, opus, timeline, listeners, packets_dropped } = setup;
        let profile = Profile { role: Role::Listener(opus), ..self.profile.clone() };
        let track = Arc::new(Track { id, profile, timeline, listeners });
        for thread in &self.shared.threads {
            thread.ask(|reply| Command::AddTrack { track: track.clone(), reply }).ok_or_else(no_answer)?;
        }
        self.shared.insert_track(track);
        Ok(PacketSender { shared: self.shared.clone(), track: id, packets_dropped })
    }

    /// Removes a track and closes the sessions that receive it. False if there is no such track.
    ///
    /// # Errors
    /// If an rtc thread is behind or has ended; no new session can receive the track all the same.
    pub fn remove_track(&self, id: TrackId) -> io::Result<bool> {
        let was_there = self.shared.remove_track(id).is_some();
        for thread in &self.shared.threads {
            thread.ask(|reply| Command::RemoveTrack { track: id, reply }).ok_or_else(no_answer)?;
        }
        Ok(was_there)
    }

    /// Admits a session; it is registered when this returns, so that its first STUN check finds it.
    ///
    /// # Errors
    /// [`Refusal`] says who is to blame.
    pub fn admit(&self, offer: Offer) -> Result<Admitted, Refusal> {
        let shared = &self.shared;
        let Some(track) = shared.track(offer.track) else { return Err(Refusal::NotOnAir) };
        if shared.is_full() {
            return Err(Refusal::Full);
        }
        // Before the SDP is read, so that a flood costs little.
        shared.take_offer(offer.client, Instant::now()).map_err(Refusal::TooFast)?;
        let Some(permit) = shared.per_address.take(offer.client) else { return Err(Refusal::FullFromAddress) };
        if track.timeline.head() == 0 {
            return Err(Refusal::NotOnAir);
        }
        let nth = self.next_thread.fetch_add(1, Ordering::Relaxed) % shared.threads.len();
        let thread = &shared.threads[nth];
        let id = SessionId::random(nth as u8);
        let local = LocalCredentials::random();
        let etag = local.etag();
        let candidates = candidate_lines(thread, nth, offer.reached_at);
        let accepted = Session::accept(id, &offer.sdp, &track.profile, local, &candidates, Instant::now());
        let (session, answer) = accepted.map_err(Refusal::BadOffer)?;
        let session = Box::new(session);
        match thread.ask(|reply| Command::Admit { session, track: track.id, permit, reply }) {
            Some(true) => Ok(Admitted { session: id, answer, etag }),
            Some(false) => Err(Refusal::Full),
            None => Err(Refusal::Busy),
        }
    }

    /// Adds candidates or restarts ICE.
    ///
    /// # Errors
    /// [`PatchRefusal`]; the session goes on as it was.
    pub fn patch(&self, id: SessionId, patch: Patch) -> Result<Patched, PatchRefusal> {
        let thread = self.thread_of(id).ok_or(PatchRefusal::Unknown)?;
        self.shared.take_patch(patch.client, Instant::now()).map_err(PatchRefusal::TooFast)?;
        let fragment = IceFragment::parse(&patch.fragment).map_err(PatchRefusal::BadFragment)?;
        let local = LocalCredentials::random();
        let restart = fragment.credentials.map(|remote| (local.clone(), remote));
        let patched = IcePatch { mid: fragment.mid, restart, if_match: patch.if_match };
        match thread.ask(|reply| Command::Patch { id, patch: patched, reply }).unwrap_or(Err(PatchRefusal::Busy))? {
            patch::Patched::Trickled => Ok(Patched::Trickled),
            patch::Patched::Restarted { mid } => {
                let candidates = candidate_lines(thread, usize::from(id.thread()), patch.reached_at);
                let fragment = fragment::answer_fragment(mid.as_deref(), &local, &candidates);
                Ok(Patched::Restarted { fragment, etag: local.etag() })
            }
        }
    }

    /// Closes a session. False if there is none of that id.
    pub fn close(&self, id: SessionId) -> bool {
        self.thread_of(id).and_then(|thread| thread.ask(|reply| Command::Close { id, reply })).unwrap_or(false)
    }

    /// Whether every rtc thread answers.
    pub fn answers(&self) -> bool {
        self.shared.threads.iter().all(|thread| thread.ask(|reply| Command::Ping { reply }).is_some())
    }

    fn thread_of(&self, id: SessionId) -> Option<&ThreadLink> {
        self.shared.threads.get(usize::from(id.thread()))
    }
}

/// The candidates of a session of the nth thread.
fn candidate_lines(thread: &ThreadLink, nth: usize, reached_at: Option<ReachedAt>) -> Vec<String> {
    let own = interfaces::local_addresses(thread.local, reached_at.map(|reached| reached.ip));
    candidates::lines(&own, &reached_addresses(reached_at, thread.local.port(), nth))
}

/// Where a client that typed this address may reach the nth thread, whose port is this: a router forwards its own port, or one
/// that follows the one that was typed as this port follows the first one. On loopback the typed port is told only if it is
/// another one, as with a container: this host's own addresses have the rest.
fn reached_addresses(reached_at: Option<ReachedAt>, port: u16, nth: usize) -> Vec<SocketAddr> {
    let Some(ReachedAt { ip, port: typed }) = reached_at else { return vec![] };
    let typed = typed.and_then(|typed| typed.checked_add(u16::try_from(nth).ok()?));
    let ports = [Some(port).filter(|_| !ip.is_loopback()), typed.filter(|typed| *typed != port && *typed != 0)];
    ports.into_iter().flatten().map(|port| SocketAddr::new(ip, port)).collect()
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "an rtc thread does not answer")
}

impl PacketSender {
    /// Hands a packet with its timeline index to the rtc threads; never waits.
    pub fn send(&self, index: u64, packet: &Packet) {
        for thread in &self.shared.threads {
            thread.queue((self.track, index, packet.clone()), &self.packets_dropped);
        }
        // All queues first: the first thread to wake may displace this one from the processor.
        for thread in &self.shared.threads {
            thread.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_port_leads_to_the_nth_thread_as_the_own_one_does() {
        let of = |ip: &str, typed, port, nth| {
            let reached = ReachedAt { ip: ip.parse().unwrap(), port: typed };
            let addresses = reached_addresses(Some(reached), port, nth);
            addresses.iter().map(|address| address.port()).collect::<Vec<_>>()
        };
        assert_eq!(of("203.0.113.9", None, 8088, 0), [8088]);
        assert_eq!(of("203.0.113.9", Some(8088), 8088, 0), [8088]);
        assert_eq!(of("203.0.113.9", Some(9000), 8088, 0), [8088, 9000]);
        assert_eq!(of("203.0.113.9", Some(9000), 8090, 2), [8090, 9002]);
        assert_eq!(of("203.0.113.9", Some(8088), 8089, 1), [8089]);
        assert_eq!(of("203.0.113.9", Some(65_535), 8089, 1), [8089]);
        assert_eq!(of("127.0.0.1", Some(8088), 8088, 0), [0u16; 0]);
        assert_eq!(of("127.0.0.1", Some(9000), 8088, 0), [9000]);
        assert!(reached_addresses(None, 8088, 0).is_empty());
    }
}
