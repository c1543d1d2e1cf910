//! What is measured for one number of listeners.

use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::floor;
use super::listener_process::handle::ListenerProcess;
use super::listener_process::protocol::Report;
use super::server::{PACKET_MS, Server, resident_bytes};

/// How many listeners join each second, and for how many seconds, while the others receive.
pub const JOINING_PER_S: u32 = 200;
const JOINING_S: u32 = 2;

/// Server and floor are measured in turn, so many times. The median counts: on a rented machine others use the processor
/// too.
const PASSES: usize = 3;
const QUICK_PASSES: usize = 1;

/// What to measure.
pub struct Plan {
    pub listeners: usize,
    pub threads: usize,
    /// Every packet passes through str0m.
    pub through_engine: bool,
    pub quick: bool,
}

/// What was measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub listeners: usize,
    pub threads: usize,
    /// "sealed" or "engine"
    pub path: String,
    /// Processor time of all rtc threads for each packet that was received.
    pub us_per_packet: f64,
    /// The same of the bare work.
    pub floor_us: f64,
    /// Of the two, taken one after the other.
    pub ratio: f64,
    /// Processor time of the busiest rtc thread to send every listener a packet.
    pub round_ms: f64,
    pub listeners_per_core: f64,
    pub lost_percent: f64,
    /// From one packet of a listener to its next, over all listeners.
    pub gap_p50_ms: f64,
    pub gap_p99_ms: f64,
    pub gap_max_ms: f64,
    /// Memory that each further listener needs.
    pub kib_per_listener: f64,
    /// Processor time of the server to connect one listener.
    pub connect_ms: f64,
    /// The longest gap while others joined.
    pub joining_gap_max_ms: Option<f64>,
}

struct Pass {
    us_per_packet: f64,
    floor_us: f64,
    round_ms: f64,
    report: Report,
}

/// Starts server and listeners, and measures them.
pub fn measure(plan: &Plan) -> Row {
    let &Plan { listeners, threads, through_engine, quick } = plan;
    let mut server = Server::start(threads, through_engine);
    let mut process = ListenerProcess::start();

    // The first listener causes the costs that all share.
    let first = usize::from(listeners > 1);
    process.connect(first, Duration::ZERO, &server.engine.handle);
    let (memory, before) = (resident_bytes(), server.processor_times());
    let admitting = process.connect(listeners - first, Duration::ZERO, &server.engine.handle);
    let connecting = server.spent_since(&before).iter().sum::<Duration>() + admitting;
    let each = (listeners - first) as f64;

    server.send_packets(if quick { 25 } else { 100 });
    let resident = resident_bytes().saturating_sub(memory);
    let rounds = if quick { 20 } else { 200 };
    let passes = if quick { QUICK_PASSES } else { PASSES };
    let passes: Vec<Pass> = (0..passes).map(|_| measure_pass(&mut server, &mut process, listeners, rounds)).collect();
    let joins = !quick && !through_engine && listeners >= 1_000;
    let joining_gap_max_ms = joins.then(|| longest_gap_while_others_join(&mut server, &mut process));
    drop(process);
    server.engine.stop().expect("no panic");

    let packets = (listeners * passes.len()) as f64 * f64::from(rounds);
    let received = passes.iter().map(|pass| pass.report.received).sum::<u64>() as f64;
    let us_per_packet = median(&passes, |pass| pass.us_per_packet);
    Row {
        listeners,
        threads,
        path: if through_engine { "engine" } else { "sealed" }.into(),
        us_per_packet,
        floor_us: median(&passes, |pass| pass.floor_us),
        ratio: median(&passes, |pass| pass.us_per_packet / pass.floor_us),
        round_ms: median(&passes, |pass| pass.round_ms),
        listeners_per_core: PACKET_MS as f64 * 1e3 / us_per_packet,
        lost_percent: 100.0 * (packets - received) / packets,
        gap_p50_ms: median(&passes, |pass| pass.report.gap_p50_ms),
        gap_p99_ms: max(&passes, |pass| pass.report.gap_p99_ms),
        gap_max_ms: max(&passes, |pass| pass.report.gap_max_ms),
        kib_per_listener: resident as f64 / 1024.0 / each,
        connect_ms: connecting.as_secs_f64() * 1e3 / each,
        joining_gap_max_ms,
    }
}

/// The server first, then the floor.
fn measure_pass(server: &mut Server, process: &mut ListenerProcess, listeners: usize, rounds: u32) -> Pass {
    process.reset();
    thread::sleep(Duration::from_millis(200));
    let before = server.processor_times();
    server.send_packets(rounds);
    let spent = server.spent_since(&before);
    let report = process.report();
    assert_eq!(report.connected, listeners);
    assert!(report.decrypted > 0 && report.decrypted >= report.sampled * 99 / 100, "{report:?}");
    let us = |time: &Duration| time.as_secs_f64() * 1e6;
    Pass {
        // A packet that was dropped because the machine was busy with something else has cost nothing.
        us_per_packet: spent.iter().map(us).sum::<f64>() / report.received as f64,
        round_ms: spent.iter().map(us).fold(0.0, f64::max) / 1e3 / f64::from(rounds),
        floor_us: floor::us_per_packet(&report.addresses, rounds / 2),
        report,
    }
}

fn longest_gap_while_others_join(server: &mut Server, process: &mut ListenerProcess) -> f64 {
    process.reset();
    let engine = server.engine.handle.clone();
    thread::scope(|scope| {
        let packets = scope.spawn(|| server.send_packets(JOINING_S * 1_000 / PACKET_MS as u32));
        let interval = Duration::from_secs(1) / JOINING_PER_S;
        process.connect((JOINING_PER_S * JOINING_S) as usize, interval, &engine);
        packets.join().expect("no panic");
    });
    process.report().gap_max_ms
}

fn median(passes: &[Pass], value: impl Fn(&Pass) -> f64) -> f64 {
    let mut values: Vec<f64> = passes.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn max(passes: &[Pass], value: impl Fn(&Pass) -> f64) -> f64 {
    passes.iter().map(value).fold(0.0, f64::max)
}
