//! The types that carry sound from a device to the encoder. Plain data, used by every thread that handles sound;
//! nothing here converts, waits or allocates.

use std::time::{Duration, Instant};

use crate::audio::layout::Layout;

/// The format in which a device delivers sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureFormat {
    /// Samples per second and channel, as the device delivers them.
    pub rate_hz: u32,
    /// Interleaved channels, at least 1.
    pub channels: u16,
    /// How one sample is stored, in the byte order of this machine.
    pub sample_format: cpal::SampleFormat,
    /// Where the channels are.
    pub layout: Layout,
}

impl CaptureFormat {
    /// Bytes of a frame: one sample of each channel.
    pub fn bytes_per_frame(&self) -> usize {
        self.sample_format.sample_size() * usize::from(self.channels)
    }

    /// How long the sound in `bytes` bytes of this format lasts.
    pub fn duration_of(&self, bytes: usize) -> Duration {
        let samples = bytes / self.bytes_per_frame().max(1);
        Duration::from_secs_f64(samples as f64 / f64::from(self.rate_hz.max(1)))
    }
}

/// Sound that one call of the data callback delivered, or a part of it, copied but not converted. The buffer is
/// allocated once, when the device is opened, and is passed between the callback and the encoder thread while the
/// device is open.
#[derive(Debug)]
pub struct CaptureBlock {
    /// Interleaved samples as the device stores them; its capacity never grows.
    pub bytes: Vec<u8>,
    /// The format of `bytes`.
    pub format: CaptureFormat,
    /// When the first sample of the block was captured.
    pub captured: Instant,
}

/// Sound at [`SAMPLE_RATE_HZ`](crate::media::packet::SAMPLE_RATE_HZ), interleaved, with one or two channels, nominally
/// within ±1.
#[derive(Clone, Debug, PartialEq)]
pub struct PcmBlock {
    /// `channels` × N interleaved samples.
    pub samples: Vec<f32>,
    /// 1 or 2.
    pub channels: u16,
    /// When the first sample was captured.
    pub captured: Instant,
}
