//! How long it takes to join a room and to reach another peer, what that costs, and how many messages per second pass.
//!
//!     cargo bench --bench rooms [-- [--quick] [PEERS]]
//!
//! The server runs in a process of its own, as a whole, so that memory and threads are its own. The browsers are plain
//! sockets, ten to a room, all read by one thread of this process. A join lasts from `connect` to `init-peers`; a relay from
//! the write of an offer to its arrival at the other peer. Both include the wake-up of this process. The last column is the
//! ratio of the median to that of a bare echo over loopback TCP in the same run: one thread there, the same reader here.

#[path = "rooms/crowd.rs"]
mod crowd;
#[path = "rooms/reader.rs"]
mod reader;
#[path = "rooms/server.rs"]
mod server;
#[path = "rooms/wire.rs"]
mod wire;

use std::thread;
use std::time::Duration;

use hdrhistogram::Histogram;
use roomtone::os::file_limits;

use crowd::{Crowd, PEERS_PER_ROOM, histogram};
use server::Server;

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if args.iter().any(|arg| arg == "--serve") {
        return server::serve();
    }
    // `cargo bench` says --bench; `cargo test` does not, and only wants to see it work.
    let quick = args.iter().any(|arg| arg == "--quick") || !args.iter().any(|arg| arg == "--bench");
    file_limits::raise_limit().expect("a limit");
    println!("rooms of {PEERS_PER_ROOM}; times in ms");
    let sizes: &[usize] = if quick { &[10, 1_000] } else { &[10, 1_000, 10_000] };
    let asked: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    for &size in if asked.is_empty() { sizes } else { &asked } {
        run(size, quick);
    }
}

fn run(size: usize, quick: bool) {
    let server = Server::start();
    thread::sleep(Duration::from_millis(500));
    let mut crowd = Crowd::new();
    let rounds = if quick { 500 } else { 3_000 };
    let echo = crowd.connect(server.echo, b"").0;
    let bare = crowd.one_at_a_time(rounds, |_, _| (echo, wire::echo_line()));
    let before = server.memory_and_threads();
    println!("{size} peers");
    print_row("  bare: loopback TCP echo", &bare, &bare);

    let mut joins = histogram();
    for nth in 0..size {
        joins.saturating_record(crowd.join(server.address, nth / PEERS_PER_ROOM));
    }
    print_row("  join: connect to init-peers", &joins, &bare);
    thread::sleep(Duration::from_secs(1));
    if let (Some((before, few)), Some((after, many))) = (before, server.memory_and_threads()) {
        let per_peer = after.saturating_sub(before) as f64 / size as f64;
        println!("  idle: {per_peer:.1} KiB resident and {:.2} threads a peer", (many - few) as f64 / size as f64);
    }
    if let Some(ticks) = server.processor_ticks() {
        let time = Duration::from_secs(if quick { 3 } else { 10 });
        thread::sleep(time);
        let used = server.processor_ticks().unwrap_or(ticks) - ticks;
        println!("  idle: {:.1} % of a core, the test tone's encoder in it", used as f64 / time.as_secs_f64());
    }

    let one = crowd.one_at_a_time(rounds, |crowd, round| crowd.offer(round * 7919 % size));
    print_row("  relay, one at a time", &one, &bare);
    let per_s = (size * 40).min(10_000);
    let busy = crowd.paced(per_s, Duration::from_secs(if quick { 2 } else { 5 }));
    print_row(&format!("  relay, all speak, {per_s}/s"), &busy, &bare);
    // The message budget of each peer, 500, is not yet full again after that.
    let each = if quick { 100 } else { 200 };
    let (count, time) = crowd.as_fast_as_possible(each);
    println!("  relayed as fast as possible: {:.0} messages/s ({count} in {:.2} s)", count as f64 / time, time);
}

fn print_row(name: &str, times: &Histogram<u64>, bare: &Histogram<u64>) {
    let ms = |nanos: u64| nanos as f64 / 1e6;
    println!(
        "{name:<34} n {:>6}   p50 {:>7.3}   p99 {:>7.3}   max {:>8.3}   {:>6.1} x bare",
        times.len(),
        ms(times.value_at_quantile(0.5)),
        ms(times.value_at_quantile(0.99)),
        ms(times.max()),
        times.value_at_quantile(0.5) as f64 / bare.value_at_quantile(0.5).max(1) as f64,
    );
}
