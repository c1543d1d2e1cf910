//! The shapes sound has on its way from a device to the wire.
//!
//! Plain data, shared by every thread that touches sound; nothing here converts, waits or allocates by itself.

use std::time::{Duration, Instant};

/// How a device delivers its sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureFormat {
    /// Samples per second and channel, as the device delivers them.
    pub rate_hz: u32,
    /// Interleaved channels, at least 1.
    pub channels: u16,
    /// How one sample is stored, in the byte order of this machine.
    pub sample_format: cpal::SampleFormat,
}

impl CaptureFormat {
    /// Bytes of one sample of every channel.
    pub fn bytes_per_sample_of_all_channels(&self) -> usize {
        self.sample_format.sample_size() * usize::from(self.channels)
    }

    /// How long `bytes` of this format sound.
    pub fn duration_of(&self, bytes: usize) -> Duration {
        let samples = bytes / self.bytes_per_sample_of_all_channels().max(1);
        Duration::from_secs_f64(samples as f64 / f64::from(self.rate_hz.max(1)))
    }
}

/// What one audio callback delivered, copied but not converted. The buffer is allocated once, when the device is opened,
/// and travels between the callback and the encoder for as long as the device is open.
#[derive(Debug)]
pub struct CaptureBlock {
    /// Interleaved samples as the device stores them; its capacity never grows.
    pub bytes: Vec<u8>,
    /// What `bytes` holds.
    pub format: CaptureFormat,
    /// When the first sample of the block was captured.
    pub captured: Instant,
}

/// Sound at [`SAMPLE_RATE_HZ`], interleaved, one or two channels, nominally within ±1.
#[derive(Clone, Debug, PartialEq)]
pub struct PcmBlock {
    /// `channels` × N interleaved samples.
    pub samples: Vec<f32>,
    /// 1 or 2.
    pub channels: u16,
    /// When the first sample was captured.
    pub captured: Instant,
}
