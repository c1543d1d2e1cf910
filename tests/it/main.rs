//! Everything that is tested from outside, as one binary with one harness.

mod virtual_time;
