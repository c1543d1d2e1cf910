//! Converts samples as a device stores them to one or two channels of `f32`. Pure; runs on the encoder thread. It does
//! not change the sample rate.

use cpal::SampleFormat;

use crate::audio::pcm::CaptureFormat;

/// Reads samples of any format as numbers within ±1 and folds (downmixes) their channels.
#[derive(Debug)]
pub struct Converter {
    format: CaptureFormat,
    /// For each input channel, how much of it goes to the left and to the right.
    gains: Vec<[f32; 2]>,
    channels: u16,
}

impl Converter {
    /// From `format` to `channels` (1 or 2).
    pub fn new(format: CaptureFormat, channels: u16) -> Converter {
        Converter { format, gains: format.layout.gains(format.channels), channels }
    }

    /// Appends the samples in `bytes` to `out`, interleaved. An incomplete frame at the end is left out.
    pub fn convert(&self, bytes: &[u8], out: &mut Vec<f32>) {
        use SampleFormat as F;
        // The divisors make the most negative value −1 exactly.
        match self.format.sample_format {
            F::I8 => self.fold(bytes, out, |b: [u8; 1]| f32::from(i8::from_ne_bytes(b)) / 128.0),
            F::U8 => self.fold(bytes, out, |b: [u8; 1]| (f32::from(b[0]) - 128.0) / 128.0),
            F::I16 => self.fold(bytes, out, |b| f32::from(i16::from_ne_bytes(b)) / 32_768.0),
            F::U16 => self.fold(bytes, out, |b| (f32::from(u16::from_ne_bytes(b)) - 32_768.0) / 32_768.0),
            F::I24 => self.fold(bytes, out, |b| sign_extend_24(i32::from_ne_bytes(b)) as f32 / 8_388_608.0),
            F::U24 => {
                self.fold(bytes, out, |b| ((u32::from_ne_bytes(b) & 0x00ff_ffff) as f32 - 8_388_608.0) / 8_388_608.0)
            }
            F::I32 => self.fold(bytes, out, |b| i32::from_ne_bytes(b) as f32 / 2_147_483_648.0),
            F::U32 => self.fold(bytes, out, |b| centred(f64::from(u32::from_ne_bytes(b)), 31)),
            F::I64 => self.fold(bytes, out, |b| i64::from_ne_bytes(b) as f32 / 9_223_372_036_854_775_808.0),
            F::U64 => self.fold(bytes, out, |b| centred(u64::from_ne_bytes(b) as f64, 63)),
            F::F32 => self.fold(bytes, out, |b| finite(f32::from_ne_bytes(b))),
            F::F64 => self.fold(bytes, out, |b| finite(f64::from_ne_bytes(b) as f32)),
            // A DSD word is a sequence of one-bit samples; their mean is its value at the word's rate.
            F::DsdU8 => self.fold(bytes, out, |b: [u8; 1]| density(b[0].count_ones(), 8)),
            F::DsdU16 => self.fold(bytes, out, |b| density(u16::from_ne_bytes(b).count_ones(), 16)),
            F::DsdU32 => self.fold(bytes, out, |b| density(u32::from_ne_bytes(b).count_ones(), 32)),
            // A format that a later version of cpal adds: silence, because its samples cannot be read.
            _ => {
                let samples = bytes.len() / self.format.bytes_per_frame().max(1);
                out.resize(out.len() + samples * usize::from(self.channels), 0.0);
            }
        }
    }

    fn fold<const SIZE: usize>(&self, bytes: &[u8], out: &mut Vec<f32>, read: impl Fn([u8; SIZE]) -> f32) {
        let stride = SIZE * self.gains.len();
        for frame in bytes.chunks_exact(stride) {
            let [mut left, mut right] = [0.0; 2];
            for (stored, [to_left, to_right]) in frame.as_chunks::<SIZE>().0.iter().zip(&self.gains) {
                let value = read(*stored);
                left += value * to_left;
                right += value * to_right;
            }
            match self.channels {
                1 => out.push((left + right) / 2.0),
                _ => out.extend([left, right]),
            }
        }
    }
}

/// Of the stored 32 bits only the lower 24 count.
fn sign_extend_24(value: i32) -> i32 {
    (value << 8) >> 8
}

fn centred(value: f64, bits: i32) -> f32 {
    let half = 2f64.powi(bits);
    ((value - half) / half) as f32
}

