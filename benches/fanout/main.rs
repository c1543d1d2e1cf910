//! What a listener costs: processor time of the rtc thread for each packet, against the bare work in the same run.
//!
//!     cargo bench --bench fanout [-- [--quick] [--json] [--threads=N] [LISTENERS…]]
//!
//! For each number of listeners the server runs in a process of its own, so that memory is its own, with the rtc thread
//! pinned to the first processor (further ones to the next). The listeners are genuine WebRTC sessions (ICE, DTLS-SRTP) in a further process on the
//! second; one in fifty decrypts what it hears, the others look at sequence numbers and count. Sound is 160 bytes every
//! 20 ms, which is 64 kbit/s. The floor is AES-GCM of the packet for each listener and its share of a `sendmmsg` to the
//! same addresses, every 20 ms too, and nothing else. "engine" is the same server with every packet through str0m.
//!
//! "round" is the processor time of the busiest rtc thread until everybody has a packet. On a machine of two processors a
//! second rtc thread shares its own with the listeners, so gaps say less there.

#[path = "fanout/crowd.rs"]
mod crowd;
#[cfg(target_os = "linux")]
#[path = "fanout/listeners.rs"]
mod listeners;
#[cfg(target_os = "linux")]
#[path = "fanout/processor.rs"]
mod processor;
#[cfg(target_os = "linux")]
#[path = "fanout/row.rs"]
mod row;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this bench reads processor times as Linux tells them");
}

#[cfg(target_os = "linux")]
fn main() {
    use std::process::Command;

    let args: Vec<String> = std::env::args().collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    let numbers: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
    roomtone::os::file_limits::raise_limit().expect("a limit");
    if has("--crowd") {
        return crowd::run();
    }
    // `cargo bench` says --bench; `cargo test` does not, and only wants to see it work.
    let quick = has("--quick") || !has("--bench");
    let threads = args.iter().find_map(|arg| arg.strip_prefix("--threads=")?.parse::<usize>().ok());
    if let (true, &[listeners]) = (has("--row"), &numbers[..]) {
        let plan = row::Plan { listeners, threads: threads.unwrap_or(1), through_engine: has("--engine"), quick };
        return println!("{}", serde_json::to_string(&row::measure(&plan)).expect("JSON"));
    }
    let sizes = match (numbers.is_empty(), quick) {
        (false, _) => numbers,
        (true, true) => vec![1, 200],
        (true, false) => vec![1, 10, 100, 1_000, 2_000, 4_000, 6_000],
    };
    let json = has("--json");
    if !json {
        row::print_head();
    }
    for listeners in sizes {
        // Through the engine six thousand are too many for one processor, and prove no more than two thousand.
        let engine = (listeners <= 2_000).then_some((1, "--engine"));
        // A few are no work to share.
        let second = (listeners >= 200).then_some((2, "--sealed"));
        let ways = match threads {
            Some(threads) => vec![(threads, "--sealed")],
            None => [Some((1, "--sealed")), engine, second].into_iter().flatten().collect(),
        };
        for (threads, way) in ways {
            let mut command = Command::new(std::env::current_exe().expect("a path"));
            let pace = if quick { "--quick" } else { "--bench" };
            command.args(["--row", way, pace, &format!("--threads={threads}"), &listeners.to_string()]);
            let output = command.stderr(std::process::Stdio::inherit()).output().expect("a process");
            assert!(output.status.success(), "{listeners} listeners: {}", output.status);
            let line = String::from_utf8(output.stdout).expect("text");
            match json {
                true => print!("{line}"),
                false => row::print(&serde_json::from_str(&line).expect("a row")),
            }
        }
    }
}
