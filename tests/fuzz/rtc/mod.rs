//! Bodies of fuzz targets that take SDP offers, datagrams and sequences of events.

pub mod answer_rules;
mod connected_pair;
pub mod datagrams;
pub mod fragment;
pub mod offer;
pub mod sessions;
mod setup;
