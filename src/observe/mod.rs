//! What the program tells about itself: metrics and the log; and how its threads report to `main`.

pub mod json;
mod line_queue;
pub mod log;
pub mod log_file;
mod log_output;
pub mod metrics;
pub mod prometheus;
pub mod registry;
pub mod reports;
pub mod sentence;
pub mod service;
