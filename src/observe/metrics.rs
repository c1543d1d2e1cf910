//! The values that are counted: counters, gauges, levels. Written by the threads that own the facts, read when somebody asks
//! for the metrics. Relaxed atomics: each value stands alone, none orders another. A clone is another handle on the same
//! value.
//!
//! They are copies for display: no decision of the program is taken from one. Names, labels and output formats are in
//! `registry`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A count that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

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
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Replaces the value.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// Adds one and returns the new value.
    pub fn raise(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Subtracts one and returns the new value.
    pub fn lower(&self) -> u64 {
        self.0.fetch_sub(1, Ordering::Relaxed) - 1
    }

    /// The value at present.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A level in dB relative to full scale; −∞ until it is set.
#[derive(Clone, Debug)]
pub struct Level(Arc<AtomicU32>);

impl Default for Level {
    fn default() -> Self {
        Level(Arc::new(AtomicU32::new(f32::NEG_INFINITY.to_bits())))
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
