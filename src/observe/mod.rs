//! What the host can be asked about itself: counters and the log.

pub mod log;
pub mod metrics;
pub mod reports;
pub mod service;
