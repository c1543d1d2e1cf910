//! Opus: the settings that a person may choose, and an encoder with these settings. It runs on the caller's thread, the
//! encoder thread of a station. It makes payloads only; RTP times and capture times are added by the station.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::media::packet::SAMPLE_RATE_HZ;

/// What the encoder optimises for (RFC 6716 §2.1; `OPUS_APPLICATION_*` in libopus).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Application {
    /// Closest to the input: music and mixed sound.
    #[default]
    Audio,
    /// Intelligible speech at low bitrates.
    Voip,
    /// Least algorithmic delay; without the modes for speech.
    LowDelay,
}

/// How a station is encoded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Encoding {
    /// 1 or 2.
    pub channels: u16,
    /// Target bitrate in bit/s.
    pub bitrate_bps: u32,
    /// Samples per channel in a packet: 120, 240, 480, 960, 1920 or 2880 (2.5 to 60 ms).
    pub packet_samples: u32,
    /// See [`Application`].
    pub application: Application,
    /// 0 (least work) to 10 (best quality).
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

    /// Duration of one packet, exact to the nanosecond.
    pub fn packet_duration(&self) -> Duration {
        Duration::from_nanos(u64::from(self.packet_samples) * 1_000_000_000 / u64::from(SAMPLE_RATE_HZ))
    }
}

/// Largest Opus packet. RFC 6716 §3.2.1 allows 1,275 bytes for a frame and up to 48 frames in a packet; the packets
/// made here hold one frame of up to 20 ms, or three of them in 60 ms.
const MAX_PACKET_BYTES: usize = 4_000;

/// From this bitrate on libopus never chooses its modes for speech, whatever it hears (`mode_thresholds` in opus_encoder.c: at
/// most 68 kbit/s, after 5 for short packets and a tenth for low complexity).
const CELT_ONLY_FROM_BPS: u32 = 96_000;

/// The loss rate in percent that the encoder is told to expect, so that it spends bits on forward error correction.
const FEC_EXPECTED_LOSS_PERCENT: i32 = 10;

/// Whether libopus would use no other mode anyway. Forward error correction and DTX need the others.
fn needs_celt_only(encoding: &Encoding) -> bool {
    encoding.bitrate_bps >= CELT_ONLY_FROM_BPS && !encoding.fec && !encoding.dtx
}

/// One station's Opus encoder.
pub struct Encoder {
    opus: opus::Encoder,
    dtx: bool,
    buffer: Vec<u8>,
}

impl Encoder {
    /// An encoder with the given settings.
    ///
    /// # Errors
    /// If libopus refuses them: a bitrate or complexity out of its range.
    pub fn new(encoding: &Encoding) -> Result<Encoder, opus::Error> {
        let channels = if encoding.channels == 1 { opus::Channels::Mono } else { opus::Channels::Stereo };
        let application = match encoding.application {
            // Without the modes for speech, nothing has to be kept ready for changing between modes: the packets are the same,
            // and the sound in them is 4 ms younger.
            Application::Audio if needs_celt_only(encoding) => opus::Application::LowDelay,
            Application::Audio => opus::Application::Audio,
            Application::Voip => opus::Application::Voip,
            Application::LowDelay => opus::Application::LowDelay,
        };
        let mut opus = opus::Encoder::new(SAMPLE_RATE_HZ, channels, application)?;
        opus.set_bitrate(opus::Bitrate::Bits(encoding.bitrate_bps as i32))?;
        opus.set_complexity(i32::from(encoding.complexity))?;
        opus.set_inband_fec(encoding.fec)?;
        opus.set_packet_loss_perc(if encoding.fec { FEC_EXPECTED_LOSS_PERCENT } else { 0 })?;
        opus.set_dtx(encoding.dtx)?;
        Ok(Encoder { opus, dtx: encoding.dtx, buffer: vec![0; MAX_PACKET_BYTES] })
    }

