//! From captured blocks in any format to 48 kHz blocks of one packet each, on time. Pure.

pub mod blocks;
pub mod convert;
pub mod resample;
