//! roomtone (architecture page comes here)
#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod audio;
pub mod observe;
pub mod rtc;
pub mod web;
