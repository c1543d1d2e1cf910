//! How rows are printed.

use super::row::{JOINING_PER_S, Row};

/// The heads of the columns; all times of rtc threads are processor times.
pub fn print_head() {
    println!(
        "{:>9} {:>7} {:<6} {:>9} {:>9} {:>5} {:>8} {:>9} {:>7} {:>7} {:>7} {:>7} {:>8} {:>7}",
        "",
        "rtc",
        "",
        "measured",
        "floor",
        "",
        "ms per",
        "listeners",
        "packets",
        "gap ms",
        "gap ms",
        "gap ms",
        "KiB per",
        "ms per"
    );
    println!(
        "{:>9} {:>7} {:<6} {:>9} {:>9} {:>5} {:>8} {:>9} {:>7} {:>7} {:>7} {:>7} {:>8} {:>7}",
        "listeners",
        "threads",
        "path",
        "µs/packet",
        "µs/packet",
        "ratio",
        "round",
        "per core",
        "lost",
        "p50",
        "p99",
        "max",
        "listener",
        "connect"
    );
}

pub fn print(row: &Row) {
    println!(
        "{:>9} {:>7} {:<6} {:>9.2} {:>9.2} {:>5.2} {:>8.2} {:>9.0} {:>6.3}% {:>7.2} {:>7.2} {:>7.1} {:>8.1} {:>7.2}",
        row.listeners,
        row.threads,
        row.path,
        row.us_per_packet,
        row.floor_us,
        row.ratio,
        row.round_ms,
        row.listeners_per_core,
        row.lost_percent,
        row.gap_p50_ms,
        row.gap_p99_ms,
        row.gap_max_ms,
        row.kib_per_listener,
        row.connect_ms,
    );
    if let Some(gap_ms) = row.joining_gap_max_ms {
        println!("{:>24} longest gap while {JOINING_PER_S} more connect each second: {gap_ms:.2} ms", "");
    }
}
