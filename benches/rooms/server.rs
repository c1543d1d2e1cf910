//! The server's side of the bench: a process of its own with a whole server and a bare TCP echo, and how to start it and read
//! its memory and processor time from outside.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;

use roomtone::app::App;
use roomtone::config::Config;
use roomtone::station::source::Source;
use roomtone::web::transport::limits::Limits;

/// Runs in the server process: a whole server and a bare echo, until standard input ends.
pub fn serve() {
    let mut config = Config::default();
    (config.net.port, config.net.bind) = (0, Some([127, 0, 0, 1].into()));
    // All browsers have one address here, and connect as fast as they can.
    config.web.limits = Limits { max_connections_per_address: 12_000, connections_per_s: 100_000, ..Limits::default() };
    let rooms = &mut config.signal.limits;
    (rooms.max_peers_per_address, rooms.address_messages_per_s) = (12_000, 100_000_000);
    let app = App::start(config, Source::Sine { tone_hz: 440.0 }).expect("a server");
    let echo = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("ports {} {}", app.port(), echo.local_addr().expect("an address").port());
    thread::spawn(move || {
        let (mut stream, _) = echo.accept().expect("a client");
        stream.set_nodelay(true).expect("an option");
        let mut bytes = [0; 4096];
        while let Ok(count) = stream.read(&mut bytes) {
            if count == 0 || stream.write_all(&bytes[..count]).is_err() {
                return;
            }
        }
    });
    // The bench keeps this pipe open as long as it runs.
    let _ = io::stdin().read_to_end(&mut vec![]);
    app.stop();
}

/// The server process; it ends when this is dropped.
pub struct Server {
    child: Child,
    /// Where its rooms are.
    pub address: SocketAddr,
    /// Where its TCP echo is.
    pub echo: SocketAddr,
}

impl Server {
    /// Starts it and waits until it accepts connections.
    pub fn start() -> Server {
        let exe = std::env::current_exe().expect("a path");
        let mut command = Command::new(exe);
        let mut child = (command.arg("--serve").stdin(Stdio::piped()).stdout(Stdio::piped())).spawn().expect("a child");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let port = |nth| line.split_whitespace().nth(nth).and_then(|port| port.parse::<u16>().ok()).expect("a port");
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        Server { child, address: at(port(1)), echo: at(port(2)) }
    }

    /// Resident memory in KiB and number of threads, where there is a `/proc`.
    pub fn memory_and_threads(&self) -> Option<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        Some((field("VmRSS:")?, field("Threads:")?))
    }

    /// Processor time so far, in hundredths of a second, where there is a `/proc`.
    pub fn processor_ticks(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
