//! What the rtc threads, their handles and the encoders share: how each thread is reached, and what all of them know.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use mio::Waker;

use crate::ids::session::SessionId;
use crate::media::packet::Packet;
use crate::media::track::TrackId;
use crate::net::concurrency_limit::{ConcurrencyLimit, Permit};
use crate::net::rate_limiter::RateLimiter;
use crate::observe::metrics::{Counter, Gauge};
use crate::rtc::ice::patch::{IcePatch, Patched};
use crate::rtc::mailbox::Mailbox;
use crate::rtc::metrics::RtcMetrics;
use crate::rtc::profile::Profile;
use crate::rtc::requests::PatchRefusal;
use crate::rtc::session::Session;
use crate::station::timeline::Timeline;

/// Commands that wait for one rtc thread. Full means that the caller is told to come again.
const COMMANDS: usize = 256;

/// Packets that wait for one rtc thread, of all tracks. Full means that the oldest is dropped and counted: 64 packets are
/// more than a second of sound, and a delay once built up would never go away.
const PACKETS: usize = 64;

/// After a pause, so many seconds' worth of offers may come at once: a class that presses play together, or all listeners
/// of an office that come back after a restart.
const BURST_S: f64 = 5.0;

/// A client sends some candidates one by one after its offer, and later restarts ICE now and then.
const PATCHES_PER_OFFER: f64 = 10.0;

/// How long a command may wait for its reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// What an rtc thread is told to do.
pub(super) enum Command {
    AddTrack { track: Arc<Track>, reply: Sender<()> },
    RemoveTrack { track: TrackId, reply: Sender<()> },
    Admit { session: Box<Session>, track: TrackId, permit: Permit, reply: Sender<bool> },
    Patch { id: SessionId, patch: IcePatch, reply: Sender<Result<Patched, PatchRefusal>> },
    Close { id: SessionId, reply: Sender<bool> },
    Ping { reply: Sender<()> },
}

/// A track that sessions may receive.
pub(super) struct Track {
    pub id: TrackId,
    /// How its sessions are set up.
    pub profile: Profile,
    pub timeline: Timeline,
    pub listeners: Gauge,
}

/// A packet on its way to one rtc thread: its track, its index in the track's timeline, itself.
pub(super) type QueuedPacket = (TrackId, u64, Packet);

/// How one rtc thread is reached.
pub(super) struct ThreadLink {
    pub commands: Mailbox<Command>,
    packet_sender: Sender<QueuedPacket>,
    /// The thread's end; senders use it to take the oldest out when the queue is full.
    pub packets: Receiver<QueuedPacket>,
    pub waker: Waker,
    pub local: SocketAddr,
}

impl ThreadLink {
    pub fn new(waker: Waker, local: SocketAddr) -> ThreadLink {
        let (packet_sender, packets) = bounded(PACKETS);
        ThreadLink { commands: Mailbox::new(COMMANDS), packet_sender, packets, waker, local }
    }

    /// Sends a command and waits for the reply. None if the thread is behind or has ended.
    pub fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = bounded(1);
        if !self.commands.put(command(reply)) {
            return None;
        }
        self.waker.wake().ok()?;
        answer.recv_timeout(REPLY_TIMEOUT).ok()
    }

    /// Queues a packet without waiting; call `wake` afterwards.
    pub fn queue(&self, mut item: QueuedPacket, dropped: &Counter) {
        while let Err(TrySendError::Full(back)) = self.packet_sender.try_send(item) {
            item = back;
            if self.packets.try_recv().is_ok() {
                dropped.add(1);
            }
        }
    }

    /// Wakes the thread. A waker that fails has no thread behind it any more, and its end was reported.
    pub fn wake(&self) {
        let _ = self.waker.wake();
    }
}

/// What all rtc threads know.
pub(super) struct Shared {
    pub threads: Vec<ThreadLink>,
    /// Read once per offer, written when stations come and go.
    tracks: RwLock<HashMap<TrackId, Arc<Track>>>,
    pub max_sessions: usize,
    /// Sessions of all threads. The limit is decided here; the metric of this name is a copy.
    sessions: AtomicUsize,
    pub per_address: ConcurrencyLimit,
    /// How fast each address may make offers, and how fast it may send `PATCH`es. Only threads that answer clients lock them.
    offers: Mutex<RateLimiter>,
    patches: Mutex<RateLimiter>,
    pub metrics: RtcMetrics,
    pub stopping: AtomicBool,
}

impl Shared {
    pub fn new(
        threads: Vec<ThreadLink>,
        max_sessions: usize,
        max_sessions_per_address: usize,
        offers_per_s: usize,
        metrics: RtcMetrics,
    ) -> Shared {
        let offers_per_s = offers_per_s as f64;
        let patches_per_s = PATCHES_PER_OFFER * offers_per_s;
        Shared {
            threads,
            tracks: RwLock::default(),
            max_sessions,
            sessions: AtomicUsize::new(0),
            per_address: ConcurrencyLimit::within(max_sessions_per_address, max_sessions),
            offers: Mutex::new(RateLimiter::new(offers_per_s, BURST_S * offers_per_s)),
            patches: Mutex::new(RateLimiter::new(patches_per_s, BURST_S * patches_per_s)),
            metrics,
            stopping: AtomicBool::new(false),
        }
    }

    pub fn track(&self, id: TrackId) -> Option<Arc<Track>> {
        self.tracks.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    pub fn insert_track(&self, track: Arc<Track>) {
        self.tracks.write().unwrap_or_else(PoisonError::into_inner).insert(track.id, track);
    }

    pub fn remove_track(&self, id: TrackId) -> Option<Arc<Track>> {
        self.tracks.write().unwrap_or_else(PoisonError::into_inner).remove(&id)
    }

    /// Takes one offer from the budget of this address.
    ///
    /// # Errors
    /// The time until there is one.
    pub fn take_offer(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner).take(client, now)
    }

    /// Takes one `PATCH` from the budget of this address.
    ///
    /// # Errors
    /// The time until there is one.
    pub fn take_patch(&self, client: IpAddr, now: Instant) -> Result<(), Duration> {
        self.patches.lock().unwrap_or_else(PoisonError::into_inner).take(client, now)
    }

    pub fn is_full(&self) -> bool {
        self.sessions.load(Ordering::Relaxed) >= self.max_sessions
    }

    /// Counts one session more, unless the limit is reached.
    pub fn begin_session(&self) -> bool {
        let more = |count| (count < self.max_sessions).then_some(count + 1);
        let begun = self.sessions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        self.metrics.sessions.set(self.sessions.load(Ordering::Relaxed) as u64);
        begun
    }

    /// Counts one session less.
    pub fn end_session(&self) {
        let count = self.sessions.fetch_sub(1, Ordering::Relaxed) - 1;
        self.metrics.sessions.set(count as u64);
    }
}
