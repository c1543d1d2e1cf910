//! Runs a station, and clients that receive it.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use roomtone::audio::encoder::Encoding;
use roomtone::audio::sources::capture::Finder;
use roomtone::rtc::engine::handle::Handle;
use roomtone::rtc::requests::Offer;

use super::media::rtc_client::{ClientEvent, RtcClient};
use super::station::{Arrival, ReceivedPacket, RunningStation, TRACK};

/// Packets of this time do not count: memory and caches are touched for the first time.
const WARM_UP: Duration = Duration::from_millis(500);

/// Runs a station with one client. Returns what arrived after the warm-up.
pub fn run(finder: Finder, encoding: &Encoding, duration: Duration) -> Vec<Arrival> {
    let station = RunningStation::start(finder, encoding);
    let start = Instant::now();
    let received = receive(&station.engine.handle, || start.elapsed() >= duration + WARM_UP);
    let arrivals = station.arrivals(end_of_warm_up(&received), &received);
    station.stop();
    arrivals
}

/// Runs a station with many listeners. Returns what arrived at the first and at the last of them.
#[cfg(target_os = "linux")]
pub fn run_among(finder: Finder, encoding: &Encoding, duration: Duration, listeners: usize) -> [Vec<Arrival>; 2] {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::listener_process::handle::ListenerProcess;

    roomtone::os::file_limits::raise_limit().expect("a limit");
    let station = RunningStation::start(finder, encoding);
    let handle = &station.engine.handle;
    let mut process = ListenerProcess::start();
    let (is_over, is_admitted) = (AtomicBool::new(false), AtomicBool::new(false));
    let received = thread::scope(|scope| {
        let first = scope.spawn(|| {
            receive(handle, || {
                is_admitted.store(true, Ordering::Relaxed);
                is_over.load(Ordering::Relaxed)
            })
        });
        while !is_admitted.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(5));
        }
        // Its handshake takes a few milliseconds.
        thread::sleep(WARM_UP);
        process.connect(listeners - 2, Duration::ZERO, handle);
        process.reset();
        let start = Instant::now();
        let last = receive(handle, || start.elapsed() >= duration + WARM_UP);
        is_over.store(true, Ordering::Relaxed);
        [first.join().expect("no panic"), last]
    });
    let report = process.report();
    assert!(report.connected == listeners - 2 && report.fewest > 0, "some listeners received nothing");
    let begin = end_of_warm_up(&received[1]);
    let arrivals = received.map(|received| station.arrivals(begin, &received));
    drop(process);
    station.stop();
    arrivals
}

fn end_of_warm_up(received: &[ReceivedPacket]) -> Instant {
    received.first().map_or(Instant::now(), |packet| packet.arrived) + WARM_UP
}

/// Receives on this thread until it is over.
fn receive(engine: &Handle, is_over: impl Fn() -> bool) -> Vec<ReceivedPacket> {
    let (mut client, sdp) = RtcClient::new(Ipv4Addr::LOCALHOST, false);
    let offer = Offer { sdp, track: TRACK, client: Ipv4Addr::LOCALHOST.into(), reached_at: None };
    let start = Instant::now();
    // The engine refuses offers until the station has sent its first packet.
    let admitted = loop {
        match engine.admit(offer.clone()) {
            Ok(admitted) => break admitted,
            Err(_) if start.elapsed() < Duration::from_secs(5) => thread::sleep(Duration::from_millis(5)),
            Err(refusal) => panic!("{refusal:?}"),
        }
    };
    client.accept_answer(&admitted.answer);
    let mut received = vec![];
    while !is_over() {
        match client.next_event() {
            Some(ClientEvent::Packet(packet, arrived)) => {
                received.push(ReceivedPacket { rtp_time: packet.header.timestamp, arrived });
            }
            Some(ClientEvent::Closed) => panic!("the engine closed the session"),
            None => {}
        }
    }
    engine.close(admitted.session);
    received
}
