//! The two renderings of the metrics, as the running program answers them: `/metrics` against the rules of Prometheus' text
//! format 0.0.4, `/api/status` against the members that its clients know.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::program::{Program, get};
use crate::harness::wait::wait_until;

/// The type of each family and the value of each line, by name and labels as they are written.
struct Parsed {
    types: HashMap<String, String>,
    values: HashMap<String, f64>,
}

/// Reads the text format, and panics at whatever its description does not permit.
fn parse(text: &str) -> Parsed {
    assert!(text.ends_with('\n'), "the last line has no line feed");
    let (mut types, mut values, mut helped) = (HashMap::new(), HashMap::new(), HashSet::new());
    let mut current = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect(line);
            assert!(is_name(name, true) && !help.is_empty() && help.ends_with('.'), "{line}");
            assert!(helped.insert(name.to_owned()), "{name} has two lines of help");
            current = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert_eq!(name, current, "type and help are of one family");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} has two types");
        } else {
            let (name, value) = line.rsplit_once(' ').expect(line);
            let (family, labels) = name.split_once('{').map_or((name, ""), |(family, rest)| (family, rest));
            assert_eq!(family, current, "the lines of a family stand together, after its help and type");
            assert!(types.contains_key(family), "{line}");
            check_labels(labels, line);
            let value = match value {
                "+Inf" => f64::INFINITY,
                "-Inf" => f64::NEG_INFINITY,
                "NaN" => f64::NAN,
                number => number.parse().expect(line),
            };
            assert!(values.insert(name.to_owned(), value).is_none(), "{name} is there twice");
        }
    }
    Parsed { types, values }
}

fn is_name(name: &str, is_metric: bool) -> bool {
    let permitted = |c: char| c.is_ascii_alphanumeric() || c == '_' || (is_metric && c == ':');
    name.chars().all(permitted) && name.starts_with(|c: char| !c.is_ascii_digit())
}

/// `a="b",c="d"}`, in which a value's backslashes, quotation marks and line feeds are escaped.
fn check_labels(labels: &str, line: &str) {
    let mut rest = labels;
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").expect(line);
        assert!(is_name(name, false), "{line}");
        let mut end = None;
        let mut chars = value.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => assert!(matches!(chars.next(), Some((_, '\\' | '"' | 'n'))), "{line}"),
                '"' => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        rest = &value[end.expect(line) + 1..];
        rest = rest.strip_prefix(',').or_else(|| (rest == "}").then_some("")).expect(line);
    }
}

fn metrics(program: &Program) -> String {
    let response = get(program.port, "/metrics");
    let (head, text) = response.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let content_type = head.lines().find_map(|line| line.strip_prefix("Content-Type: "));
    assert_eq!(content_type, Some("text/plain; version=0.0.4"), "{head}");
    text.to_owned()
}

#[test]
fn the_metrics_are_valid_prometheus_text_and_agree_with_the_status() {
    let program = Program::start(&["--sine-wave"], None);
    wait_until("the tone", || program.status()["stations"][0]["packets"].as_u64() > Some(10));
    let text = metrics(&program);
    let (parsed, status) = (parse(&text), program.status());
    for (name, kind) in [
        ("roomtone_station_packets_total", "counter"),
        ("roomtone_rtc_sessions", "gauge"),
        ("roomtone_peers_joined_total", "counter"),
        ("roomtone_connections_accepted_total", "counter"),
        ("roomtone_station_silence_seconds_total", "counter"),
        ("roomtone_log_lines_dropped_total", "counter"),
        ("roomtone_uptime_seconds", "gauge"),
        ("roomtone_build_info", "gauge"),
    ] {
        assert_eq!(parsed.types.get(name).map(String::as_str), Some(kind), "{name} in {text}");
    }
    let value = |name: &str| parsed.values[name];
    let level = value("roomtone_station_level_dbfs{station=\"main\",channel=\"left\"}");
    let shown = status["stations"][0]["level"]["left_dbfs"].as_f64().unwrap();
    assert!((level - shown).abs() < 0.1, "{level} dBFS, in the status {shown}");
    let packets = value("roomtone_station_packets_total{station=\"main\"}");
    assert!(packets > 10.0 && packets <= status["stations"][0]["packets"].as_f64().unwrap());
    assert!(value("roomtone_connections_accepted_total") <= status["door"]["accepted"].as_f64().unwrap());
    assert!((0.0..600.0).contains(&value("roomtone_uptime_seconds")));
    check_with_promtool(&text);
}

/// Prometheus' own checker, where it is installed (Debian: `prometheus`).
fn check_with_promtool(text: &str) {
    let mut command = Command::new("promtool");
    let promtool = command.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut promtool) = promtool else { return println!("promtool is not installed: not checked with it") };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn metrics_need_the_permission_to_listen() {
    let state = tempfile::tempdir().unwrap();
    let program = Program::start(&["--sine-wave", "--private", "--state-dir", state.path().to_str().unwrap()], None);
    assert!(get(program.port, "/metrics").starts_with("HTTP/1.1 401"));
    let link = std::fs::read_to_string(state.path().join("admin-link")).unwrap();
    let (_, token) = link.trim().split_once("#t=").unwrap();
    assert!(get(program.port, &format!("/metrics?token={token}")).starts_with("HTTP/1.1 200"), "{link}");
}

#[test]
fn the_status_has_the_members_that_its_clients_know() {
    let program = Program::start(&["--sine-wave"], None);
    let mut members = vec![];
    paths("", &program.status(), &mut members);
    let expected = "\
        door.accepted door.connections door.refused door.requests \
        limits.body_bytes limits.body_s limits.connections limits.connections_per_address limits.connections_per_s \
        limits.head_bytes limits.head_s limits.idle_s limits.listeners limits.listeners_per_address \
        limits.messages_per_s limits.offers_per_s limits.peers limits.peers_per_address \
        limits.room_size limits.streamed_responses limits.write_s \
        name \
        rooms.connected rooms.joined rooms.messages rooms.peers rooms.refused rooms.rooms rooms.too_slow \
        rtc.admitted rtc.datagrams_in rtc.datagrams_out rtc.datagrams_unknown rtc.datagrams_unsent rtc.sessions \
        stations.0.drops.blocks stations.0.drops.packets \
        stations.0.encoding.application stations.0.encoding.bitrate_bps stations.0.encoding.channels \
        stations.0.encoding.complexity stations.0.encoding.dtx stations.0.encoding.fec stations.0.encoding.packet_ms \
        stations.0.level.left_dbfs stations.0.level.right_dbfs stations.0.listeners stations.0.name stations.0.packets \
        stations.0.reopened stations.0.silence_s \
        stations.0.source.channels stations.0.source.id stations.0.source.kind stations.0.source.name \
        stations.0.source.problem stations.0.source.rate_hz stations.0.source.sample_format stations.0.source.state \
        uptime_s version";
    members.sort();
    assert_eq!(members, expected.split_whitespace().collect::<Vec<_>>());
}

/// The path of each value that is not an object or array.
fn paths(prefix: &str, value: &Value, found: &mut Vec<String>) {
    let join = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| paths(&join(name), value, found)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, value)| paths(&join(&n.to_string()), value, found))
        }
        _ => found.push(prefix.to_owned()),
    }
}
