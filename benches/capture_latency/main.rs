//! From the capture callback to the datagram on the wire.
//!
//!     cargo bench --bench capture_latency [-- --quick]
//!
//! A simulated device calls back on time; a client on a thread of its own, over real loopback sockets, with real ICE, DTLS
//! and SRTP, receives. What is printed is the time from the callback that delivered a packet's last sample to the moment
//! the kernel had the datagram at the client's socket (its own time stamp on Linux; elsewhere the client's wake-up is in
//! it too). A packet's own duration is not in it. The last column is the ratio of the median to the bare way measured in
//! the same run: two threads handing a datagram over a channel and a loopback socket, without sound, codec or crypto. If a
//! PulseAudio server runs, the same is done through it, counted from the capture time of the packet's last sample by the
//! server's own clock.
//!
//! On Linux the same is done with a thousand listeners on, in a process of their own, for the first and for the last of
//! them: who joined first is served first.

#[cfg(target_os = "linux")]
#[path = "fanout/crowd.rs"]
#[allow(dead_code)]
mod crowd;
#[cfg(target_os = "linux")]
#[path = "fanout/listeners.rs"]
#[allow(dead_code)]
mod listeners;
#[cfg(target_os = "linux")]
#[path = "fanout/processor.rs"]
#[allow(dead_code)]
mod processor;
#[path = "../tests/it/harness/simulated_device.rs"]
#[allow(dead_code)]
mod simulated;
#[path = "../tests/it/harness/timestamps.rs"]
mod stamps;

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{bounded, unbounded};
use hdrhistogram::Histogram;
use roomtone::audio::encoder::{Encoder, Encoding};
use roomtone::audio::sources::capture::Finder;
use roomtone::audio::sources::device::{self, DeviceChoice, Found};
use roomtone::audio::sources::tone::Sine;
use roomtone::ids::names::StationName;
use roomtone::media::packet::Packet;
use roomtone::media::track::TrackId;
use roomtone::observe::service::Running;
use roomtone::rtc::engine::handle::{Handle, TrackSetup};
use roomtone::rtc::engine::{self, EngineSetup};
use roomtone::rtc::metrics::RtcMetrics;
use roomtone::rtc::profile::OpusTrack;
use roomtone::rtc::requests::Offer;
use roomtone::rtc::udp::socket;
use roomtone::station::runner::{self, RunnerSetup};
use roomtone::station::source::Source;
use roomtone::station::station::Station;
use roomtone::station::timeline::{self, Capacity};
use simulated::Simulated;
use str0m::change::SdpAnswer;
use str0m::media::{Direction, MediaKind};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

/// Packets while everything warms up: connecting, first pages, caches.
const WARM_UP: Duration = Duration::from_millis(500);

