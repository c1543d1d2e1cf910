//! From the capture callback to the datagram at the listener's socket.
//!
//!     cargo bench --bench capture_latency [-- --quick]
//!
//! A simulated device calls back on time. A client on a thread of its own, over real loopback sockets, with real ICE, DTLS
//! and SRTP, receives. A latency is the time from the callback that delivered a packet's last sample to the moment at which
//! the kernel had the datagram at the client's socket, by the kernel's time stamp on Linux; elsewhere it includes the
//! client's wake-up. It does not include the packet's own duration. The last column is the ratio of the median to that of
//! the baseline in the same run: two threads that hand a datagram over a channel and a loopback socket, without sound,
//! codec or encryption.
//!
//! If a PulseAudio server runs, the same is measured with the monitor of its sink, from the capture time of the packet's
//! last sample by the server's own clock.
//!
//! On Linux it is also measured with a thousand listeners, all but two in a process of their own, for the listener that
//! connected first and for the one that connected last: packets are sent in that order.

mod baselines;
mod latency;
#[cfg(target_os = "linux")]
#[path = "../listener_process/mod.rs"]
mod listener_process;
#[path = "../../tests/it/harness/media/mod.rs"]
mod media;
mod receiver;
mod station;

use std::sync::Arc;
use std::time::Duration;

use roomtone::audio::encoder::Encoding;
use roomtone::audio::sources::capture::Finder;
use roomtone::audio::sources::device::{self, CaptureDevice, DeviceChoice};

use latency::Table;
use media::simulated_device::Simulated;

fn main() {
    #[cfg(target_os = "linux")]
    if std::env::args().any(|arg| arg == listener_process::child::FLAG) {
        return listener_process::child::run();
    }
    // `cargo bench` passes --bench; `cargo test` does not, and only wants to know that the bench works.
    let quick = std::env::args().any(|arg| arg == "--quick") || !std::env::args().any(|arg| arg == "--bench");
    let duration = Duration::from_secs(if quick { 1 } else { 10 });
    println!("latency from capture callback to datagram, {} s each", duration.as_secs());
    let table =
        Table::new("baseline: channel, thread, loopback UDP", baselines::hand_over(if quick { 200 } else { 1_000 }));
    for packet_samples in [120, 240, 480, 960] {
        simulated_device(&table, &encoding(packet_samples), duration);
    }
    #[cfg(target_os = "linux")]
    for packet_samples in [480, 960] {
        many_listeners(&table, &encoding(packet_samples), duration, if quick { 20 } else { 1_000 });
    }
    if device::find(&DeviceChoice::Loopback).is_err() {
        println!("no PulseAudio server runs here");
        return;
    }
    for packet_samples in [120, 240, 480, 960] {
        pulse_monitor(&table, &encoding(packet_samples), duration);
    }
}

fn encoding(packet_samples: u32) -> Encoding {
    Encoding { packet_samples, ..Encoding::default() }
}

/// A device, and how a station finds it.
fn simulated() -> (Simulated, Finder) {
    let device = Simulated::new(48_000, 2, [440.0, 660.0]);
    let found = device.clone();
    let finder = move || Ok(CaptureDevice::from_cpal(cpal::platform::CustomDevice::from_device(found.clone()).into()));
    (device, Arc::new(finder))
}

fn simulated_device(table: &Table, encoding: &Encoding, duration: Duration) {
    let ms = encoding.packet_ms();
    table.print(&format!("  Opus encoder alone, {ms} ms packets"), &baselines::encode(encoding));
    let (device, finder) = simulated();
    let arrivals = receiver::run(finder, encoding, duration);
    let [encoded, arrived] = latency::since_callback(&arrivals, &device.calls(), encoding);
    table.print("  until encoded", &encoded);
    assert!(arrived.len() as f64 > 0.5 * duration.as_secs_f64() / encoding.packet_duration().as_secs_f64());
    table.print(&format!("simulated device, {ms} ms packets"), &arrived);
}

#[cfg(target_os = "linux")]
fn many_listeners(table: &Table, encoding: &Encoding, duration: Duration, listeners: usize) {
    let (device, finder) = simulated();
    let [first, last] = receiver::run_among(finder, encoding, duration, listeners);
    for (which, arrivals) in [("first", first), ("last", last)] {
        let [_, arrived] = latency::since_callback(&arrivals, &device.calls(), encoding);
        table.print(&format!("{which} of {listeners}, {} ms packets", encoding.packet_ms()), &arrived);
    }
}

fn pulse_monitor(table: &Table, encoding: &Encoding, duration: Duration) {
    let arrivals = receiver::run(Arc::new(|| device::find(&DeviceChoice::Loopback)), encoding, duration);
    let latencies = latency::since_capture(&arrivals, encoding);
    table.print(&format!("PulseAudio monitor, {} ms packets", encoding.packet_ms()), &latencies);
}
