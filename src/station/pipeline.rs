//! From blocks of sound to packets: timing, encoder, timeline, sink. Runs on the encoder's thread; waits for nothing.

use std::io;
use std::time::Instant;

use crate::audio::encoder::Encoder;
use crate::audio::pcm::PcmBlock;
use crate::audio::processing::blocks::{Blocks, Output};
use crate::media::packet::Packet;
use crate::station::meter::Meter;
use crate::station::metrics::StationMetrics;
use crate::station::station::Station;
use crate::station::timeline::TimelineWriter;

/// Takes each finished packet and its index in the timeline; must not wait.
pub type PacketSink = Box<dyn FnMut(u64, &Packet) + Send>;

/// What an encoder's thread puts blocks into.
pub struct Pipeline {
    /// Where blocks go.
    pub blocks: Blocks,
    encoder: Encoder,
    timeline: TimelineWriter,
    sink: PacketSink,
    meter: Meter,
    metrics: StationMetrics,
}

impl Pipeline {
    /// For a station as it is encoded now.
    ///
    /// # Errors
    /// If libopus refuses the encoding.
    pub fn new(station: &Station, timeline: TimelineWriter, sink: PacketSink, now: Instant) -> io::Result<Pipeline> {
        let encoding = &station.encoding;
        Ok(Pipeline {
            blocks: Blocks::new(encoding.channels, encoding.packet_samples, random_start(), now),
            encoder: Encoder::new(encoding).map_err(io::Error::other)?,
            timeline,
            sink,
            meter: Meter::default(),
            metrics: station.metrics.clone(),
        })
    }

    /// Encodes and sends what is finished.
    ///
    /// Returns until when there is nothing more to do unless a block comes.
    pub fn drain(&mut self) -> Instant {
        loop {
            match self.blocks.poll_output() {
                Output::Packet { pcm, position_samples } => self.send(&pcm, position_samples),
                Output::Wait(deadline) => {
                    self.metrics.silence_samples.add(self.blocks.take_silence_samples());
                    self.metrics.late_samples.add(self.blocks.take_late_samples());
                    return deadline;
                }
            }
        }
    }

    fn send(&mut self, pcm: &PcmBlock, rtp_time_samples: u64) {
        // Opus refuses wrong durations only, and `Blocks` cuts none but the one that the encoder was made for.
        let payload = self.encoder.encode(&pcm.samples).expect("packets have the duration the encoder was made for");
        if let Some(payload) = payload {
            self.metrics.packets.add(1);
            let packet = Packet { payload, rtp_time_samples, captured: pcm.captured };
            let index = self.timeline.push(&packet);
            (self.sink)(index, &packet);
        }
        self.meter.measure(pcm, &self.metrics);
    }
}

/// RFC 3550 §5.1: the first RTP time should be random. Below 2³¹, so that a test can watch it for a day before it wraps.
fn random_start() -> u64 {
    u64::from(getrandom::u32().unwrap_or(0) >> 1)
}
