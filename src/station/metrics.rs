//! What a station counts.

use crate::observe::metrics::{Counter, Gauge, Level};

/// One station.
#[derive(Clone, Debug, Default)]
pub struct StationMetrics {
    /// Peak of the last 100 ms or so, first channel.
    pub left: Level,
    /// Peak of the last 100 ms or so, second channel (the first again, if mono).
    pub right: Level,
    /// Packets encoded.
    pub packets: Counter,
    /// Blocks the audio callback could not hand over because the encoder was behind.
    pub blocks_dropped: Counter,
    /// Packets dropped because the sender was behind.
    pub packets_dropped: Counter,
    /// Samples per channel of silence sent because the source delivered nothing.
    pub silence_samples: Counter,
    /// Samples per channel dropped because they came after the silence that stood in for them.
    pub late_samples: Counter,
    /// How often the source had to be opened again.
    pub reopened: Counter,
    /// Listeners at present.
    pub listeners: Gauge,
}
