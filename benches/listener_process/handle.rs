//! The listeners' process, as the bench that starts it sees it. Linux only, for the processor times.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

use roomtone::media::track::TrackId;
use roomtone::rtc::engine::handle::Handle;
use roomtone::rtc::requests::Offer;

use super::crowd::Report;
use super::processor;

/// The process that listens.
pub struct Listeners {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// From which addresses it made its offers.
    pub addresses: Vec<SocketAddr>,
}

impl Listeners {
    pub fn start() -> Listeners {
        let mut command = Command::new(std::env::current_exe().expect("a path"));
        let mut child = command.arg("--crowd").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let orders = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Listeners { child, orders, answers, addresses: vec![] }
    }

    pub fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").expect("a reader");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.answers.read_line(&mut line).expect("a line") > 0, "the listeners are gone");
        line.trim_end().to_owned()
    }

    /// Connects so many, one every `pace` at the most; the processor time that admitting them took on this thread.
    pub fn connect(&mut self, count: usize, pace: Duration, engine: &Handle) -> Duration {
        let mut spent = Duration::ZERO;
        if count == 0 {
            return spent;
        }
        self.order(&format!("connect {count}"));
        loop {
            let line = self.line();
            let Some((number, sdp)) = line.strip_prefix("offer ").and_then(|rest| rest.split_once(' ')) else {
                assert_eq!(line, "connected");
                return spent;
            };
            let sdp: String = serde_json::from_str(sdp).expect("JSON");
            self.addresses.push(candidate(&sdp).expect("a candidate"));
            thread::sleep(pace);
            let before = processor::time_of(processor::this_thread());
            let offer = Offer {
                sdp,
                track: TrackId::new(0),
                reached_at: Some(Ipv4Addr::LOCALHOST.into()),
                client: Ipv4Addr::LOCALHOST.into(),
            };
            let admitted = engine.admit(offer).expect("a session");
            spent += processor::time_of(processor::this_thread()) - before;
            self.order(&format!("answer {number} {}", serde_json::to_string(&admitted.answer).expect("JSON")));
        }
    }

    pub fn report(&mut self) -> Report {
        self.order("report");
        let line = self.line();
        serde_json::from_str(line.strip_prefix("report ").expect("a report")).expect("JSON")
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `a=candidate:<foundation> <component> UDP <priority> <address> <port> typ host …`
fn candidate(sdp: &str) -> Option<SocketAddr> {
    let line = sdp.lines().find_map(|line| line.strip_prefix("a=candidate:"))?;
    let mut words = line.split(' ').skip(4);
    Some(SocketAddr::new(words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}
