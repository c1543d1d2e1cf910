//! The test tone: exact in frequency, continuous over any number of blocks.

use std::f64::consts::TAU;

use crate::media::packet::SAMPLE_RATE_HZ;

/// Loud enough to be heard, quiet enough not to startle: −12 dBFS.
const AMPLITUDE: f64 = 0.251_188_643;

/// An oscillator whose phase is computed from the count of samples, not accumulated, so it can neither drift nor click.
#[derive(Clone, Debug)]
pub struct Sine {
    tone_hz: f64,
    sample: u64,
}

impl Sine {
    /// A tone of `tone_hz`.
    pub fn new(tone_hz: f64) -> Sine {
        Sine { tone_hz, sample: 0 }
    }

    /// The next `samples` samples, the same in each of `channels`, interleaved.
    pub fn next_block(&mut self, samples: u32, channels: u16) -> Vec<f32> {
        let mut block = Vec::with_capacity(samples as usize * usize::from(channels));
        for _ in 0..samples {
            // The fraction of a turn first: sin of a large number would lose digits.
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
    fn the_tone_is_exact_after_a_day_and_has_no_click_at_block_edges() {
        let mut sine = Sine { tone_hz: 440.0, sample: 86_400 * 48_000 };
        let blocks: Vec<f32> = (0..100).flat_map(|_| sine.next_block(480, 1)).collect();
        let crossings = blocks.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0).count();
        assert!((439..=440).contains(&crossings), "{crossings} in a second");
        let steepest = (AMPLITUDE * TAU * 440.0 / 48_000.0) as f32 * 1.001;
        assert!(blocks.windows(2).all(|w| (w[1] - w[0]).abs() <= steepest));
    }
}
