//! One place where log lines go, with a queue and a thread of its own: `log` writes to standard error, `log-file` to the
//! log's file. Two threads, so that a blocked terminal (Ctrl-S, a full pipe) does not keep lines out of the file.
//!
//! The threads are ordinary ones: the threads that log, of any priority, never wait for them.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Instant;

use crossbeam_channel::Sender;
use log::Level;

use crate::observe::line_queue::{Reader, Writer, line_queue};
use crate::observe::log_file::LogFile;
use crate::observe::metrics::Counter;
use crate::observe::reports::{self, Report};

/// Lines that wait for one output. Full means that the line is dropped and counted. Enough for what thousands of peers that
/// join within a second have logged.
const QUEUE_LINES: usize = 2_048;
/// Their size together; lines with an SDP are long. Full means the same.
const QUEUE_BYTES: usize = 1024 * 1024;

/// A formatted line, with its line feed.
#[derive(Debug)]
pub(super) struct Line {
    pub level: Level,
    pub text: String,
}

/// Where an output's thread writes.
pub(super) enum Sink {
    Terminal(Terminal),
    File(LogFile),
}

/// The end of the threads that log.
pub(super) struct Output {
    queue: Writer<Arc<Line>>,
    thread: Thread,
    shared: Arc<Shared>,
}

/// What both ends count.
#[derive(Default)]
struct Shared {
    /// Lines ever dropped, for the metrics.
    dropped: Counter,
    /// Lines dropped that no notice has reported yet.
    unreported: AtomicU64,
    /// Lines taken out of the queue and written. Locked by this output's thread and by those that flush.
    written: Mutex<usize>,
    progress: Condvar,
}

impl Output {
    /// Starts the thread. `notice` formats the line that reports how many were dropped.
    pub fn start(
        name: &str,
        sink: Sink,
        notice: impl Fn(u64) -> Line + Send + 'static,
        reports: Sender<Report>,
    ) -> io::Result<Output> {
        let (queue, lines) = line_queue(QUEUE_LINES, QUEUE_BYTES);
        let shared = Arc::new(Shared::default());
        let output = OutputThread { lines, sink, notice, shared: shared.clone() };
        let thread = reports::spawn(name.to_owned(), reports, move || output.run())?;
        Ok(Output { queue, thread: thread.thread().clone(), shared })
    }

    /// Passes a line on without waiting; drops and counts it if the queue is full.
    pub fn push(&self, line: Arc<Line>) {
        let bytes = line.text.len();
        if self.queue.push(line, bytes) {
            self.thread.unpark();
        } else {
            self.shared.count_dropped(1);
        }
    }