fn main() {
    #[cfg(target_os = "linux")]
    if std::env::args().any(|arg| arg == "--crowd") {
        return crowd::run();
    }
    // `cargo bench` says --bench; `cargo test` does not, and only wants to see it work.
    let quick = std::env::args().any(|arg| arg == "--quick") || !std::env::args().any(|arg| arg == "--bench");
    let duration = Duration::from_secs(if quick { 1 } else { 10 });
    println!("capture callback to datagram on the wire, {} s each, times in ms", duration.as_secs());
    let bare = bare_way(if quick { 200 } else { 1_000 });
    print_row("bare: channel, thread, loopback UDP", &bare, &bare);
    for packet_samples in [120, 240, 480, 960] {
        let encoding = Encoding { packet_samples, ..Encoding::default() };
        let name = format!("simulated, {} ms packets", encoding.packet_ms());
        print_row(&format!("  Opus alone, {} ms", encoding.packet_ms()), &encoding_alone(&encoding), &bare);
        let device = Simulated::new(48_000, 2, [440.0, 660.0]);
        let seen = device.clone();
        let finder: Finder =
            Arc::new(move || Ok(Found::of(cpal::platform::CustomDevice::from_device(device.clone()).into())));
        let packets = run(finder, &encoding, duration);
        let [encoded, arrived] = since_callback(&packets, &seen.calls(), &encoding);
        print_row("  of which until encoded", &encoded, &bare);
        assert!(arrived.len() as f64 > 0.5 * duration.as_secs_f64() / encoding.packet_duration().as_secs_f64());
        print_row(&name, &arrived, &bare);
    }
    #[cfg(target_os = "linux")]
    for packet_samples in [480, 960] {
        let encoding = Encoding { packet_samples, ..Encoding::default() };
        let device = Simulated::new(48_000, 2, [440.0, 660.0]);
        let seen = device.clone();
        let finder: Finder =
            Arc::new(move || Ok(Found::of(cpal::platform::CustomDevice::from_device(device.clone()).into())));
        let listeners = if quick { 20 } else { 1_000 };
        let [first, last] = run_among(finder, &encoding, duration, listeners);
        for (which, packets) in [("first", first), ("last", last)] {
            let [_, arrived] = since_callback(&packets, &seen.calls(), &encoding);
            print_row(&format!("{which} of {listeners}, {} ms packets", encoding.packet_ms()), &arrived, &bare);
        }
    }
    for (choice, what) in [(DeviceChoice::Loopback, "PulseAudio monitor")] {
        if device::find(&choice).is_err() {
            println!("no PulseAudio server runs here");
            continue;
        }
        for packet_samples in [120, 240, 480, 960] {
            let encoding = Encoding { packet_samples, ..Encoding::default() };
            let choice = choice.clone();
            let packets = run(Arc::new(move || device::find(&choice)), &encoding, duration);
            let name = format!("{what}, {} ms packets", encoding.packet_ms());
            print_row(&name, &since_capture(&packets, &encoding), &bare);
        }
    }
}

/// A packet as the client saw it.
struct Arrival {
    /// When its first sample was captured.
    captured: Instant,
    /// When the encoder thread was done with it.
    encoded: Instant,
    arrived: Instant,
}

/// A running station.
struct House {
    engine: Running<Handle>,
    running: Running<runner::Handle>,
    /// By RTP time: when a packet was captured, and when it was encoded.
    captured: Arc<Mutex<HashMap<u32, (Instant, Instant)>>>,
}

impl House {
    fn open(finder: Finder, encoding: &Encoding) -> House {
        let socket = socket::bind(Some([127, 0, 0, 1].into()), 0).expect("a UDP port");
        let setup = EngineSetup {
            sockets: vec![socket],
            max_sessions: usize::MAX,
            max_sessions_per_address: usize::MAX,
            seal: true,
            metrics: RtcMetrics::default(),
        };
        let (reports, _ended) = bounded(16);
        let engine = engine::start(setup, reports.clone()).expect("an engine");
        let capacity = Capacity::new(Duration::ZERO, encoding.packet_duration(), encoding.bitrate_bps);
        let (writer, timeline) = timeline::new(capacity, Instant::now());
        let name = StationName::parse("bench").expect("a name");
        let station = Station::new(name, TrackId::new(0), encoding.clone(), timeline.clone());
        let track = TrackSetup {
            id: station.track,
            opus: OpusTrack { stereo: true, fec: false, min_packet_ms: 10 },
            timeline,
            listeners: station.metrics.listeners.clone(),
            packets_dropped: station.metrics.packets_dropped.clone(),
        };
        let sender = engine.handle.add_track(track).expect("a track");
        let captured: Arc<Mutex<HashMap<u32, (Instant, Instant)>>> = Arc::default();
        let notes = captured.clone();
        let sink = Box::new(move |index, packet: &Packet| {
            let (time, captured) = (packet.rtp_time_samples as u32, packet.captured);
            notes.lock().expect("no one panics").insert(time, (captured, Instant::now()));
            sender.send(index, packet);
        });
        let source = Source::Device { kind: "device", finder };
        let setup = RunnerSetup { station, source, timeline: writer, sink };
        let running = runner::start(setup, reports).expect("a station");
        House { engine, running, captured }
    }

    /// What a client heard from `begin` on.
    fn since(&self, begin: Instant, heard: &[(u32, Instant)]) -> Vec<Arrival> {
        let captured = self.captured.lock().expect("no one panics");
        (heard.iter().filter(|(_, at)| *at >= begin))
            .filter_map(|(time, arrived)| {
                let (captured, encoded) = *captured.get(time)?;
                Some(Arrival { captured, encoded, arrived: *arrived })
            })
            .collect()
    }

