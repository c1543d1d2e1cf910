//! The test tone: exact in frequency, continuous over any number of blocks. Pure; runs on the encoder thread.

use std::f64::consts::TAU;

use crate::media::packet::SAMPLE_RATE_HZ;

/// −12 dBFS: loud enough to be heard, not so loud that it startles.
const AMPLITUDE: f64 = 0.251_188_643;

/// A sine oscillator. Its phase is computed from the number of samples and not accumulated, so it neither drifts nor
/// clicks.
#[derive(Clone, Debug)]
pub struct Sine {
    tone_hz: f64,
    sample: u64,
}

impl Sine {
    /// A tone of `tone_hz` Hz.
    pub fn new(tone_hz: f64) -> Sine {
        Sine { tone_hz, sample: 0 }
    }

    /// The next `samples` samples per channel, interleaved, the same in each of `channels` channels.
    pub fn next_block(&mut self, samples: u32, channels: u16) -> Vec<f32> {
        let mut block = Vec::with_capacity(samples as usize * usize::from(channels));
        for _ in 0..samples {
            // Only the fraction of a turn: the sine of a large number would lose digits.
            let turns = (self.sample as f64 * self.tone_hz / f64::from(SAMPLE_RATE_HZ)).fract();
            let value = (AMPLITUDE * (TAU * turns).sin()) as f32;
            block.extend(std::iter::repeat_n(value, usize::from(channels)));
            self.sample += 1;
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tone_is_exact_after_a_day_and_does_not_click_between_blocks() {
        let mut sine = Sine { tone_hz: 440.0, sample: 86_400 * 48_000 };
        let blocks: Vec<f32> = (0..100).flat_map(|_| sine.next_block(480, 1)).collect();
        let crossings = blocks.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
        assert!((439..=440).contains(&crossings), "{crossings} in a second");
        let steepest = (AMPLITUDE * TAU * 440.0 / 48_000.0) as f32 * 1.001;
        assert!(blocks.windows(2).all(|w| (w[1] - w[0]).abs() <= steepest));
    }
}
