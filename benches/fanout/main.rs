//! What a listener costs: processor time of the rtc threads for each packet, against the bare work in the same run.
//!
//!     cargo bench --bench fanout [-- [--quick] [--json] [--threads=N] [LISTENERS…]]
//!
//! For each number of listeners the server runs in a process of its own, so that it has its memory for itself, with the rtc
//! thread pinned to the first processor (further ones to the next). The listeners are real WebRTC sessions (ICE,
//! DTLS-SRTP) in another process, pinned to the second processor; one in fifty decrypts what it receives, the others look
//! at sequence numbers and count. Packets have 160 bytes and come every 20 ms, which is 64 kbit/s.
//!
//! "path" is how packets leave: "sealed" beside str0m, or each one through str0m's "engine". "floor" is AES-GCM of the packet
//! for each listener and its share of a `sendmmsg` to the same addresses, every 20 ms too, and nothing else. "ratio" is the
//! measured time by the floor, taken one after the other. A round is one packet for every listener; its time is that of the
//! busiest rtc thread. On a machine of two processors a second rtc thread shares its own with the listeners, so the gaps
//! between their packets say less there.

#[cfg(target_os = "linux")]
mod floor;
#[cfg(target_os = "linux")]
#[path = "../listener_process/mod.rs"]
mod listener_process;
#[cfg(target_os = "linux")]
mod row;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod table;

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this bench reads processor times, which it can do on Linux only");
}

#[cfg(target_os = "linux")]
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    roomtone::os::file_limits::raise_limit().expect("a limit");
    if has(listener_process::child::FLAG) {
        return listener_process::child::run();
    }
    // `cargo bench` passes --bench; `cargo test` does not, and only wants to know that the bench works.
    let quick = has("--quick") || !has("--bench");
    let numbers: Vec<usize> = args.iter().filter_map(|arg| arg.parse().ok()).collect();
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
    if !has("--json") {
        table::print_head();
    }
    for listeners in sizes {
        for plan in plans(listeners, threads, quick) {
            let line = measure_in_a_process(&plan);
            match has("--json") {
                true => print!("{line}"),
                false => table::print(&serde_json::from_str(&line).expect("a row")),
            }
        }
    }
}

/// What is measured for a number of listeners: packets sealed by one thread, through str0m's engine, sealed by two.
#[cfg(target_os = "linux")]
fn plans(listeners: usize, threads: Option<usize>, quick: bool) -> Vec<row::Plan> {
    let plan = |threads, through_engine| row::Plan { listeners, threads, through_engine, quick };
    if let Some(threads) = threads {
        return vec![plan(threads, false)];
    }
    // One processor cannot send to 6,000 through the engine, and that would show no more than 2,000 do.
    let engine = (listeners <= 2_000).then(|| plan(1, true));
    // With a few listeners there is no work to share.
    let two_threads = (listeners >= 200).then(|| plan(2, false));
    [Some(plan(1, false)), engine, two_threads].into_iter().flatten().collect()
}

/// One row as a line of JSON.
#[cfg(target_os = "linux")]
fn measure_in_a_process(plan: &row::Plan) -> String {
    use std::process::{Command, Stdio};

    let mut command = Command::new(std::env::current_exe().expect("a path"));
    let (path, pace) =
        (if plan.through_engine { "--engine" } else { "--sealed" }, if plan.quick { "--quick" } else { "--bench" });
    command.args(["--row", path, pace, &format!("--threads={}", plan.threads), &plan.listeners.to_string()]);
    let output = command.stderr(Stdio::inherit()).output().expect("a process");
    assert!(output.status.success(), "{} listeners: {}", plan.listeners, output.status);
    String::from_utf8(output.stdout).expect("text")
}
