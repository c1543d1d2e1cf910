//! The program as a person starts it: the binary, its flags and exit codes, its log, and what a listener hears.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::sound_server::SoundServer;
use crate::harness::wait::wait_until;

pub const BINARY: &str = env!("CARGO_BIN_EXE_roomtone");

/// A running server; killed when dropped.
pub struct Program {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    pub port: u16,
    pub folder: tempfile::TempDir,
}

impl Program {
    pub fn start(args: &[&str], sound: Option<&SoundServer>) -> Program {
        Program::start_in(tempfile::tempdir().unwrap(), args, sound)
    }

    pub fn start_in(folder: tempfile::TempDir, args: &[&str], sound: Option<&SoundServer>) -> Program {
        let mut command = command(&[&["--port", "0"], args].concat(), sound);
        let mut child = command.current_dir(&folder).stderr(Stdio::piped()).spawn().unwrap();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let (lines, errors) = (log.clone(), BufReader::new(child.stderr.take().unwrap()));
        thread::spawn(move || errors.lines().map_while(Result::ok).for_each(|line| lines.lock().unwrap().push(line)));
        let mut program = Program { child, log, port: 0, folder };
        let mut address = None;
        wait_until("an address in the log", || {
            address = program.logged("open http://localhost:").or_else(|| program.logged("open http://127.0.0.1:"));
            address.is_some()
        });
        let line = address.unwrap();
        program.port = line.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
        program
    }

    /// All of the log so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    /// The first log line that has these words.
    fn logged(&self, words: &str) -> Option<String> {
        self.log.lock().unwrap().iter().find(|line| line.contains(words)).cloned()
    }

