//! Counters and gauges, written by the threads that own the facts and read by the status page. Relaxed atomics: each
//! stands for itself, none orders another.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use serde::Serialize;

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// One more; how many that makes.
    pub fn raise(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// One more, unless there are `most` already.
    pub fn raise_below(&self, most: u64) -> bool {
        let raised = |value| (value < most).then_some(value + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised).is_ok()
    }

    /// One less; how many that makes.
    pub fn lower(&self) -> u64 {
        self.0.fetch_sub(1, Ordering::Relaxed) - 1
    }

    /// The value at present.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A level in dB relative to full scale; a fresh one reads −∞.
#[derive(Debug)]
pub struct Level(AtomicU32);

impl Default for Level {
    fn default() -> Self {
        Level(AtomicU32::new(f32::NEG_INFINITY.to_bits()))
    }
}

impl Level {
    /// Replaces the level, in dBFS.
    pub fn set_dbfs(&self, dbfs: f32) {
        self.0.store(dbfs.to_bits(), Ordering::Relaxed);
    }

    /// The level as last set, in dBFS.
    pub fn read_dbfs(&self) -> f32 {
        f32::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Whether a station's source delivers sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceState {
    /// Being opened for the first time.
    #[default]
    Opening,
    /// Sound arrives.
    Live,
    /// The source is open but delivers nothing; listeners hear silence.
    Silent,
    /// The source is gone; listeners hear silence, and it is tried again.
    Reopening,
}

/// Where a station's sound comes from right now. Replaced as a whole when it changes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceStatus {
    /// `sine`, `device` or `loopback`.
    pub kind: &'static str,
    /// The device's name, or what the tone is.
    pub name: String,
    /// The device's stable id, if it has one.
    pub id: Option<String>,
    /// Whether sound arrives.
    pub state: SourceState,
    /// Why it does not, in a sentence.
    pub problem: Option<String>,
    /// As the device delivers it, in Hz.
    pub rate_hz: u32,
    /// As the device delivers it.
    pub channels: u16,
    /// As the device delivers it: `f32`, `i16`, …
    pub sample_format: String,
}

/// One station.
#[derive(Debug, Default)]
pub struct StationMetrics {
    /// Where the sound comes from.
    pub source: ArcSwap<SourceStatus>,
    /// Peak of the last 100 ms or so, first channel.
    pub left: Level,
    /// Peak of the last 100 ms or so, second channel (the first again, if mono).
    pub right: Level,
    /// Packets encoded.
    pub packets: Counter,
    /// Blocks the audio callback could not hand over because the encoder was behind.
    pub blocks_dropped: Counter,
    /// Packets dropped because the sender was behind.
    pub packets_dropped: Counter,
    /// Samples per channel of silence sent because the source delivered nothing.
    pub silence_samples: Counter,
    /// Samples per channel dropped because they came after the silence that stood in for them.
    pub late_samples: Counter,
    /// How often the source had to be opened again.
    pub reopened: Counter,
    /// Listeners at present.
    pub listeners: Gauge,
}

/// The rtc thread.
#[derive(Debug, Default)]
pub struct RtcMetrics {
    /// Sessions at present, connected or not.
    pub sessions: Gauge,
    /// Sessions ever admitted.
    pub admitted: Counter,
    /// Datagrams received.
    pub datagrams_in: Counter,
    /// Datagrams sent.
    pub datagrams_out: Counter,
    /// Datagrams that belonged to no session.
    pub datagrams_unknown: Counter,
    /// Datagrams the kernel would not take.
    pub datagrams_unsent: Counter,
}

/// The door.
#[derive(Debug, Default)]
pub struct DoorMetrics {
    /// TCP connections at present.
    pub connections: Gauge,
    /// TCP connections ever accepted.
    pub accepted: Counter,
    /// TCP connections turned away because the limit was reached.
    pub refused: Counter,
    /// Requests answered.
    pub requests: Counter,
}

/// Rooms.
#[derive(Debug, Default)]
pub struct RoomMetrics {
    /// Rooms that somebody is in.
    pub rooms: Gauge,
    /// Peers, those included whose seat is kept for them.
    pub peers: Gauge,
    /// Peers whose connection is open.
    pub connected: Gauge,
    /// Peers that ever came in.
    pub joined: Counter,
    /// Peers turned away because the room or the house was full.
    pub refused: Counter,
    /// Messages from browsers.
    pub messages: Counter,
    /// Peers closed because they did not take what was sent to them.
    pub too_slow: Counter,
}
