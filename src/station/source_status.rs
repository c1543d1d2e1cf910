//! What a station's source is and whether it delivers sound, as its runner last said. Plain data.

use serde::Serialize;

/// Whether a station's source delivers sound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SourceState {
    /// Being opened for the first time.
    #[default]
    Opening,
    /// Sound arrives.
    Live,
    /// The source is open but delivers nothing; listeners hear silence.
    Silent,
    /// The source is gone; listeners hear silence, and it is tried again.
    Reopening,
}

/// Where a station's sound comes from right now. Replaced as a whole when it changes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceStatus {
    /// `sine`, `device` or `loopback`.
    pub kind: &'static str,
    /// The device's name, or what the tone is.
    pub name: String,
    /// The device's stable id, if it has one.
    pub id: Option<String>,
    /// Whether sound arrives.
    pub state: SourceState,
    /// Why it does not, in a sentence.
    pub problem: Option<String>,
    /// As the device delivers it, in Hz.
    pub rate_hz: u32,
    /// As the device delivers it.
    pub channels: u16,
    /// As the device delivers it: `f32`, `i16`, …
    pub sample_format: String,
}
