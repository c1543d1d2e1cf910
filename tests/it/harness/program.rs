//! The program as a person starts it: the binary with its log, status and threads, and the example listener, which reports
//! what it hears. No tests here.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

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
        Program::spawn(folder, command(&[&["--port", "0"], args].concat(), sound))
    }

    /// Ends the program and starts another one in its folder.
    pub fn restart(mut self, command: Command) -> Program {
        self.signal("-TERM");
        self.wait();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Program::spawn(folder, command)
    }

    pub fn spawn(folder: tempfile::TempDir, mut command: Command) -> Program {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
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

    /// From now on nobody reads what the program logs, until this is dropped.
    pub fn stop_reading_log(&self) -> MutexGuard<'_, Vec<String>> {
        self.log.lock().unwrap()
    }

    /// The first log line that contains this text.
    pub fn logged(&self, text: &str) -> Option<String> {
        self.log.lock().unwrap().iter().find(|line| line.contains(text)).cloned()
    }

    pub fn status(&self) -> Value {
        let body = get(self.port, "/api/status");
        serde_json::from_str(body.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    pub fn station(&self) -> Value {
        self.status()["stations"][0].clone()
    }

    /// Starts the example listener, which reports once a second.
    pub fn listen(&self, seconds: u32) -> Listening {
        let url = format!("http://127.0.0.1:{}/whep", self.port);
        Listening::start(&[&url, "--seconds", &seconds.to_string(), "--json"])
    }

    /// The name, real-time policy and nice value of each thread: "rtc", 2, 0.
    pub fn threads(&self) -> Vec<(String, i32, i32)> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        // A thread may end while it is read.
        let stats = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
        let ranks = stats.filter_map(|stat| {
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
            // Counted as in proc_pid_stat(5); what follows the name begins with the third.
            let field = |n: usize| rest.split_whitespace().nth(n - 3)?.parse().ok();
            Some((name.to_owned(), field(41)?, field(19)?))
        });
        ranks.collect()
    }

    /// How many TCP sockets of the process listen.
    pub fn tcp_listeners(&self) -> usize {
        let process = format!("/proc/{}", self.child.id());
        let descriptors = std::fs::read_dir(format!("{process}/fd")).unwrap();
        let own: Vec<_> = descriptors.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok()).collect();
        let tables =
            ["tcp", "tcp6"].map(|name| std::fs::read_to_string(format!("{process}/net/{name}")).unwrap_or_default());
        // proc_pid_net(5): the state 0A listens, and the tenth column is the inode.
        let sockets = tables.iter().flat_map(|table| table.lines()).filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            (columns.get(3) == Some(&"0A")).then(|| PathBuf::from(format!("socket:[{}]", columns[9])))
        });
        sockets.filter(|socket| own.contains(socket)).count()
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Waits until it has ended and returns its exit code.
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

    pub fn wait_for_silence(&self) {
        wait_until("silence", || self.last().is_some_and(|last| last["left_dbfs"].as_f64().unwrap() < -70.0));
    }

    pub fn finish(mut self) -> Value {
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

/// The program with an empty environment: the build that belongs to these tests, or the one that `ROOMTONE_BINARY` names by
/// an absolute path.
pub fn command(args: &[&str], sound: Option<&SoundServer>) -> Command {
    let mut command = Command::new(std::env::var_os("ROOMTONE_BINARY").unwrap_or(BINARY.into()));
    command.args(args).env_clear().stdin(Stdio::null()).stdout(Stdio::piped());
    if let Some(server) = sound {
        command.env("PULSE_SERVER", format!("unix:{}", server.socket().display())).env("HOME", server.folder());
    }
    command
}

/// The path of an example's binary.
pub fn example(name: &str) -> PathBuf {
    let path = PathBuf::from(BINARY).parent().unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is built by `cargo test`", path.display());
    path
}

pub fn get(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    std::io::read_to_string(stream).unwrap()
}
