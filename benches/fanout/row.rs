//! One number of listeners: the server, the crowd that listens to it, the floor, and what was measured.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::unbounded;
use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::observe::metrics::{Counter, Gauge};
use roomtone::observe::service::Running;
use roomtone::rtc::engine::handle::{Handle, PacketSender, TrackSetup};
use roomtone::rtc::engine::{self, EngineSetup};
use roomtone::rtc::metrics::RtcMetrics;
use roomtone::rtc::profile::OpusTrack;
use roomtone::rtc::srtp::gcm::Gcm;
use roomtone::rtc::udp::batch::{Batch, Route};
use roomtone::rtc::udp::socket::{self, Datagrams};
use roomtone::station::timeline::{self, Capacity, TimelineWriter};
use serde::{Deserialize, Serialize};

use super::crowd::Report;
use super::listeners::Listeners;
use super::processor;

const PACKET_MS: u64 = 20;
const PAYLOAD_BYTES: usize = 160;
/// RTP header and tag of GCM.
const OVERHEAD_BYTES: usize = 12 + 16;

/// How many join a second, and for how many seconds, while the others listen.
const JOINING_PER_S: u32 = 200;
const JOINING_S: u32 = 2;

/// Sound and floor are measured in turn, so often; the middle one counts, as the machine is never quite its own.
const PASSES: usize = 3;
const QUICK_PASSES: usize = 1;

/// What is measured.
pub struct Plan {
    pub listeners: usize,
    pub threads: usize,
    /// Every packet through str0m.
    pub through_engine: bool,
    pub quick: bool,
}

/// What is printed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    listeners: usize,
    threads: usize,
    way: String,
    us_per_packet: f64,
    floor_us: f64,
    /// Of the two, taken one after the other.
    ratio: f64,
    /// Processor time of the busiest rtc thread until everybody has a packet.
    round_ms: f64,
    listeners_per_core: f64,
    lost_percent: f64,
    gap_p50_ms: f64,
    gap_p99_ms: f64,
    gap_max_ms: f64,
    kib_per_listener: f64,
    connect_ms: f64,
    /// The longest time anybody waited for a packet while others joined.
    joining_gap_max_ms: Option<f64>,
}

pub fn print_head() {
    println!(
        "listeners threads way    µs/packet  floor ratio round ms  a core    lost gap p50   p99   max KiB each connect ms"
    );
}

pub fn print(row: &Row) {
    println!(
        "{:>9} {:>7} {:<6} {:>9.2} {:>6.2} {:>5.2} {:>8.2} {:>7.0} {:>6.3}% {:>7.2} {:>5.2} {:>5.1} {:>8.1} {:>10.2}",
        row.listeners,
        row.threads,
        row.way,
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
        let joining = JOINING_PER_S;
        println!("{:>9} {:>7} longest gap while {joining} more join each second: {gap_ms:.2} ms", "", "");
    }
}

