//! Resamples sound of any other rate to 48 kHz. Pure; runs on the encoder thread.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{
    Async, FixedAsync, Resampler as _, ResamplerConstructionError, SincInterpolationParameters, WindowFunction,
};

use crate::media::packet::SAMPLE_RATE_HZ;

/// Length of the filter in input samples. Half of it is the delay: 1.5 ms at 44.1 kHz.
const SINC_LENGTH: usize = 128;

/// A resampler that takes any number of samples and keeps those that are too few for a chunk for the next call.
pub struct Resampler {
    resampler: Async<f32>,
    channels: usize,
    /// Input that does not fill a chunk yet.
    pending: Vec<f32>,
    /// What one chunk of input becomes.
    output: Vec<f32>,
}

impl Resampler {
    /// From `rate_hz` to 48 kHz, with `channels` interleaved channels.
    ///
    /// # Errors
    /// If the ratio cannot be used, as with a rate of zero.
    pub fn new(rate_hz: u32, channels: u16) -> Result<Resampler, ResamplerConstructionError> {
        let ratio = f64::from(SAMPLE_RATE_HZ) / f64::from(rate_hz);
        // Chunks of 2.5 ms, the shortest packet, so that resampling delays sound by no more than that.
        let chunk_samples = (rate_hz as usize / 400).max(1);
        let parameters = SincInterpolationParameters::new(SINC_LENGTH, WindowFunction::BlackmanHarris2);
        let channels = usize::from(channels);
        let resampler = Async::new_sinc(ratio, 1.0, &parameters, chunk_samples, channels, FixedAsync::Input)?;
        let output = vec![0.0; resampler.output_frames_max() * channels];
        Ok(Resampler { resampler, channels, pending: vec![], output })
    }

    /// Appends to `out` the resampled chunks of what earlier calls left and `samples`.
    pub fn resample(&mut self, samples: &[f32], out: &mut Vec<f32>) {
        self.pending.extend_from_slice(samples);
        let mut used = 0;
        loop {
            let wanted = self.resampler.input_frames_next();
            let rest = &self.pending[used..];
            if rest.len() < wanted * self.channels {
                break;
            }
            used += wanted * self.channels;
            let capacity = self.output.len() / self.channels;
            // The resampler named both sizes, so neither it nor the adapters can refuse them.
            let (Ok(input), Ok(mut output)) = (
                InterleavedSlice::new(rest, self.channels, wanted),
                InterleavedSlice::new_mut(&mut self.output, self.channels, capacity),
            ) else {
                break;
            };
            match self.resampler.process_into_buffer(&input, &mut output, None) {
                Ok((_, written)) => out.extend_from_slice(&self.output[..written * self.channels]),
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
    fn a_second_at_any_rate_becomes_a_second_of_the_same_pitch_at_48_khz() {
        for rate_hz in [8_000, 11_025, 16_000, 22_050, 32_000, 44_056, 44_100, 88_200, 96_000, 192_000] {
            let mut resampler = Resampler::new(rate_hz, 2).unwrap();
            let mut out = vec![];
            for n in 0..rate_hz {
                let value = (f64::from(n) * 440.0 * std::f64::consts::TAU / f64::from(rate_hz)).sin() as f32;
                resampler.resample(&[value, -value], &mut out);
            }
            let left: Vec<f32> = out.iter().copied().step_by(2).collect();
            assert!((47_700..=48_000).contains(&left.len()), "{rate_hz}: {}", left.len());
            // Without the filter's ends.
            let middle = &left[4_800..43_200];
            let crossings = middle.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
            assert!((351..=353).contains(&crossings), "{rate_hz}: {crossings} rising zero crossings in 0.8 s");
            let peak = middle.iter().fold(0f32, |peak, v| peak.max(v.abs()));
            assert!((0.97..1.03).contains(&peak), "{rate_hz}: peak {peak}");
        }
    }
}
