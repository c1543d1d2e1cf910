//! The sound cards of a Linux machine, through ALSA.

pub(crate) mod cards;
mod channel_maps;
pub(crate) mod configuration;
mod messages;
