//! Chromium, which plays the listening page into the second sink.

use std::fmt;
use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde::Deserialize;

use crate::sound_server::SoundServer;

/// Parts of the delay that the browser tells.
pub const PARTS: [&str; 2] = ["jitter buffer", "playout"];

/// The browser's program.
pub fn chromium() -> String {
    std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".into())
}

/// What drives the browser.
pub fn packages() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser/node_modules/puppeteer-core")
}

/// A page that plays. It ends with this.
pub struct Listener {
    child: Child,
    requests: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// Sums of the browser's statistics, in seconds and samples.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    jitter_buffer_delay: f64,
    jitter_buffer_emitted_count: f64,
    total_playout_delay: f64,
    total_samples_count: f64,
}

/// Means over some time, in milliseconds.
pub struct Parts([f64; 2]);

impl Listener {
    /// Opens the page and starts it; `buffering` is what its user has chosen.
    pub fn start(sound: &SoundServer, url: &str, buffering: &str) -> Listener {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/mouth_to_ear/listener.mjs");
        let mut command = sound.command("node");
        command.arg(script).args([packages().to_str().expect("a path"), &chromium(), url, buffering]);
        command.env("PULSE_SINK", "ear").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("node is installed");
        let requests = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut listener = Listener { child, requests, answers };
        assert_eq!(listener.answer(), "playing");
        listener
    }

    pub fn statistics(&mut self) -> Statistics {
        writeln!(self.requests, "statistics").expect("the browser runs");
        serde_json::from_str(&self.answer()).expect("statistics")
    }

    fn answer(&mut self) -> String {
        self.answers.next().expect("the browser runs").expect("text")
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // It closes the browser when nothing more can be asked.
        let _ = writeln!(self.requests, "end");
        let _ = self.child.wait();
    }
}

impl Statistics {
    pub fn since(&self, before: &Statistics) -> Parts {
        let ms =
            |now: f64, then: f64, count_now: f64, count_then: f64| (now - then) / (count_now - count_then) * 1_000.0;
        Parts([
            ms(
                self.jitter_buffer_delay,
                before.jitter_buffer_delay,
                self.jitter_buffer_emitted_count,
                before.jitter_buffer_emitted_count,
            ),
            ms(
                self.total_playout_delay,
                before.total_playout_delay,
                self.total_samples_count,
                before.total_samples_count,
            ),
        ])
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, ms) in PARTS.iter().zip(self.0) {
            write!(f, "{ms:>width$.1}  ", width = part.len())?;
        }
        Ok(())
    }
}
