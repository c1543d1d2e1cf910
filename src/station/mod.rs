//! Stations: one named programme of host sound each.

pub mod directory;
mod feed;
mod meter;
pub mod metrics;
mod pipeline;
pub mod runner;
pub mod source;
pub mod station;
pub mod timeline;