    pub fn status(&self) -> Value {
        let body = get(self.port, "/api/status");
        serde_json::from_str(body.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn station(&self) -> Value {
        self.status()["stations"][0].clone()
    }

    /// What the example listener reports, one value a second.
    fn listen(&self, seconds: u32) -> Listening {
        let url = format!("http://127.0.0.1:{}/whep", self.port);
        Listening::start(&[&url, "--seconds", &seconds.to_string(), "--json"])
    }

    /// The name, real-time policy and nice value of each thread: "rtc", 2, 0.
    pub fn threads(&self) -> Vec<(String, i32, i32)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        // A thread may end while it is looked at.
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
        let ranks = stats.filter_map(|stat| {
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
            // Counted as in proc_pid_stat(5); what follows the name begins with the third.
            let field = |n: usize| rest.split_whitespace().nth(n - 3)?.parse().ok();
            Some((name.to_owned(), field(41)?, field(19)?))
        });
        ranks.collect()
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Its exit code, once it has ended.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Resident memory.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A run of `examples/listen`.
pub struct Listening {
    child: Child,
    reports: Arc<Mutex<Vec<Value>>>,
}

impl Listening {
    pub fn start(args: &[&str]) -> Listening {
        let mut child = Command::new(example("listen")).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let reports: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (values, lines) = (reports.clone(), BufReader::new(child.stdout.take().unwrap()).lines());
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                values.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Listening { child, reports }
    }

    fn last(&self) -> Option<Value> {
        self.reports.lock().unwrap().last().cloned()
    }

    /// Waits until the tones are heard, left and right, in Hz.
    pub fn wait_for(&self, left_hz: f64, right_hz: f64) {
        let near = |value: &Value, hz: f64| (value.as_f64().unwrap() - hz).abs() < 3.0;
        wait_until(&format!("{left_hz} and {right_hz} Hz; last {:?}", self.last()), || {
            self.last().is_some_and(|last| near(&last["left_hz"], left_hz) && near(&last["right_hz"], right_hz))
        });
    }

    fn wait_for_silence(&self) {
        wait_until("silence", || self.last().is_some_and(|last| last["left_dbfs"].as_f64().unwrap() < -70.0));
    }

    fn finish(mut self) -> Value {
        assert!(self.child.wait().unwrap().success());
        self.last().unwrap()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The program without anything of the person's own surroundings.
pub fn command(args: &[&str], sound: Option<&SoundServer>) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    if let Some(server) = sound {
        command.env("PULSE_SERVER", format!("unix:{}", server.socket().display())).env("HOME", server.folder());
    }
    command
}

fn example(name: &str) -> PathBuf {
    let path = PathBuf::from(BINARY).parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is built by `cargo test`", path.display());
    path
}

fn run(args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    command(args, None).current_dir(&folder).output().unwrap()
}

pub fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    std::io::read_to_string(stream).unwrap()
}

#[test]
fn a_wrong_start_is_one_sentence_and_a_documented_exit_code() {
    let taken = TcpListener::bind("[::]:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--nonsense"], 2, "--help"),
        (&["--packet-ms", "7"], 2, "--packet-ms"),
        (&["--sine-wave", "--port", &port], 3, "is in use"),
        (&["--sine-wave", "--port", "0", "--bind", "203.0.113.1"], 3, "203.0.113.1"),
        (&["--sine-wave", "--port", "65535", "--rtc-threads", "2"], 3, "one of the next"),
        (&["--rtc-threads", "0"], 2, "--rtc-threads"),
        (&["--input-device", "no such thing", "--port", "0"], 4, "no such thing"),
        (&["--sine-wave", "--port", "0", "--log-file", "/nowhere/at/all.log"], 5, "--log-file"),
        (&["--sine-wave", "--port", "0", "--www", "/nowhere/at/all"], 5, "--www"),
        (&["--sine-wave", "--port", "0", "--private"], 5, "--state-dir"),
        (&["invite", "--listen"], 5, "--state-dir"),
        (&["invite", "--listen", "--uses", "0"], 2, "--uses"),
        (&["revoke", "x"], 2, "`x`"),
        (&["--sine-wave", "--port", "0", "--tls-cert", "/nowhere", "--tls-key", "/nowhere"], 5, "--tls-cert"),
        (&["--sine-wave", "--port", "0", "--tls-cert", "/nowhere"], 2, "--tls-key"),
        (&["--sine-wave", "--port", "0", "--trust-proxy", "somebody"], 2, "--trust-proxy"),
    ];
    for (args, code, word) in cases {
        let output = run(args);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {error}");
        let said = error.lines().find(|line| line.starts_with("roomtone: ")).unwrap_or_default();
        assert!(said.contains(word) && said.ends_with('.'), "{args:?}: {error:?}");
    }
}

#[test]
fn help_version_and_devices_are_printed() {
    let help = run(&["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--list-devices"));
    let version = run(&["--version"]);
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    assert!(version.starts_with(concat!("roomtone ", env!("CARGO_PKG_VERSION"))), "{version}");
    for told in [std::env::consts::ARCH, "features: ", "dynamic"] {
        assert!(version.contains(told), "{told} is not in {version}");
    }
    let devices = run(&["--list-devices", "--json"]);
    assert!(serde_json::from_slice::<Vec<Value>>(&devices.stdout).is_ok());
}

#[test]
fn a_reader_who_has_read_enough_causes_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(BINARY).arg("--help").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn without_any_device_the_tone_is_served_and_the_log_says_how_to_choose() {
    let program = Program::start(&[], None);
    let line = program.logged("no sound device found").expect("one line says so");
    assert!(line.contains("--input-device") && line.contains("--loopback"), "{line}");
    wait_until("the tone", || program.station()["source"]["kind"] == "sine");
    let file = std::fs::read_to_string(program.folder.path().join("app.log")).unwrap();
    assert!(file.contains("no sound device found") && file.contains("open http://"), "{file}");
    assert!(get(program.port, "/").contains("<!doctype html>") || get(program.port, "/").contains("<!DOCTYPE html>"));
    assert!(get(program.port, "/listen").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_certificate_of_this_hosts_own_is_kept_over_restarts() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().to_str().unwrap();
    let printed = || {
        let program = Program::start(&["--sine-wave", "--state-dir", folder], None);
        assert!(program.logged("cannot be used").is_none() && program.logged("no state folder").is_none());
        let line = program.logged("SHA-256").expect("the certificate's fingerprint");
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let first = printed();
    assert_eq!(first.split(':').count(), 32, "{first}");
    assert_eq!(printed(), first);
    use std::os::unix::fs::PermissionsExt;
    let key = std::fs::metadata(state.path().join("tls-key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    let without = Program::start(&["--sine-wave", "--no-tls"], None);
    assert!(without.logged("SHA-256").is_none() && without.logged("https://").is_none());
}

#[test]
fn the_tone_is_heard_exactly_and_a_signal_ends_the_program_politely() {
    let mut program = Program::start(&["--sine-wave", "--tone", "523.25", "--packet-ms", "10"], None);
    let heard = program.listen(4).finish();
    for side in ["left_hz", "right_hz"] {
        assert!((heard[side].as_f64().unwrap() - 523.25).abs() < 0.5, "{heard}");
    }
    assert_eq!(heard["lost"], 0, "{heard}");
    assert!(heard["packets"].as_u64().unwrap() > 300, "{heard}");
    wait_until("the session's end", || program.status()["rtc"]["sessions"] == 0);
    let begun = Instant::now();
    program.signal("-TERM");
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[test]
fn the_sine_example_serves_the_same_page() {
    let mut child = Command::new(example("sine")).args(["0", "330"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut printed = BufReader::new(child.stdout.take().unwrap());
    printed.read_line(&mut line).unwrap();
    let port = line.trim().strip_prefix("open http://localhost:").and_then(|rest| rest.strip_suffix("/listen"));
    let port: u16 = port.expect(&line).parse().unwrap();
    let listening = Listening::start(&[&format!("http://127.0.0.1:{port}/whep"), "--seconds", "3", "--json"]);
    let heard = listening.finish();
    let _ = child.kill();
    let _ = child.wait();
    assert!((heard["left_hz"].as_f64().unwrap() - 330.0).abs() < 1.0, "{heard}");
}

#[test]
fn what_the_host_plays_is_heard_left_and_right_apart() {
    let server = SoundServer::start();
    let program = Program::start(&["--loopback"], Some(&server));
    let wav = server.tones(1000.0, 400.0, 60);
    let _player = server.play(&wav, "vout");
    let listening = program.listen(60);
    listening.wait_for(1000.0, 400.0);
    let station = program.station();
    assert_eq!((&station["source"]["kind"], &station["source"]["state"]), (&"loopback".into(), &"live".into()));
    assert_eq!(station["listeners"], 1);
    assert_eq!(station["drops"], serde_json::json!({ "blocks": 0, "packets": 0 }));
}

#[test]
fn a_sound_server_that_dies_and_returns_costs_listeners_silence_and_nothing_else() {
    let mut server = SoundServer::start();
    let program = Program::start(&["--loopback"], Some(&server));
    let wav = server.tones(1000.0, 400.0, 60);
    let player = server.play(&wav, "vout");
    let listening = program.listen(120);
    listening.wait_for(1000.0, 400.0);
    server.kill();
    drop(player);
    listening.wait_for_silence();
    assert_eq!(program.station()["source"]["state"], "reopening");
    assert!(program.station()["source"]["problem"].is_string());
    server.restart();
    let _player = server.play(&wav, "vout");
    listening.wait_for(1000.0, 400.0);
    assert_eq!(program.station()["source"]["state"], "live");
    assert_eq!(program.status()["rtc"]["admitted"], 1, "the listener never left");
}
