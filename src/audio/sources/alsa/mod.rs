//! Sound cards of a Linux host, through ALSA.

pub(crate) mod cards;
pub mod configuration;
mod messages;
