//! The server that is measured: a real engine, and a station that has no encoder.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::bounded;
use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::observe::metrics::{Counter, Gauge};
use roomtone::observe::service::Running;
use roomtone::rtc::engine::handle::{Handle, PacketSender, TrackSetup};
use roomtone::rtc::engine::{self, EngineSetup};
use roomtone::rtc::metrics::RtcMetrics;
use roomtone::rtc::profile::OpusTrack;
use roomtone::rtc::udp::socket;
use roomtone::station::timeline::{self, Capacity, TimelineWriter};

use super::listener_process::processor;

pub const PACKET_MS: u64 = 20;
pub const PAYLOAD_BYTES: usize = 160;

/// How long the last packets of a measurement may take to arrive.
const LAST_PACKETS: Duration = Duration::from_millis(300);

/// An engine with one track that has already sent a packet.
pub struct Server {
    pub engine: Running<Handle>,
    /// The rtc threads, by their number in the kernel.
    threads: Vec<i32>,
    rtp_time_samples: u64,
    timeline: TimelineWriter,
    sender: PacketSender,
}

impl Server {
    pub fn start(threads: usize, through_engine: bool) -> Server {
        let setup = EngineSetup {
            sockets: (0..threads).map(|_| socket::bind(None, 0).expect("a UDP port")).collect(),
            max_sessions: usize::MAX,
            max_sessions_per_address: usize::MAX,
            offers_per_s: usize::MAX,
            seal: !through_engine,
            metrics: RtcMetrics::default(),
        };
        let engine = engine::start(setup, bounded(64).0).expect("an engine");
        let capacity = Capacity::new(Duration::ZERO, Duration::from_millis(PACKET_MS), 128_000);
        let (timeline_writer, timeline) = timeline::new(capacity, Instant::now());
        let track = TrackSetup {
            id: TrackId::new(0),
            opus: OpusTrack { stereo: true, fec: false, min_packet_ms: 20 },
            timeline,
            listeners: Gauge::default(),
            packets_dropped: Counter::default(),
        };
        let sender = engine.handle.add_track(track).expect("a track");
        let threads = (0..threads).map(|nth| find_and_pin(nth, threads)).collect();
        let mut server = Server { engine, threads, rtp_time_samples: 0, timeline: timeline_writer, sender };
        server.send_packet();
        server
    }

    fn send_packet(&mut self) {
        self.rtp_time_samples += 960;
        let payload = vec![0xfc; PAYLOAD_BYTES].into();
        let packet = Packet { payload, rtp_time_samples: self.rtp_time_samples, captured: Instant::now() };
        self.sender.send(self.timeline.push(&packet), &packet);
    }

    /// Sends so many packets to every listener, in real time, and waits until the last have arrived.
    pub fn send_packets(&mut self, count: u32) {
        let start = Instant::now();
        for nth in 1..=count {
            self.send_packet();
            let due = start + Duration::from_millis(PACKET_MS) * nth;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        thread::sleep(LAST_PACKETS);
    }

    /// Processor time that each rtc thread has used so far.
    pub fn processor_times(&self) -> Vec<Duration> {
        self.threads.iter().map(|thread| processor::time_of(*thread)).collect()
    }

    /// Processor time that each rtc thread has used since.
    pub fn spent_since(&self, before: &[Duration]) -> Vec<Duration> {
        self.processor_times().iter().zip(before).map(|(now, before)| *now - *before).collect()
    }
}

/// Finds an rtc thread by its name, and pins it to the processor of its number, if there is one. A thread takes its name
/// when it first runs, so this waits for it.
fn find_and_pin(nth: usize, threads: usize) -> i32 {
    let name = if threads == 1 { "rtc".into() } else { format!("rtc-{nth}") };
    let found = std::iter::repeat_with(|| {
        thread::sleep(Duration::from_millis(1));
        thread_named(&name)
    });
    let thread = found.take(1_000).flatten().next().expect("an rtc thread");
    processor::pin(thread, nth);
    thread
}

/// The last thread of this name in this process.
fn thread_named(name: &str) -> Option<i32> {
    let tasks = fs::read_dir("/proc/self/task").ok()?.flatten();
    let named = tasks.filter(|task| fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name));
    named.last()?.file_name().to_str()?.parse().ok()
}

/// Resident memory of this process.
pub fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or_default() * 1024
}
