//! Latencies as distributions, and how they are printed.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use roomtone::audio::encoder::Encoding;

use super::station::Arrival;

/// Latencies in nanoseconds, up to 10 s.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("bounds that hdrhistogram takes")
}

/// From the callback that delivered a packet's last sample: until it was encoded, and until it arrived.
pub fn since_callback(arrivals: &[Arrival], calls: &[Instant], encoding: &Encoding) -> [Histogram<u64>; 2] {
    let mut latencies = [histogram(), histogram()];
    for packet in arrivals {
        // The callback gives its block a capture time one block before now, so the last sample's capture and the callback
        // differ by the readings of two clocks.
        let complete = packet.captured + encoding.packet_duration() - Duration::from_micros(200);
        let call = calls.partition_point(|call| *call < complete);
        if let Some(call) = calls.get(call) {
            for (latencies, end) in latencies.iter_mut().zip([packet.encoded, packet.arrived]) {
                latencies.saturating_record(end.saturating_duration_since(*call).as_nanos() as u64);
            }
        }
    }
    latencies
}

/// From the capture of a packet's last sample until it arrived.
pub fn since_capture(arrivals: &[Arrival], encoding: &Encoding) -> Histogram<u64> {
    let mut latencies = histogram();
    for packet in arrivals {
        let complete = packet.captured + encoding.packet_duration();
        latencies.saturating_record(packet.arrived.saturating_duration_since(complete).as_nanos() as u64);
    }
    latencies
}

/// Prints a row for each distribution.
pub struct Table {
    baseline_p50_ns: u64,
}

impl Table {
    /// Prints the heads of the columns and the row that all others are compared with.
    pub fn new(name: &str, baseline: Histogram<u64>) -> Table {
        println!(
            "{:<40} {:>7} {:>8} {:>8} {:>8} {:>14}",
            "", "packets", "p50 ms", "p99 ms", "max ms", "p50 / baseline"
        );
        let table = Table { baseline_p50_ns: baseline.value_at_quantile(0.5).max(1) };
        table.print(name, &baseline);
        table
    }

    pub fn print(&self, name: &str, latencies: &Histogram<u64>) {
        let ms = |nanos: u64| nanos as f64 / 1e6;
        let p50_ns = latencies.value_at_quantile(0.5);
        println!(
            "{name:<40} {:>7} {:>8.3} {:>8.3} {:>8.3} {:>14.1}",
            latencies.len(),
            ms(p50_ns),
            ms(latencies.value_at_quantile(0.99)),
            ms(latencies.max()),
            p50_ns as f64 / self.baseline_p50_ns as f64,
        );
    }
}
