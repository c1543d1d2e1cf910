//! Stations: one named programme of host sound each.

pub mod metrics;
pub mod runner;
pub mod source_status;
pub mod timeline;