    fn close(self) {
        self.running.stop().expect("the station ends");
        self.engine.stop().expect("the engine ends");
    }
}

fn after_warm_up(heard: &[(u32, Instant)]) -> Instant {
    heard.first().map_or(Instant::now(), |(_, at)| *at) + WARM_UP
}

/// Runs a station and one client; what arrived after the warm-up.
fn run(finder: Finder, encoding: &Encoding, duration: Duration) -> Vec<Arrival> {
    let house = House::open(finder, encoding);
    let start = Instant::now();
    let heard = client(&house.engine.handle, || start.elapsed() >= duration + WARM_UP);
    let arrivals = house.since(after_warm_up(&heard), &heard);
    house.close();
    arrivals
}

/// The same among many: what the first and the last of them heard.
#[cfg(target_os = "linux")]
fn run_among(finder: Finder, encoding: &Encoding, duration: Duration, listeners: usize) -> [Vec<Arrival>; 2] {
    use std::sync::atomic::{AtomicBool, Ordering};

    roomtone::os::file_limits::raise_limit().expect("a limit");
    let house = House::open(finder, encoding);
    let handle = &house.engine.handle;
    let mut crowd = listeners::Listeners::start();
    let (is_over, connected) = (AtomicBool::new(false), AtomicBool::new(false));
    let heard = thread::scope(|scope| {
        let first = scope.spawn(|| {
            client(handle, || {
                connected.store(true, Ordering::Relaxed);
                is_over.load(Ordering::Relaxed)
            })
        });
        while !connected.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        // Its handshake takes a few milliseconds.
        thread::sleep(WARM_UP);
        crowd.connect(listeners - 2, Duration::ZERO, handle);
        let start = Instant::now();
        let last = client(handle, || start.elapsed() >= duration + WARM_UP);
        is_over.store(true, Ordering::Relaxed);
        [first.join().expect("no panic"), last]
    });
    let begin = after_warm_up(&heard[1]);
    let arrivals = heard.map(|heard| house.since(begin, &heard));
    drop(crowd);
    house.close();
    arrivals
}

/// A real client on this thread, until it is over: RTP time and arrival of each packet.
fn client(handle: &Handle, is_over: impl Fn() -> bool) -> Vec<(u32, Instant)> {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP port");
    stamps::ask_for_stamps(&socket);
    let here: SocketAddr = socket.local_addr().expect("an address");
    let start = Instant::now();
    let mut rtc = Rtc::builder().set_rtp_mode(true).clear_codecs().enable_opus(true, false).build(start);
    rtc.add_local_candidate(Candidate::host(here, Protocol::Udp).expect("a candidate"));
    let mut change = rtc.sdp_api();
    change.add_media(MediaKind::Audio, Direction::RecvOnly, None, None, None);
    let (offer, pending) = change.apply().expect("an offer");
    let offer =
        Offer { sdp: offer.to_sdp_string(), track: TrackId::new(0), client: [127, 0, 0, 1].into(), reached_at: None };
    // The station is on air as soon as its first packet is.
    let admitted = loop {
        match handle.admit(offer.clone()) {
            Ok(admitted) => break admitted,
            Err(_) if start.elapsed() < Duration::from_secs(5) => thread::sleep(Duration::from_millis(5)),
            Err(refusal) => panic!("{refusal:?}"),
        }
    };
    rtc.sdp_api()
        .accept_answer(pending, SdpAnswer::from_sdp_string(&admitted.answer).expect("SDP"))
        .expect("an answer");
    let mut arrivals = vec![];
    let mut bytes = [0; 2_000];
    while !is_over() {
        let deadline = loop {
            match rtc.poll_output().expect("the client lives") {
                Output::Timeout(deadline) => break deadline,
                Output::Transmit(t) => drop(socket.send_to(&t.contents, t.destination)),
                Output::Event(Event::RtpPacket(p)) => arrivals.push((p.header.timestamp, p.timestamp)),
                Output::Event(_) => {}
            }
        };
        let wait = deadline.saturating_duration_since(Instant::now());
        socket.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).expect("a time-out");
        let received = stamps::receive(&socket, &mut bytes);
        let now = Instant::now();
        let input = match received {
            Ok((length, source, now)) => {
                let contents = bytes[..length].try_into().expect("a WebRTC datagram");
                Input::Receive(now, Receive { proto: Protocol::Udp, source, destination: here, contents })
            }
            Err(_) => Input::Timeout(now),
        };
        rtc.handle_input(input).expect("the client lives");
    }
    handle.close(admitted.session);
    arrivals
}

