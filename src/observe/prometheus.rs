//! Renders the registry in Prometheus' text exposition format 0.0.4. Runs on the thread that answers `GET /metrics`.
//!
//! <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>; names follow
//! <https://prometheus.io/docs/practices/naming/>: a prefix, base units, `_total` for counters.

use std::fmt::Write;

use crate::observe::registry::{Family, Kind, Reading, Registry, Unit};

/// The media type of [`render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4";

/// All metrics, one line each, under the name, help and type of their family.
pub fn render(registry: &Registry) -> String {
    let mut text = String::new();
    for family in registry.families().iter() {
        let name = name(family);
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let help = escape(family.description.help, false);
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
        for series in &family.series {
            let labels: Vec<String> =
                series.labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escape(value, true))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let value = match series.read(family.description.unit) {
                Reading::Whole(count) => count.to_string(),
                Reading::Real(value) => real(value),
            };
            let _ = writeln!(text, "{name}{labels} {value}");
        }
    }
    text
}

fn name(family: &Family) -> String {
    let unit = match family.description.unit {
        Unit::Count => "",
        Unit::Seconds | Unit::Samples => "_seconds",
        Unit::Bytes => "_bytes",
        Unit::Dbfs => "_dbfs",
    };
    let total = if family.kind == Kind::Counter { "_total" } else { "" };
    format!("roomtone_{}{unit}{total}", family.description.name)
}

/// As Go's `strconv.ParseFloat` reads it.
fn real(value: f64) -> String {
    if value.is_nan() {
        "NaN".into()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".into() } else { "-Inf".into() }
    } else {
        value.to_string()
    }
}

/// Backslashes and line feeds; in a label's value quotation marks too.
fn escape(text: &str, is_label: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if is_label { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::registry::Description;

    const fn description(name: &'static str, help: &'static str, unit: Unit) -> Description {
        Description { name, help, unit, json: "" }
    }

    #[test]
    fn each_family_has_help_type_and_its_lines() {
        let registry = Registry::default();
        let packets = description("station_packets", "Packets encoded.", Unit::Count);
        registry.counter(packets, &[("station", "main")]).add(7);
        registry.gauge(description("rtc_sessions", "Sessions.", Unit::Count), &[]).set(3);
        registry.counter(packets, &[("station", "other")]).add(8);
        registry.counter(description("station_silence", "Silence.", Unit::Samples), &[]).add(72_000);
        let level = registry.level(description("station_level", "Peak.", Unit::Dbfs), &[("channel", "left")]);
        let expected = "# HELP roomtone_station_packets_total Packets encoded.\n\
                        # TYPE roomtone_station_packets_total counter\n\
                        roomtone_station_packets_total{station=\"main\"} 7\n\
                        roomtone_station_packets_total{station=\"other\"} 8\n\
                        # HELP roomtone_rtc_sessions Sessions.\n\
                        # TYPE roomtone_rtc_sessions gauge\n\
                        roomtone_rtc_sessions 3\n\
                        # HELP roomtone_station_silence_seconds_total Silence.\n\
                        # TYPE roomtone_station_silence_seconds_total counter\n\
                        roomtone_station_silence_seconds_total 1.5\n\
                        # HELP roomtone_station_level_dbfs Peak.\n\
                        # TYPE roomtone_station_level_dbfs gauge\n\
                        roomtone_station_level_dbfs{channel=\"left\"} -Inf\n";
        assert_eq!(render(&registry), expected);
        level.set_dbfs(-20.5);
        assert!(render(&registry).ends_with("{channel=\"left\"} -20.5\n"));
    }

    #[test]
    fn help_and_labels_are_escaped() {
        let registry = Registry::default();
        let odd = description("odd", "A \\ and a\nline, and \"quotes\".", Unit::Bytes);
        registry.gauge(odd, &[("name", "a\\b\nc\"d")]);
        let expected = "# HELP roomtone_odd_bytes A \\\\ and a\\nline, and \"quotes\".\n\
                        # TYPE roomtone_odd_bytes gauge\n\
                        roomtone_odd_bytes{name=\"a\\\\b\\nc\\\"d\"} 0\n";
        assert_eq!(render(&registry), expected);
    }

    #[test]
    fn numbers_that_are_not_finite_are_written_as_the_format_says() {
        let written = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.1].map(real);
        assert_eq!(written, ["+Inf", "-Inf", "NaN", "0.1"]);
    }
}
