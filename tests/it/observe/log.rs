//! The log of the running program: what it costs when nothing takes its lines, and how its file is rotated.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::program::{Listening, command, get};
use crate::harness::wait::wait_until;

/// A program whose standard error is a pipe that is read only when a test wants to. All its lines are in its log file.
struct Unread {
    child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Unread {
    fn start(args: &[&str]) -> Unread {
        let folder = tempfile::tempdir().unwrap();
        let all = [&["--sine-wave", "--port", "0", "--log-level", "debug"], args].concat();
        let child = command(&all, None).current_dir(&folder).stderr(Stdio::piped()).spawn().unwrap();
        let mut program = Unread { child, folder, port: 0 };
        wait_until("an address in the log file", || {
            let log = program.file("app.log");
            let address = log.lines().find_map(|line| line.split_once("open http://localhost:"));
            program.port = address.map_or(0, |(_, port)| port.trim_end_matches('/').parse().unwrap());
            program.port != 0
        });
        program
    }

    /// What is in a file of its folder.
    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    fn status(&self) -> Value {
        serde_json::from_str(get(self.port, "/api/status").split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn packets(&self) -> u64 {
        self.status()["stations"][0]["packets"].as_u64().unwrap()
    }

    /// Lines that an output has dropped, as `/metrics` tells.
    fn dropped(&self, output: &str) -> u64 {
        let text = get(self.port, "/metrics");
        let name = format!("roomtone_log_lines_dropped_total{{output=\"{output}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().trim().parse().unwrap()
    }

    /// Makes the program log: a debug line for each of these requests, `GET /n/0` and so on.
    fn request(&self, numbers: std::ops::Range<usize>) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut responses = BufReader::new(stream.try_clone().unwrap());
        for n in numbers {
            // In one piece: the kernel would hold a second one back until the first is acknowledged.
            stream.write_all(format!("HEAD /n/{n:05} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                assert_ne!(responses.read_line(&mut line).unwrap(), 0, "the connection was closed");
            }
        }
    }

    /// Fills the pipe (64 KiB) and the queue behind it (2,048 lines), and goes on.
    fn flood(&self) {
        self.request(0..5_000);
        wait_until("lines to be dropped", || self.dropped("terminal") > 100);
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args([name, &id]).status().unwrap().success());
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The numbers of the requests that a text of the log tells of, in its order.
fn requests(log: &str) -> Vec<usize> {
    let number = |line: &str| line.split_once(" /n/")?.1.get(..5)?.parse().ok();
    log.lines().filter_map(number).collect()
}

#[test]
fn a_blocked_terminal_drops_log_lines_and_does_not_stop_the_sound() {
    let mut program = Unread::start(&[]);
    let url = format!("http://127.0.0.1:{}/whep", program.port);
    let listening = Listening::start(&[&url, "--seconds", "8", "--json"]);
    let (started, before) = (Instant::now(), program.packets());
    while started.elapsed() < Duration::from_secs(4) {
        program.flood();
    }
    let (elapsed, packets) = (started.elapsed(), program.packets() - before);
    let due = elapsed.as_millis() as u64 / 20;
    assert!((due - 10..=due + 10).contains(&packets), "{packets} packets in {elapsed:?}");
    let heard = listening.finish();
    assert_eq!(heard["lost"], 0, "{heard}");
    assert!(heard["packets"].as_u64().unwrap() > 300, "{heard}");
    let dropped = program.dropped("terminal");
    // The file is written by another thread and has the lines all the same.
    assert!(program.dropped("file") < dropped / 2);
    assert!(requests(&program.file("app.log")).len() > 4_000);

    // The pipe is read again: first what waited, then how much is missing.
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let (read, errors) = (lines.clone(), BufReader::new(program.child.stderr.take().unwrap()));
    thread::spawn(move || errors.lines().map_while(Result::ok).for_each(|line| read.lock().unwrap().push(line)));
    let find = |words: &str| lines.lock().unwrap().iter().find(|line| line.contains(words)).cloned();
    wait_until("the notice", || find(" log lines dropped: ").is_some());
    let notice = find(" log lines dropped: ").unwrap();
    let reported: u64 = notice.split_once("[WARN] ").unwrap().1.split(' ').find_map(|word| word.parse().ok()).unwrap();
    assert!(reported >= dropped, "{notice}; the metric had {dropped}");
    program.request(90_000..90_001);
    wait_until("later lines", || find("/n/90000").is_some());
}

#[test]
fn a_blocked_terminal_does_not_delay_the_exit() {
    let mut program = Unread::start(&[]);
    program.flood();
    let started = Instant::now();
    program.signal("-TERM");
    wait_until("the exit", || program.child.try_wait().unwrap().is_some());
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    let log = program.file("app.log");
    assert!(log.contains("stopping") && log.trim_end().ends_with("stopped"), "{}", &log[log.len() - 500..]);
}

#[test]
fn the_log_file_is_rotated_by_size_and_three_old_ones_are_kept() {
    const MAX_BYTES: usize = 8_192;
    let mut program = Unread::start(&["--log-max-bytes", &MAX_BYTES.to_string()]);
    // Read all the time, as a terminal does.
    let mut errors = program.child.stderr.take().unwrap();
    let reader = thread::spawn(move || errors.read_to_end(&mut Vec::new()));
    program.request(0..1_500);
    program.signal("-TERM");
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
    reader.join().unwrap().unwrap();
    let mut names: Vec<_> = fs::read_dir(&program.folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["app.log", "app.log.1", "app.log.2", "app.log.3"]);
    let mut all = vec![];
    for name in ["app.log.3", "app.log.2", "app.log.1", "app.log"] {
        let log = program.file(name);
        assert!(log.len() <= MAX_BYTES && log.ends_with('\n'), "{name} has {} bytes", log.len());
        assert!(name == "app.log" || log.len() > MAX_BYTES - 200, "{name} was rotated at {} bytes", log.len());
        all.extend(requests(&log));
    }
    let first = 1_500 - all.len();
    assert_eq!(all, (first..1_500).collect::<Vec<_>>(), "the last lines, in order and without a gap");
    assert!(program.file("app.log").trim_end().ends_with("stopped"));
}

#[test]
fn a_device_named_as_log_file_is_not_rotated() {
    let program = Unread::start_with_device();
    program.request(0..200);
    assert!(Path::new("/dev/null").metadata().is_ok_and(|null| !null.is_file()));
    assert_eq!(program.dropped("file"), 0);
}

impl Unread {
    /// Logs to `/dev/null`, so the port is chosen here.
    fn start_with_device() -> Unread {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let port_text = port.to_string();
        let args = [
            "--sine-wave",
            "--port",
            &port_text,
            "--log-level",
            "debug",
            "--log-file",
            "/dev/null",
            "--log-max-bytes",
            "4096",
        ];
        let child = command(&args, None).current_dir(&folder).stderr(Stdio::piped()).spawn().unwrap();
        wait_until("the port", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Unread { child, folder, port }
    }
}
