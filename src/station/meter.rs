//! Peak levels for the status page. Runs on the encoder's thread.

use crate::audio::pcm::PcmBlock;
use crate::station::metrics::StationMetrics;

/// A level is the peak over this many samples: 100 ms.
const METER_SAMPLES: usize = 4_800;

/// The peaks since the levels were written last.
#[derive(Debug, Default)]
pub struct Meter {
    peaks: [f32; 2],
    samples: usize,
}

impl Meter {
    /// Takes a block in, and writes the levels ten times a second.
    pub fn measure(&mut self, pcm: &PcmBlock, metrics: &StationMetrics) {
        let channels = usize::from(pcm.channels);
        for sample in pcm.samples.chunks_exact(channels) {
            self.peaks[0] = self.peaks[0].max(sample[0].abs());
            self.peaks[1] = self.peaks[1].max(sample[channels - 1].abs());
        }
        self.samples += pcm.samples.len() / channels;
        if self.samples >= METER_SAMPLES {
            metrics.left.set_dbfs(20.0 * self.peaks[0].log10());
            metrics.right.set_dbfs(20.0 * self.peaks[1].log10());
            *self = Meter::default();
        }
    }
}
