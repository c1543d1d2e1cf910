//! roomtone (architecture page comes here)
#![deny(missing_docs)]
#![deny(unsafe_op_in_unsafe_fn)]

pub mod app;
pub mod audio;
pub mod config;
mod menu;
pub mod observe;
pub mod rtc;
pub mod signal;
mod source;
pub mod web;