/// Replaces a driver's NaN or infinity by zero: it would stay in the encoder's filters for ever.
fn finite(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

fn density(ones: u32, bits: u32) -> f32 {
    (2.0 * ones as f32 - bits as f32) / bits as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::layout::Layout;

    fn convert(sample_format: SampleFormat, channels: u16, bytes: &[u8], out_channels: u16) -> Vec<f32> {
        let format = CaptureFormat { rate_hz: 48_000, channels, sample_format, layout: Layout::wave(channels) };
        let mut out = vec![];
        Converter::new(format, out_channels).convert(bytes, &mut out);
        out
    }

    #[test]
    fn the_extremes_of_every_format_are_read_as_minus_one_zero_and_nearly_one() {
        use SampleFormat as F;
        let cases: Vec<(F, [Vec<u8>; 3])> = vec![
            (F::I8, [i8::MIN, 0, i8::MAX].map(|v| v.to_ne_bytes().to_vec())),
            (F::U8, [u8::MIN, 128, u8::MAX].map(|v| v.to_ne_bytes().to_vec())),
            (F::I16, [i16::MIN, 0, i16::MAX].map(|v| v.to_ne_bytes().to_vec())),
            (F::U16, [u16::MIN, 1 << 15, u16::MAX].map(|v| v.to_ne_bytes().to_vec())),
            (F::I24, [0x0080_0000u32, 0, 0x007f_ffff].map(|v| v.to_ne_bytes().to_vec())),
            (F::U24, [0u32, 1 << 23, 0x00ff_ffff].map(|v| v.to_ne_bytes().to_vec())),
            (F::I32, [i32::MIN, 0, i32::MAX].map(|v| v.to_ne_bytes().to_vec())),
            (F::U32, [u32::MIN, 1 << 31, u32::MAX].map(|v| v.to_ne_bytes().to_vec())),
            (F::I64, [i64::MIN, 0, i64::MAX].map(|v| v.to_ne_bytes().to_vec())),
            (F::U64, [u64::MIN, 1 << 63, u64::MAX].map(|v| v.to_ne_bytes().to_vec())),
            (F::F32, [-1f32, 0.0, 1.0].map(|v| v.to_ne_bytes().to_vec())),
            (F::F64, [-1f64, 0.0, 1.0].map(|v| v.to_ne_bytes().to_vec())),
            (F::DsdU8, [0u8, 0x55, 0xff].map(|v| v.to_ne_bytes().to_vec())),
            (F::DsdU16, [0u16, 0x5555, 0xffff].map(|v| v.to_ne_bytes().to_vec())),
            (F::DsdU32, [0u32, 0x5555_5555, u32::MAX].map(|v| v.to_ne_bytes().to_vec())),
        ];
        for (format, stored) in cases {
            let read = convert(format, 1, &stored.concat(), 2);
            assert_eq!(read.len(), 6, "{format}");
            assert_eq!((read[0], read[2]), (-1.0, 0.0), "{format}");
            assert!((0.99..=1.0).contains(&read[4]), "{format}: {}", read[4]);
        }
    }

    #[test]
    fn channels_are_folded_by_the_gains_of_their_positions() {
        let left_only: Vec<u8> = [1f32, 0.0, 0.0, 0.0, 0.0, 0.0].iter().flat_map(|v| v.to_ne_bytes()).collect();
        let folded = convert(SampleFormat::F32, 6, &left_only, 2);
        assert!(folded[0] > 0.3 && folded[1] == 0.0, "{folded:?}");
        let full: Vec<u8> = (0..6).flat_map(|_| 1f32.to_ne_bytes()).collect();
        assert!(convert(SampleFormat::F32, 6, &full, 2).iter().all(|value| (0.9..=1.0001).contains(value)));
    }

    #[test]
    fn two_channels_are_folded_to_their_mean() {
        let bytes: Vec<u8> = [0.5f32, -0.25].iter().flat_map(|v| v.to_ne_bytes()).collect();
        assert_eq!(convert(SampleFormat::F32, 2, &bytes, 1), [0.125]);
    }

    #[test]
    fn nan_and_infinity_become_silence_and_an_incomplete_frame_is_ignored() {
        let bytes: Vec<u8> = [f32::NAN, f32::INFINITY].iter().flat_map(|v| v.to_ne_bytes()).chain([1, 2]).collect();
        assert_eq!(convert(SampleFormat::F32, 2, &bytes, 2), [0.0, 0.0]);
    }
}