    /// Encodes the interleaved samples of one packet. `None` if nothing needs to be sent, because of DTX.
    ///
    /// # Errors
    /// If `samples` has a duration that Opus does not allow.
    pub fn encode(&mut self, samples: &[f32]) -> Result<Option<Arc<[u8]>>, opus::Error> {
        let bytes = self.opus.encode_float(samples, &mut self.buffer)?;
        // libopus, opus_encode_float(): a packet of two bytes or less does not need to be transmitted.
        Ok((!self.dtx || bytes > 2).then(|| Arc::from(&self.buffer[..bytes])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::sources::tone::Sine;

    #[test]
    fn packets_of_every_duration_and_application_decode_to_that_duration() {
        for packet_samples in [120, 240, 480, 960, 1920, 2880] {
            for application in [Application::Audio, Application::Voip, Application::LowDelay] {
                let encoding = Encoding { packet_samples, application, ..Encoding::default() };
                let mut encoder = Encoder::new(&encoding).unwrap();
                let mut decoder = opus::Decoder::new(SAMPLE_RATE_HZ, opus::Channels::Stereo).unwrap();
                let packet = encoder.encode(&Sine::new(440.0).next_block(packet_samples, 2)).unwrap().unwrap();
                let mut out = vec![0f32; 2 * 5_760];
                assert_eq!(decoder.decode_float(&packet, &mut out, false).unwrap(), packet_samples as usize);
            }
        }
    }

    /// Samples between a burst's onset in the input and in the output.
    fn look_ahead(encoding: &Encoding) -> usize {
        let mut encoder = Encoder::new(encoding).unwrap();
        let mut decoder = opus::Decoder::new(SAMPLE_RATE_HZ, opus::Channels::Stereo).unwrap();
        let mut input = vec![0f32; 2 * 4_800];
        for (nth, frame) in input.chunks_exact_mut(2).enumerate().skip(2_400).take(480) {
            frame.fill(((nth - 2_400) as f32 * 0.3).sin() * 0.5);
        }
        let mut output = vec![];
        for block in input.chunks_exact(2 * encoding.packet_samples as usize) {
            let packet = encoder.encode(block).unwrap().unwrap();
            // RFC 6716 §3.1: configurations from 16 on are CELT only.
            assert!(packet[0] >> 3 >= 16, "a mode for speech");
            let mut out = vec![0f32; block.len()];
            decoder.decode_float(&packet, &mut out, false).unwrap();
            output.extend(out);
        }
        let energy = |from: usize| output[2 * from..2 * (from + 480)].iter().map(|s| s * s).sum::<f32>();
        (0..960).max_by(|a, b| energy(2_400 + a).total_cmp(&energy(2_400 + b))).unwrap()
    }

    #[test]
    fn music_is_not_held_back_for_modes_that_are_never_used() {
        for packet_samples in [120, 480, 960] {
            let audio = Encoding { packet_samples, ..Encoding::default() };
            let low_delay = Encoding { application: Application::LowDelay, ..audio.clone() };
            let samples = look_ahead(&audio);
            assert!(samples.abs_diff(120) < 24, "{samples} samples");
            assert_eq!(samples, look_ahead(&low_delay));
        }
    }

    #[test]
    fn the_bitrate_from_which_music_is_not_held_back_is_one_at_which_speech_has_no_mode_of_its_own() {
        // Speech is recognised by its syllables: noise through a voice's formants, four times a second.
        let speech = |nth: usize| {
            let seconds = nth as f32 / 48_000.0;
            let envelope = (seconds * 4.0 * std::f32::consts::TAU).sin().max(0.0);
            let voice: f32 =
                (1..20).map(|k| (seconds * 120.0 * k as f32 * std::f32::consts::TAU).sin() / k as f32).sum();
            0.2 * envelope * voice
        };
        let modes = |bitrate_bps, packet_samples: usize, complexity| {
            let channels = opus::Channels::Stereo;
            let mut opus = opus::Encoder::new(SAMPLE_RATE_HZ, channels, opus::Application::Audio).unwrap();
            opus.set_bitrate(opus::Bitrate::Bits(bitrate_bps)).unwrap();
            opus.set_complexity(complexity).unwrap();
            let mut buffer = vec![0; MAX_PACKET_BYTES];
            let samples: Vec<f32> = (0..96_000).flat_map(|nth| [speech(nth); 2]).collect();
            let packets = samples.chunks_exact(2 * packet_samples).map(|block| {
                opus.encode_float(block, &mut buffer).unwrap();
                buffer[0] >> 3 < 16
            });
            packets.collect::<Vec<bool>>()
        };
        for (packet_samples, complexity) in [(480, 10), (480, 0), (960, 10), (960, 0), (2880, 10)] {
            let used = modes(CELT_ONLY_FROM_BPS as i32, packet_samples, complexity);
            assert!(!used.contains(&true), "{packet_samples} samples, complexity {complexity}");
        }
        assert!(modes(24_000, 960, 10).contains(&true), "this is not heard as speech");
    }

    #[test]
    fn silence_is_left_out_with_dtx_and_sent_without() {
        for dtx in [true, false] {
            let mut encoder = Encoder::new(&Encoding { dtx, ..Encoding::default() }).unwrap();
            let sent = (0..100).filter(|_| encoder.encode(&[0.0; 1920]).unwrap().is_some()).count();
            assert_eq!(sent < 50, dtx, "{sent} of 100 packets sent");
        }
    }
}
