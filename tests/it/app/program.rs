//! The program from the command line to the listener: exit codes, help, the choice of the source, what is heard, and the end.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::program::{BINARY, Listening, Program, command, example, get};
use crate::harness::sound_server::SoundServer;
use crate::harness::wait::wait_until;

fn run(args: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    command(args, None).current_dir(&folder).output().unwrap()
}

#[test]
fn a_failed_start_is_one_sentence_and_a_documented_exit_code() {
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
fn a_program_that_is_stopped_as_soon_as_it_accepts_ends_properly() {
    for _ in 0..5 {
        let port = TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let args = ["--sine-wave", "--port", &port.to_string(), "--log-file", "none"];
        let mut child = command(&args, None).current_dir(&folder).stderr(Stdio::null()).spawn().unwrap();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert_eq!(child.try_wait().unwrap(), None);
        }
        assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn help_version_and_devices_are_printed() {
    let help = run(&["--help"]);
    assert!(help.status.success() && String::from_utf8_lossy(&help.stdout).contains("--list-devices"));
    let version = run(&["--version"]);
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    assert!(version.starts_with(concat!("roomtone ", env!("CARGO_PKG_VERSION"))), "{version}");
    for part in [std::env::consts::ARCH, "features: ", "dynamic"] {
        assert!(version.contains(part), "{part} is not in {version}");
    }
    let devices = run(&["--list-devices", "--json"]);
    assert!(serde_json::from_slice::<Vec<Value>>(&devices.stdout).is_ok());
}

#[test]
fn a_closed_standard_output_causes_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(BINARY).arg("--help").stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn without_a_device_the_tone_is_served_and_the_log_says_how_to_choose_a_source() {
    let program = Program::start(&[], None);
    let line = program.logged("has no input device").expect("one line says so");
    assert!(line.contains("--input-device") && line.contains("--loopback"), "{line}");
    wait_until("the tone", || program.station()["source"]["kind"] == "sine");
    let file = std::fs::read_to_string(program.folder.path().join("app.log")).unwrap();
    assert!(file.contains("has no input device") && file.contains("open http://"), "{file}");
    assert!(get(program.port, "/").contains("<!doctype html>") || get(program.port, "/").contains("<!DOCTYPE html>"));
    assert!(get(program.port, "/listen").starts_with("HTTP/1.1 200"));
}

#[test]
fn without_a_microphone_the_tone_is_served_and_not_what_the_host_plays() {
    let sound = SoundServer::start();
    let program = Program::start(&[], Some(&sound));
    let line = program.logged("vout.monitor").expect("one line names what is not taken");
    assert!(line.contains("--loopback") && line.contains("test tone"), "{line}");
    wait_until("the tone", || program.station()["source"]["kind"] == "sine");
}

#[test]
fn a_self_signed_certificate_survives_restarts() {
    let state = tempfile::tempdir().unwrap();
    let folder = state.path().to_str().unwrap();
    let printed = || {
        let program = Program::start(&["--sine-wave", "--state-dir", folder], None);
        assert!(program.logged("cannot be used").is_none() && program.logged("no state folder").is_none());
        wait_until("the certificate's fingerprint", || program.logged("SHA-256").is_some());
        let line = program.logged("SHA-256").unwrap();
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
fn the_tone_is_heard_exactly_and_a_signal_stops_the_program_cleanly() {
    let mut program = Program::start(&["--sine-wave", "--tone", "523.25", "--packet-ms", "10"], None);
    let heard = program.listen(4).finish();
    for side in ["left_hz", "right_hz"] {
        assert!((heard[side].as_f64().unwrap() - 523.25).abs() < 0.5, "{heard}");
    }
    assert_eq!(heard["lost"], 0, "{heard}");
    assert!(heard["packets"].as_u64().unwrap() > 300, "{heard}");
    wait_until("the session's end", || program.status()["rtc"]["sessions"] == 0);
    let started = Instant::now();
    program.signal("-TERM");
    assert_eq!(program.wait(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(3));
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
fn loopback_sound_is_heard_with_left_and_right_separate() {
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
fn listeners_stay_connected_while_the_sound_server_restarts() {
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

#[test]
fn the_public_port_is_the_only_one_that_other_users_of_the_host_can_reach() {
    let program = Program::start(&["--sine-wave", "--log-file", "none"], None);
    assert_eq!(program.tcp_listeners(), 1);
}