    /// Waits until the lines of now are written, or until `deadline`.
    pub fn flush(&self, deadline: Instant) {
        let added = self.queue.added();
        let mut written = self.shared.written.lock().unwrap_or_else(PoisonError::into_inner);
        // As a difference, since both may overflow.
        while (added.wrapping_sub(*written) as isize) > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            written = self.shared.progress.wait_timeout(written, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lines ever dropped.
    pub fn dropped(&self) -> &Counter {
        &self.shared.dropped
    }
}

impl Shared {
    fn count_dropped(&self, lines: u64) {
        self.dropped.add(lines);
        self.unreported.fetch_add(lines, Ordering::Relaxed);
    }
}

struct OutputThread<F> {
    lines: Reader<Arc<Line>>,
    sink: Sink,
    notice: F,
    shared: Arc<Shared>,
}

impl<F: Fn(u64) -> Line> OutputThread<F> {
    /// Ends with the process only.
    fn run(mut self) {
        // Lines written since the last notice. Those that waited when lines were dropped come before the notice: one that
        // was being written, and a full queue.
        let mut since_notice = 0;
        loop {
            let line = self.lines.pop();
            if line.is_none() || since_notice > QUEUE_LINES {
                self.report_dropped();
                since_notice = 0;
            }
            match line {
                Some(line) => {
                    since_notice += 1;
                    if self.sink.write(&line).is_err() {
                        self.shared.count_dropped(1);
                    }
                    let mut written = self.shared.written.lock().unwrap_or_else(PoisonError::into_inner);
                    *written = written.wrapping_add(1);
                    self.shared.progress.notify_all();
                }
                None => thread::park(),
            }
        }
    }

    fn report_dropped(&mut self) {
        let lines = self.shared.unreported.swap(0, Ordering::Relaxed);
        if lines > 0 && self.sink.write(&(self.notice)(lines)).is_err() {
            // Reported when a write succeeds again.
            self.shared.unreported.fetch_add(lines, Ordering::Relaxed);
        }
    }
}

impl Sink {
    fn write(&mut self, line: &Line) -> io::Result<()> {
        match self {
            Sink::Terminal(terminal) => terminal.write(line),
            Sink::File(file) => file.write(line.text.as_bytes()),
        }
    }
}

/// Standard error.
pub(super) struct Terminal {
    out: Box<dyn Write + Send>,
    is_colored: bool,
}

impl Terminal {
    /// Standard error of this process.
    pub fn stderr(is_colored: bool) -> Terminal {
        Terminal { out: stderr(), is_colored }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        match self.is_colored {
            true => self.out.write_all(colored(line).as_bytes()),
            false => self.out.write_all(line.text.as_bytes()),
        }
    }
}

/// A descriptor of its own: the standard library's handle is locked while it writes, and a thread that prints a panic would
/// wait for that lock for as long as the terminal is blocked.
#[cfg(unix)]
fn stderr() -> Box<dyn Write + Send> {
    use std::os::fd::AsFd;
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(std::fs::File::from(descriptor)),
        Err(_) => Box::new(io::stderr()),
    }
}

/// The standard library's handle: it writes Unicode to a Windows console.
#[cfg(not(unix))]
fn stderr() -> Box<dyn Write + Send> {
    Box::new(io::stderr())
}

/// The level in the colour that simplelog gives it.
fn colored(line: &Line) -> String {
    let color = match line.level {
        Level::Error => 31,
        Level::Warn => 33,
        Level::Info => 34,
        Level::Debug => 36,
        Level::Trace => 37,
    };
    let level = format!("[{}]", line.level);
    line.text.replacen(&level, &format!("\x1b[{color}m{level}\x1b[0m"), 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam_channel::{Receiver, bounded};

    use super::*;

    /// A terminal that takes a line whenever the test lets it.
    struct Slow {
        permits: Receiver<io::Result<()>>,
        taken: Sender<String>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.permits.recv().unwrap_or(Ok(()))?;
            self.taken.send(String::from_utf8(bytes.to_owned()).unwrap()).unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn line(text: &str) -> Arc<Line> {
        Arc::new(Line { level: Level::Info, text: text.to_owned() })
    }

    fn start() -> (Output, Sender<io::Result<()>>, Receiver<String>) {
        let ((permit, permits), (taken, lines)) = (bounded(8), bounded(10_000));
        let sink = Sink::Terminal(Terminal { out: Box::new(Slow { permits, taken }), is_colored: false });
        let notice = |n| Line { level: Level::Warn, text: format!("{n} dropped") };
        let output = Output::start("log", sink, notice, bounded(1).0).unwrap();
        (output, permit, lines)
    }

    #[test]
    fn a_blocked_terminal_drops_lines_and_a_notice_reports_how_many() {
        let (output, permit, lines) = start();
        for n in 0..QUEUE_LINES + 100 {
            output.push(line(&n.to_string()));
        }
        let dropped = output.dropped().read();
        // One line may have been taken out already, by the thread that now waits.
        assert!((99..=100).contains(&dropped), "{dropped}");
        let started = Instant::now();
        output.flush(started + Duration::from_millis(50));
        assert!(started.elapsed() >= Duration::from_millis(50) && started.elapsed() < Duration::from_secs(5));
        drop(permit);
        let taken: Vec<String> = (0..=QUEUE_LINES + 100 - dropped as usize).map(|_| lines.recv().unwrap()).collect();
        assert_eq!(taken[0], "0");
        assert_eq!(taken.last().unwrap(), &format!("{dropped} dropped"));
        output.push(line("again"));
        output.flush(Instant::now() + Duration::from_secs(20));
        assert_eq!(lines.recv().unwrap(), "again");
        assert!(lines.is_empty(), "reported once");
    }

    #[test]
    fn lines_that_could_not_be_written_are_reported_when_a_write_succeeds_again() {
        let (output, permit, lines) = start();
        output.push(line("lost"));
        permit.send(Err(io::Error::other("no space"))).unwrap();
        // The notice fails too.
        permit.send(Err(io::Error::other("no space"))).unwrap();
        output.flush(Instant::now() + Duration::from_secs(20));
        while !permit.is_empty() {
            thread::yield_now();
        }
        drop(permit);
        output.push(line("kept"));
        // The thread may have tried the notice again in between.
        let mut taken = [lines.recv().unwrap(), lines.recv().unwrap()];
        taken.sort();
        assert_eq!(taken, ["1 dropped", "kept"]);
        assert_eq!(output.dropped().read(), 1);
    }

    #[test]
    fn only_the_level_is_colored() {
        let line = Line { level: Level::Warn, text: "12:00 [WARN] (main) roomtone: [WARN]\n".into() };
        assert_eq!(colored(&line), "12:00 \x1b[33m[WARN]\x1b[0m (main) roomtone: [WARN]\n");
    }
}