/// From the callback that delivered the last sample: until encoded, and until arrived.
fn since_callback(packets: &[Arrival], calls: &[Instant], encoding: &Encoding) -> [Histogram<u64>; 2] {
    let mut times = [histogram(), histogram()];
    for packet in packets {
        // The callback stamps its block's capture time one block back, so the two agree to the clock's reading.
        let complete = packet.captured + encoding.packet_duration() - Duration::from_micros(200);
        let call = calls.partition_point(|call| *call < complete);
        if let Some(call) = calls.get(call) {
            for (times, end) in times.iter_mut().zip([packet.encoded, packet.arrived]) {
                times.saturating_record(end.saturating_duration_since(*call).as_nanos() as u64);
            }
        }
    }
    times
}

/// From the capture of the last sample.
fn since_capture(packets: &[Arrival], encoding: &Encoding) -> Histogram<u64> {
    let mut times = histogram();
    for packet in packets {
        let complete = packet.captured + encoding.packet_duration();
        times.saturating_record(packet.arrived.saturating_duration_since(complete).as_nanos() as u64);
    }
    times
}

fn encoding_alone(encoding: &Encoding) -> Histogram<u64> {
    let mut encoder = Encoder::new(encoding).expect("an encoder");
    let mut sine = Sine::new(440.0);
    let mut times = histogram();
    for _ in 0..1_000 {
        let samples = sine.next_block(encoding.packet_samples, encoding.channels);
        let begin = Instant::now();
        encoder.encode(&samples).expect("a packet");
        times.saturating_record(begin.elapsed().as_nanos() as u64);
    }
    times
}

/// The same hand-overs with nothing in them: a timer thread, a channel, a thread that sends, a thread that receives.
fn bare_way(rounds: usize) -> Histogram<u64> {
    let receiver = UdpSocket::bind("127.0.0.1:0").expect("a UDP port");
    stamps::ask_for_stamps(&receiver);
    let target = receiver.local_addr().expect("an address");
    let (blocks, to_encode) = bounded::<Instant>(8);
    let (packets, to_send) = bounded::<Instant>(8);
    let (stamps, sent) = unbounded();
    thread::spawn(move || to_encode.iter().try_for_each(|at| packets.send(at)));
    thread::spawn(move || {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP port");
        for at in to_send {
            let _ = stamps.send(at);
            let _ = socket.send_to(&[0; 200], target);
        }
    });
    thread::spawn(move || {
        for _ in 0..rounds {
            thread::sleep(Duration::from_millis(5));
            let _ = blocks.send(Instant::now());
        }
    });
    let mut times = histogram();
    let mut bytes = [0; 300];
    for _ in 0..rounds {
        let (_, _, arrived) = stamps::receive(&receiver, &mut bytes).expect("a datagram");
        if let Ok(at) = sent.recv() {
            times.saturating_record(arrived.saturating_duration_since(at).as_nanos() as u64);
        }
    }
    times
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 10_000_000_000, 3).expect("bounds that hdrhistogram takes")
}

fn print_row(name: &str, times: &Histogram<u64>, bare: &Histogram<u64>) {
    let ms = |nanos: u64| nanos as f64 / 1e6;
    println!(
        "{name:<38} n {:>5}   p50 {:>6.3}   p99 {:>6.3}   max {:>7.3}   {:>5.1} x bare",
        times.len(),
        ms(times.value_at_quantile(0.5)),
        ms(times.value_at_quantile(0.99)),
        ms(times.max()),
        times.value_at_quantile(0.5) as f64 / bare.value_at_quantile(0.5).max(1) as f64,
    );
}
