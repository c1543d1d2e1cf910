//! Chooses how a device is opened: sample rate, channels, sample format and buffer size. Runs on the capture thread. It
//! opens nothing, though ALSA opens a device to list its formats.

use cpal::traits::DeviceTrait;
use cpal::{SupportedBufferSize, SupportedStreamConfig, SupportedStreamConfigRange};

use crate::audio::pcm::CaptureFormat;
use crate::audio::sources::device_entry::InputChannels;
use crate::media::packet::SAMPLE_RATE_HZ;

/// 48 kHz, if the device has it in the sample format that it prefers and with at most two channels, or as many as are wanted if
/// these are more; else what it prefers.
pub(crate) fn choose(
    device: &cpal::Device,
    wanted: Option<InputChannels>,
) -> Result<SupportedStreamConfig, cpal::Error> {
    let channels = match wanted {
        Some(wanted) => wanted.least()..=u16::MAX,
        None => 1..=2,
    };
    let inputs = device.supported_input_configs().map(Vec::from_iter).unwrap_or_default();
    let default = match device.default_input_config() {
        Ok(default) if !default.sample_format().is_dsd() => Ok(default),
        // An output that is captured as a loopback has the formats of an output.
        other => device.default_output_config().or(other),
    };
    let preferred = default.as_ref().ok().map(SupportedStreamConfig::sample_format);
    if let Some(default) = default
        .as_ref()
        .ok()
        .filter(|config| config.sample_rate() == SAMPLE_RATE_HZ && channels.contains(&config.channels()))
    {
        return Ok(*default);
    }
    let fits = |config: &&SupportedStreamConfigRange| {
        config.contains_rate(SAMPLE_RATE_HZ)
            && channels.contains(&config.channels())
            && preferred.is_none_or(|preferred| preferred == config.sample_format())
            && !config.sample_format().is_dsd()
    };
    let fitting = inputs.iter().filter(fits);
    let best = match wanted {
        Some(_) => fitting.min_by_key(|config| config.channels()),
        None => fitting.max_by_key(|config| config.channels()),
    };
    match best.and_then(|config| config.try_with_sample_rate(SAMPLE_RATE_HZ)) {
        Some(config) => Ok(config),
        None => default,
    }
}

/// As many samples at `rate_hz` as last as long as `samples` at 48 kHz.
pub(crate) fn samples_at_rate(samples: u32, rate_hz: u32) -> u32 {
    let scaled = u64::from(samples) * u64::from(rate_hz) / u64::from(SAMPLE_RATE_HZ);
    u32::try_from(scaled).unwrap_or(u32::MAX).max(1)
}

/// The supported buffer size that is closest to `samples`.
pub(crate) fn clamp_buffer_size(samples: u32, supported: &SupportedBufferSize) -> u32 {
    match *supported {
        SupportedBufferSize::Range { min, max } => samples.min(max).max(min).max(1),
        SupportedBufferSize::Unknown => samples,
    }
}

/// Bytes of a block of `block_samples` per channel; never zero.
pub(crate) fn block_bytes(format: CaptureFormat, block_samples: u32) -> usize {
    format.bytes_per_frame().max(1) * block_samples.max(1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_lasts_as_long_at_every_rate() {
        assert_eq!(samples_at_rate(480, 48_000), 480);
        assert_eq!(samples_at_rate(120, 44_100), 110);
        assert_eq!(samples_at_rate(480, 192_000), 1_920);
    }

    #[test]
    fn the_buffer_size_stays_within_what_the_device_supports() {
        assert_eq!(clamp_buffer_size(480, &SupportedBufferSize::Range { min: 64, max: 256 }), 256);
        assert_eq!(clamp_buffer_size(480, &SupportedBufferSize::Range { min: 512, max: 1_024 }), 512);
        assert_eq!(clamp_buffer_size(480, &SupportedBufferSize::Unknown), 480);
    }
}
