//! Stations: one named programme of host sound each.

pub mod runner;
pub mod timeline;
