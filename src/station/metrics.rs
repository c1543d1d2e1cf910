//! What a station counts and measures. Plain handles; written by the audio callback, the encoder's thread and the rtc
//! threads.

use crate::observe::metrics::{Counter, Gauge, Level};
use crate::observe::registry::{Description, Labels, Registry, Unit};

/// The label that carries the station's name.
pub const LABEL: &str = "station";

/// Counts of one station. The default is in no registry.
#[derive(Clone, Debug, Default)]
pub struct StationMetrics {
    /// Peak of the last 100 ms or so, first channel.
    pub left: Level,
    /// Peak of the last 100 ms or so, second channel (the first again, if mono).
    pub right: Level,
    /// Packets encoded.
    pub packets: Counter,
    /// Blocks that the audio callback could not pass on because the encoder was behind.
    pub blocks_dropped: Counter,
    /// Packets dropped because the rtc thread was behind.
    pub packets_dropped: Counter,
    /// Samples per channel of silence sent because the source delivered nothing.
    pub silence_samples: Counter,
    /// Samples per channel dropped because they came after the silence that replaced them.
    pub late_samples: Counter,
    /// How often the source had to be opened again.
    pub reopened: Counter,
    /// Listeners at present.
    pub listeners: Gauge,
}

const LEVEL: Description = Description {
    name: "station_level",
    help: "Peak level of the last 100 ms; negative infinity for silence.",
    unit: Unit::Dbfs,
    json: "station.level.{channel}_dbfs",
};

const fn describe(name: &'static str, help: &'static str, unit: Unit, json: &'static str) -> Description {
    Description { name, help, unit, json }
}

impl StationMetrics {
    /// Registers the metrics of the station of this name.
    pub fn register(registry: &Registry, station: &str) -> StationMetrics {
        let labels: Labels<'_> = &[(LABEL, station)];
        let level = |channel| registry.level(LEVEL, &[(LABEL, station), ("channel", channel)]);
        let counter = |name, help, unit, json| registry.counter(describe(name, help, unit, json), labels);
        StationMetrics {
            left: level("left"),
            right: level("right"),
            packets: counter("station_packets", "Opus packets encoded.", Unit::Count, "station.packets"),
            blocks_dropped: counter(
                "station_blocks_dropped",
                "Captured blocks dropped because the encoder was behind.",
                Unit::Count,
                "station.drops.blocks",
            ),
            packets_dropped: counter(
                "station_packets_dropped",
                "Opus packets dropped because an rtc thread was behind.",
                Unit::Count,
                "station.drops.packets",
            ),
            silence_samples: counter(
                "station_silence",
                "Silence sent because the source delivered nothing.",
                Unit::Samples,
                "station.silence_s",
            ),
            late_samples: counter(
                "station_late",
                "Sound dropped because it came after the silence that replaced it.",
                Unit::Samples,
                "",
            ),
            reopened: counter(
                "station_source_reopened",
                "How often the source had to be opened again.",
                Unit::Count,
                "station.reopened",
            ),
            listeners: registry
                .gauge(describe("station_listeners", "Connected listeners.", Unit::Count, "station.listeners"), labels),
        }
    }

    /// Removes the metrics of the station of this name from the registry.
    pub fn remove(registry: &Registry, station: &str) {
        registry.remove(LABEL, station);
    }
}
