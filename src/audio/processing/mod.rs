//! From blocks in any format to 48 kHz blocks that leave on time. Pure.

pub mod blocks;
pub mod convert;
pub mod resample;
