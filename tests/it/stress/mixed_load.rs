//! One listener while pages are fetched as fast as possible and hundreds of peers chat in rooms: the gaps between its
//! packets.

use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::harness::listener::Received;
use crate::stress::background_load::BackgroundLoad;
use crate::stress::chat_load;
use crate::stress::server_under_load::ServerUnderLoad;
use crate::stress::wake_up_probe::WakeUpProbe;

/// What the listener receives during `time`, with the gaps from shortest to longest.
fn listen(server: &ServerUnderLoad, time: Duration) -> Received {
    let before = server.listener.received();
    thread::sleep(time);
    let mut received = server.listener.received();
    received.packets -= before.packets;
    received.lost -= before.lost;
    received.gaps.drain(..before.gaps.len());
    received.gaps.sort_unstable();
    received
}

fn print_gaps(load: &str, received: &Received) {
    let ms = |quantile: f64| received.gaps[(received.gaps.len() as f64 * quantile) as usize].as_secs_f64() * 1e3;
    let max = received.longest_gap().as_secs_f64() * 1e3;
    let (p50, p99) = (ms(0.5), ms(0.99));
    println!("{load:<50} gaps: p50 {p50:>5.1} ms  p99 {p99:>5.1}  max {max:>6.1}  lost {}", received.lost);
}

#[test]
fn pages_and_chat_cost_a_listener_no_packet() {
    let server = ServerUnderLoad::start(&[], 0);
    let quiet = listen(&server, Duration::from_secs(2));
    print_gaps("no load", &quiet);
    let chat = chat_load::start(server.program.port);
    let pages = BackgroundLoad::pages(server.program.port, 8);
    let received = listen(&server, Duration::from_secs(8));
    let (pages_per_s, messages_per_s) = (pages.done() / 8, chat.done() / 8);
    print_gaps(&format!("{pages_per_s} pages/s, {messages_per_s} messages/s"), &received);
    assert!(pages_per_s > 10 && messages_per_s > 10, "too little load");
    assert_eq!(received.lost, 0);
    assert!(received.packets > 0 && received.last_arrival.elapsed() < Duration::from_secs(1), "no packets any more");
}

/// cargo test --release --test it mixed_load_figures -- --ignored --nocapture
///
/// To compare with a process that may not raise its threads, run the same under `setpriv --bounding-set -sys_nice`.
#[test]
#[ignore = "prints figures; run it by hand, with a release build, and with wrk installed"]
fn mixed_load_figures() {
    const TIME: Duration = Duration::from_secs(20);
    let server = ServerUnderLoad::start(&["--max-connections-per-address", "1000"], 0);
    let port = server.program.port;
    println!("{:?}", server.program.threads().iter().find(|(name, ..)| name == "rtc"));
    let measure = |load: &str| {
        let probe = WakeUpProbe::start();
        let received = listen(&server, TIME);
        print_gaps(load, &received);
        println!("{:50} a thread of the same priority that only sleeps woke up to {:?} late", "", probe.stop());
        received
    };
    measure("no load");
    {
        let _busy = BackgroundLoad::busy_processors();
        measure("two busy threads for each processor");
    }
    let chat = chat_load::start(port);
    let seconds = format!("{}s", TIME.as_secs() + 2);
    let url = format!("http://127.0.0.1:{port}/listen");
    let wrk = thread::spawn(move || Command::new("wrk").args(["-t2", "-c64", "-d", &seconds, &url]).output());
    thread::sleep(Duration::from_secs(1));
    let before = chat.done();
    let received = measure("wrk and messages");
    let messages = (chat.done() - before) / TIME.as_secs();
    let output = String::from_utf8(wrk.join().unwrap().expect("wrk is installed").stdout).unwrap();
    let requests = output.lines().find_map(|line| line.strip_prefix("Requests/sec:")).expect(&output).trim();
    println!("{:50} {requests} pages/s, {messages} messages/s", "");
    let _busy = BackgroundLoad::busy_processors();
    measure("messages, and two busy threads for each processor");
    assert!(received.packets > 0);
}
