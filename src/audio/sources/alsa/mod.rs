//! The sound cards of a Linux machine, through ALSA.

pub(crate) mod cards;
pub(crate) mod configuration;
mod messages;
