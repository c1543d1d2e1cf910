//! The listener process as the bench that starts it sees it.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;
use std::time::Duration;

use roomtone::media::track::TrackId;
use roomtone::rtc::engine::handle::Handle;
use roomtone::rtc::requests::{Offer, ReachedAt};

use super::child::FLAG;
use super::processor;
use super::protocol::{Command, Message, Report};

/// A running listener process; killed when dropped.
pub struct ListenerProcess {
    child: Child,
    commands: ChildStdin,
    messages: BufReader<ChildStdout>,
}

impl ListenerProcess {
    /// Starts this bench's executable as a listener process, without listeners.
    pub fn start() -> ListenerProcess {
        let mut command = std::process::Command::new(std::env::current_exe().expect("a path"));
        let mut child = command.arg(FLAG).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let commands = child.stdin.take().expect("a pipe");
        let messages = BufReader::new(child.stdout.take().expect("a pipe"));
        ListenerProcess { child, commands, messages }
    }

    fn send(&mut self, command: &Command) {
        writeln!(self.commands, "{}", serde_json::to_string(command).expect("JSON")).expect("a reader");
    }

    fn next_message(&mut self) -> Message {
        let mut line = String::new();
        assert!(self.messages.read_line(&mut line).expect("a line") > 0, "the listener process has ended");
        serde_json::from_str(&line).expect("a message")
    }

    /// Connects so many listeners more, each at least `interval` after the last.
    ///
    /// Returns the processor time that this thread needed to admit them.
    pub fn connect(&mut self, count: usize, interval: Duration, engine: &Handle) -> Duration {
        let mut spent = Duration::ZERO;
        if count == 0 {
            return spent;
        }
        self.send(&Command::Connect(count));
        loop {
            let (listener, sdp) = match self.next_message() {
                Message::Offer { listener, sdp } => (listener, sdp),
                Message::Connected => return spent,
                Message::Report(_) => panic!("a report that was not asked for"),
            };
            thread::sleep(interval);
            let before = processor::time_of(processor::this_thread());
            let offer = Offer {
                sdp,
                track: TrackId::new(0),
                reached_at: Some(ReachedAt { ip: Ipv4Addr::LOCALHOST.into(), port: None }),
                client: Ipv4Addr::LOCALHOST.into(),
            };
            let admitted = engine.admit(offer).expect("a session");
            spent += processor::time_of(processor::this_thread()) - before;
            self.send(&Command::Answer { listener, sdp: admitted.answer });
        }
    }

    /// Lets the listeners forget what they have received so far.
    pub fn reset(&mut self) {
        self.send(&Command::Reset);
    }

    /// What the listeners received since the last reset.
    pub fn report(&mut self) -> Report {
        self.send(&Command::Report);
        match self.next_message() {
            Message::Report(report) => report,
            other => panic!("{other:?} in place of a report"),
        }
    }
}

impl Drop for ListenerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
