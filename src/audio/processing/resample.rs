//! To 48 kHz from whatever the device's rate is. Runs on the encoder thread; only when the rates differ.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, ResamplerConstructionError, SincInterpolationParameters, WindowFunction,
};

use crate::media::packet::SAMPLE_RATE_HZ;

/// Length of the filter in input samples. Half of it is the delay: 1.5 ms at 44.1 kHz.
const SINC_LENGTH: usize = 128;

/// A resampler that takes any number of samples and keeps the rest for the next call.
pub struct Resampler {
    engine: Async<f32>,
    channels: usize,
    pending: Vec<f32>,
    chunk: Vec<f32>,
}

impl Resampler {
    /// From `rate_hz` to 48 kHz, `channels` interleaved.
    ///
    /// # Errors
    /// If the ratio cannot be used (a rate of zero, say).
    pub fn new(rate_hz: u32, channels: u16) -> Result<Resampler, ResamplerConstructionError> {
        let ratio = f64::from(SAMPLE_RATE_HZ) / f64::from(rate_hz);
        // 2.5 ms of input at a time: the shortest packet, so that resampling adds no more than that.
        let chunk = (rate_hz as usize / 400).max(1);
        let parameters = SincInterpolationParameters::new(SINC_LENGTH, WindowFunction::BlackmanHarris2);
        let channels = usize::from(channels);
        let engine = Async::new_sinc(ratio, 1.0, &parameters, chunk, channels, FixedAsync::Input)?;
        let chunk = vec![0.0; engine.output_frames_max() * channels];
        Ok(Resampler { engine, channels, pending: vec![], chunk })
    }

    /// Appends to `out` what can be made of `samples` and what was left before.
    pub fn resample(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.pending.extend_from_slice(samples);
        let mut used = 0;
        loop {
            let wanted = self.engine.input_frames_next();
            let rest = &self.pending[used..];
            if rest.len() < wanted * self.channels {
                break;
            }
            used += wanted * self.channels;
            let room = self.chunk.len() / self.channels;
            // Both sizes were asked of the engine, so neither adapter nor engine can object.
            let (Ok(input), Ok(mut output)) = (
                InterleavedSlice::new(rest, self.channels, wanted),
                InterleavedSlice::new_mut(&mut self.chunk, self.channels, room),
            ) else {
                break;
            };
            match self.engine.process_into_buffer(&input, &mut output, None) {
                Ok((_, made)) => out.extend_from_slice(&self.chunk[..made * self.channels]),
                Err(_) => break,
            }
        }
        self.pending.drain(..used);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_at_any_rate_becomes_a_second_at_48_khz_with_its_pitch() {
        for rate_hz in [8_000, 11_025, 16_000, 22_050, 32_000, 44_056, 44_100, 88_200, 96_000, 192_000] {
            let mut resampler = Resampler::new(rate_hz, 2).unwrap();
            let mut out = vec![];
            for n in 0..rate_hz {
                let value = (f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate_hz)).sin() as f32;
                resampler.resample(&[value, -value], &mut out);
            }
            let left: Vec<f32> = out.iter().copied().step_by(2).collect();
            assert!((47_700..=48_000).contains(&left.len()), "{rate_hz}: {}", left.len());
            let settled = &left[4_800..43_200];
            let crossings = settled.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
            assert!((351..=353).contains(&crossings), "{rate_hz}: {crossings} rising zero crossings in 0.8 s");
            let peak = settled.iter().fold(0f32, |peak, v| peak.max(v.abs()));
            assert!((0.97..1.03).contains(&peak), "{rate_hz}: peak {peak}");
        }
    }
}
