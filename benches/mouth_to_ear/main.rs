//! From a sound on the host to the same sound out of a browser.
//!
//!     cargo bench --bench mouth_to_ear [-- --quick]
//!
//! A PulseAudio server of its own has two null sinks. Bursts of a tone are played into the first, whose monitor is a station;
//! Chromium opens the listening page and plays into the second. A delay is the time between the onsets of one burst at the
//! two monitors, by the sound server's clock. So it holds all that delays sound: the fragment of the capture, the packet, the
//! encoder's look-ahead, the network (loopback), the jitter buffer and the browser's buffer to the sound server; only a real
//! sound card is missing. Two of these parts are told by the page, or by the browser where it plays itself (W3C Identifiers for
//! WebRTC's Statistics).
//!
//! Skipped with a word where PulseAudio, Node.js, Chromium or the packages of `tests/browser` are missing.

mod listener;
mod onsets;
#[path = "../../tests/it/harness/sound_server.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod sound_server;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use listener::{Listener, PARTS};
use onsets::Onsets;
use sound_server::SoundServer;

const RATE_HZ: u64 = 48_000;
const BURST_MS: u64 = 30;
/// No burst is taken for the one before it.
const MAX_DELAY: Duration = Duration::from_millis(850);

fn main() {
    // `cargo bench` passes --bench; `cargo test` does not, and only wants to know that the bench works.
    let is_test = !std::env::args().any(|arg| arg == "--bench");
    let seconds = if is_test || std::env::args().any(|arg| arg == "--quick") { 5 } else { 60 };
    for program in ["pulseaudio", "pacat", "pactl", "node", &listener::chromium()] {
        if Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            return println!("skipped: {program} is not installed");
        }
    }
    if !listener::packages().exists() {
        return println!("skipped: {} is missing (npm ci in tests/browser)", listener::packages().display());
    }
    println!("milliseconds from the host's sound to Chromium's, bursts of {seconds} s");
    println!("{:<22}{:>6}{:>6}{:>6}{:>5}  {}", "", "p50", "p90", "max", "n", PARTS.join("  "));
    let cases: &[(&str, &[&str], &str)] = &[
        ("20 ms packets", &["--packet-ms", "20"], "live"),
        ("10 ms", &["--packet-ms", "10"], "live"),
        ("10 ms, lowdelay", &["--packet-ms", "10", "--application", "lowdelay"], "live"),
        ("5 ms, lowdelay", &["--packet-ms", "5", "--application", "lowdelay"], "live"),
        ("10 ms, relaxed page", &["--packet-ms", "10"], "relaxed"),
    ];
    for (name, flags, buffering) in &cases[..if is_test { 1 } else { cases.len() }] {
        measure(name, flags, buffering, Duration::from_secs(seconds));
    }
}

fn measure(name: &str, flags: &[&str], buffering: &str, duration: Duration) {
    let sound = SoundServer::start();
    sound.pactl(&["load-module", "module-null-sink", "sink_name=ear", "rate=48000"]);
    let _bursts = Player::start(&sound);
    let station = Station::start(&sound, flags);
    let mut listener = Listener::start(&sound, &station.url, buffering);
    let (mouth, ear) = (Onsets::record(sound.host(), "vout.monitor"), Onsets::record(sound.host(), "ear.monitor"));
    // The jitter buffer settles for a while; what it has met at the start of the page it remembers for half a minute.
    std::thread::sleep(if duration < Duration::from_secs(30) {
        Duration::from_secs(3)
    } else {
        Duration::from_secs(30)
    });
    let begun = Instant::now();
    let before = listener.statistics();
    std::thread::sleep(duration);
    let parts = listener.statistics().since(&before);
    let (mouth, ear) = (mouth.stop(), ear.stop());
    let delays = mouth.iter().filter(|time| **time >= begun).filter_map(|time| {
        let heard = ear.iter().find(|heard| *heard > time)?.duration_since(*time);
        (heard < MAX_DELAY).then_some(heard.as_secs_f64() * 1_000.0)
    });
    let mut delays: Vec<f64> = delays.collect();
    assert!(!delays.is_empty(), "no burst was heard: {} at the host, {} from the browser", mouth.len(), ear.len());
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
    println!("{name:<22}{:>6.1}{:>6.1}{:>6.1}{:>5}  {parts}", at(0.5), at(0.9), at(1.0), delays.len());
}

/// Plays bursts at random intervals into the first sink, and silence between them.
struct Player(Child);

impl Player {
    fn start(sound: &SoundServer) -> Player {
        let mut command = sound.command("pacat");
        command.args(["--raw", "--format=s16le", "--rate=48000", "--channels=2", "--latency-msec=40", "-d", "vout"]);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().expect("pacat is installed");
        let mut input = child.stdin.take().expect("a pipe");
        std::thread::spawn(move || {
            let mut random = 1_u64;
            loop {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let silence = RATE_HZ * (900 + (random >> 33) % 600) / 1_000;
                let burst = RATE_HZ * BURST_MS / 1_000;
                let samples = (0..silence + burst).flat_map(|n| {
                    let phase = n.saturating_sub(silence) as f64 * 1_000.0 * std::f64::consts::TAU / RATE_HZ as f64;
                    let value = ((phase.sin() * 16_384.0) as i16).to_le_bytes();
                    [value, value].concat()
                });
                // The bench has ended.
                if input.write_all(&samples.collect::<Vec<u8>>()).is_err() {
                    return;
                }
            }
        });
        Player(child)
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program, which streams the first sink's monitor.
struct Station {
    child: Child,
    url: String,
}

impl Station {
    fn start(sound: &SoundServer, flags: &[&str]) -> Station {
        let mut command = sound.command(env!("CARGO_BIN_EXE_roomtone"));
        command.args(["--input-device", "vout.monitor", "--port", "0", "--bind", "127.0.0.1", "--log-file", "none"]);
        command.args(flags).current_dir(sound.folder());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
        let url = log.find_map(|line| Some(format!("http://{}", line.split_once("http://")?.1.trim())));
        std::thread::spawn(move || log.for_each(drop));
        Station { child, url: url.expect("an address in the log") }
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