pub fn measure(plan: &Plan) -> Row {
    let &Plan { listeners, threads, through_engine, quick } = plan;
    let metrics = RtcMetrics::default();
    let engine = start_engine(plan, metrics);
    let rtc = rtc_threads(threads);
    let times = || rtc.iter().map(|thread| processor::time_of(*thread)).collect::<Vec<_>>();
    let mut sound = Sound::of(&engine.handle);
    // One packet puts the station on air.
    sound.send_packet();
    let mut crowd = Listeners::start();

    // The first one pays for what all share.
    let shared = usize::from(listeners > 1);
    crowd.connect(shared, Duration::ZERO, &engine.handle);
    let (memory, before) = (processor::resident_bytes(), times());
    let admitting = crowd.connect(listeners - shared, Duration::ZERO, &engine.handle);
    let connecting = spent(&before, &times()).iter().sum::<Duration>() + admitting;
    let each = (listeners - shared) as f64;

    let mut play = move |rounds: u32| {
        let start = Instant::now();
        for round in 0..rounds {
            sound.send_packet();
            let due = start + Duration::from_millis(PACKET_MS) * (round + 1);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        // What is on its way arrives.
        thread::sleep(Duration::from_millis(300));
    };
    play(if quick { 25 } else { 100 });
    let resident = processor::resident_bytes().saturating_sub(memory);
    let rounds = if quick { 20 } else { 200 };
    let passes = if quick { QUICK_PASSES } else { PASSES };
    let passes: Vec<Pass> = (0..passes)
        .map(|_| {
            crowd.order("forget");
            thread::sleep(Duration::from_millis(200));
            let before = times();
            play(rounds);
            let spent = spent(&before, &times());
            let report = crowd.report();
            assert_eq!(report.connected, listeners);
            assert!(report.decrypted > 0 && report.decrypted >= report.sampled * 99 / 100, "{report:?}");
            let us = |time: &Duration| time.as_secs_f64() * 1e6;
            Pass {
                // What was dropped because the machine was busy with something else has cost nothing.
                us_per_packet: spent.iter().map(us).sum::<f64>() / report.received as f64,
                round_ms: spent.iter().map(us).fold(0.0, f64::max) / 1e3 / f64::from(rounds),
                floor_us: floor(&crowd.addresses, rounds / 2),
                report,
            }
        })
        .collect();
    let joins = !quick && !through_engine && listeners >= 1_000;
    let joining_gap_max_ms = joins.then(|| {
        crowd.order("forget");
        let sound = thread::spawn(move || play(JOINING_S * 1_000 / PACKET_MS as u32));
        let pace = Duration::from_secs(1) / JOINING_PER_S;
        crowd.connect((JOINING_PER_S * JOINING_S) as usize, pace, &engine.handle);
        sound.join().expect("no panic");
        crowd.report().gap_max_ms
    });
    drop(crowd);
    engine.stop().expect("no panic");
    let packets = (listeners * passes.len()) as f64 * f64::from(rounds);
    let received = passes.iter().map(|pass| pass.report.received).sum::<u64>() as f64;
    let us_per_packet = middle(&passes, |pass| pass.us_per_packet);
    Row {
        listeners,
        threads,
        way: if through_engine { "engine" } else { "sealed" }.into(),
        us_per_packet,
        floor_us: middle(&passes, |pass| pass.floor_us),
        ratio: middle(&passes, |pass| pass.us_per_packet / pass.floor_us),
        round_ms: middle(&passes, |pass| pass.round_ms),
        listeners_per_core: PACKET_MS as f64 * 1e3 / us_per_packet,
        lost_percent: 100.0 * (packets - received) / packets,
        gap_p50_ms: middle(&passes, |pass| pass.report.gap_p50_ms),
        gap_p99_ms: worst(&passes, |pass| pass.report.gap_p99_ms),
        gap_max_ms: worst(&passes, |pass| pass.report.gap_max_ms),
        kib_per_listener: resident as f64 / 1024.0 / each,
        connect_ms: connecting.as_secs_f64() * 1e3 / each,
        joining_gap_max_ms,
    }
}

struct Pass {
    us_per_packet: f64,
    floor_us: f64,
    round_ms: f64,
    report: Report,
}

fn middle(passes: &[Pass], value: impl Fn(&Pass) -> f64) -> f64 {
    let mut values: Vec<f64> = passes.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn worst(passes: &[Pass], value: impl Fn(&Pass) -> f64) -> f64 {
    passes.iter().map(value).fold(0.0, f64::max)
}

/// Of each thread.
fn spent(before: &[Duration], after: &[Duration]) -> Vec<Duration> {
    after.iter().zip(before).map(|(after, before)| *after - *before).collect()
}

/// Each on a processor of its own, as far as there are some. A thread takes its name on when it first runs.
fn rtc_threads(threads: usize) -> Vec<i32> {
    let name = |n| if threads == 1 { "rtc".into() } else { format!("rtc-{n}") };
    let find = |n| {
        let found = std::iter::repeat_with(|| {
            thread::sleep(Duration::from_millis(1));
            processor::thread_named(&name(n))
        });
        let thread = found.take(1_000).flatten().next().expect("a thread");
        processor::pin_thread(thread, n);
        thread
    };
    (0..threads).map(find).collect()
}

fn start_engine(plan: &Plan, metrics: RtcMetrics) -> Running<Handle> {
    let setup = EngineSetup {
        sockets: (0..plan.threads).map(|_| socket::bind(None, 0).expect("a UDP port")).collect(),
        max_sessions: usize::MAX,
        max_sessions_per_address: usize::MAX,
        seal: !plan.through_engine,
        metrics,
    };
    engine::start(setup, unbounded().0).expect("an engine")
}

/// A station without an encoder.
struct Sound {
    at: u64,
    timeline: TimelineWriter,
    sender: PacketSender,
}

impl Sound {
    fn of(engine: &Handle) -> Sound {
        let capacity = Capacity::new(Duration::ZERO, Duration::from_millis(PACKET_MS), 128_000);
        let (writer, timeline) = timeline::new(capacity, Instant::now());
        let setup = TrackSetup {
            id: TrackId::new(0),
            opus: OpusTrack { stereo: true, fec: false, min_packet_ms: 20 },
            timeline,
            listeners: Gauge::default(),
            packets_dropped: Counter::default(),
        };
        Sound { at: 0, timeline: writer, sender: engine.add_track(setup).expect("a track") }
    }

    fn send_packet(&mut self) {
        self.at += 960;
        let payload = vec![0xfc; PAYLOAD_BYTES].into();
        let packet = Packet { payload, rtp_time_samples: self.at, captured: Instant::now() };
        self.sender.send(self.timeline.push(&packet), &packet);
    }
}

/// Processor time of the bare work for one packet, in microseconds.
fn floor(addresses: &[SocketAddr], rounds: u32) -> f64 {
    let addresses = addresses.to_vec();
    let bare = thread::spawn(move || {
        processor::pin(0);
        let socket = socket::bind(None, 0).expect("a UDP port");
        let port = socket.local_addr().expect("an address").port();
        let mut datagrams = Datagrams::new(socket).expect("a socket");
        let source = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        let key = |n: usize| {
            let bytes: [u8; 32] = std::array::from_fn(|at| (n >> (at % 4)) as u8);
            Gcm::new(&bytes.into()).expect("a key")
        };
        let bare: Vec<(Gcm, Route)> = (addresses.iter().enumerate())
            .map(|(n, destination)| (key(n), Route { source, destination: *destination }))
            .collect();
        let payload = [0xfc; PAYLOAD_BYTES];
        let mut batch = Batch::default();
        let (start, before) = (Instant::now(), processor::time_of(processor::this_thread()));
        for round in 0..rounds {
            for (key, route) in &bare {
                batch.push(*route, PAYLOAD_BYTES + OVERHEAD_BYTES, |out| {
                    let (header, rest) = out.split_at_mut(12);
                    let (body, tag) = rest.split_last_chunk_mut().expect("a tag");
                    // Nobody's sound: neither RTP nor anything else that is heard there.
                    header.fill(0xff);
                    body.copy_from_slice(&payload);
                    let mut nonce = [0; 12];
                    nonce[..4].copy_from_slice(&round.to_be_bytes());
                    key.seal(&nonce, header, body, tag)
                });
                if batch.is_full() {
                    datagrams.send(&batch);
                    batch.clear();
                }
            }
            datagrams.send(&batch);
            batch.clear();
            let due = start + Duration::from_millis(PACKET_MS) * (round + 1);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let spent = processor::time_of(processor::this_thread()) - before;
        spent.as_secs_f64() * 1e6 / (bare.len() as f64 * f64::from(rounds))
    });
    bare.join().expect("no panic")
}
