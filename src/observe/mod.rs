//! What the host can be asked about itself: counters and the log.

pub mod metrics;
