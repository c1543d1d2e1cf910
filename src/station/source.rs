//! Where a station's sound comes from, and whether it delivers. Plain data.

use std::fmt;

use serde::Serialize;

use crate::audio::sources::capture::Finder;

/// Where the sound comes from.
#[derive(Clone)]
pub enum Source {
    /// A test tone.
    Sine {
        /// Its frequency in Hz.
        tone_hz: f64,
    },
    /// A capture device, looked up again at each opening.
    Device {
        /// `device` or `loopback`, for the status page.
        kind: &'static str,
        /// Finds it.
        finder: Finder,
    },
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Sine { tone_hz } => write!(f, "sine of {tone_hz} Hz"),
            Source::Device { kind, .. } => f.write_str(kind),
        }
    }
}

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

/// What a station's source is at present. Replaced as a whole when it changes.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SourceStatus {
    /// `sine`, `device` or `loopback`.
    pub kind: &'static str,
    /// The device's name, or the tone.
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
