//! Opus: the settings a person may choose and the encoder that follows them.

use serde::Serialize;

/// What the encoder optimises for (RFC 6716 §2.1; `OPUS_APPLICATION_*` in libopus).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Application {
    /// Faithful to the input: music and mixed sound.
    #[default]
    Audio,
    /// Speech first.
    Voip,
    /// Least algorithmic delay; no speech modes.
    LowDelay,
}

/// How a station is encoded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Encoding {
    /// 1 or 2.
    pub channels: u16,
    /// Target bitrate.
    pub bitrate_bps: u32,
    /// Samples per channel in a packet: 120, 240, 480, 960, 1920 or 2880 (2.5 to 60 ms).
    pub packet_samples: u32,
    /// See [`Application`].
    pub application: Application,
    /// 0 (cheap) to 10 (best).
    pub complexity: u8,
    /// In-band forward error correction (RFC 6716 §2.1.7).
    pub fec: bool,
    /// Discontinuous transmission (RFC 6716 §2.1.9): nothing is sent while the source is silent.
    pub dtx: bool,
}

impl Default for Encoding {
    fn default() -> Self {
        Encoding {
            channels: 2,
            bitrate_bps: 128_000,
            packet_samples: 960,
            application: Application::Audio,
            complexity: 10,
            fec: false,
            dtx: false,
        }
    }
}

impl Encoding {
    /// Duration of one packet in milliseconds: 2.5 to 60.
    pub fn packet_ms(&self) -> f64 {
        f64::from(self.packet_samples) / 48.0
    }
}
