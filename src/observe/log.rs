//! The log: formats each line on the thread that logs it and passes it to the outputs, standard error and a file, which
//! write it on threads of their own. A thread that logs never waits for a terminal, a pipe or a disk.
//!
//! What libraries log is left out: it is about their internals.

use std::io::{self, IsTerminal, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{backtrace, fmt, thread};

use crossbeam_channel::Sender;
use log::{Level, LevelFilter, Log as _, Metadata, Record};
use simplelog::{ConfigBuilder, WriteLogger};

use crate::observe::log_file::LogFile;
use crate::observe::log_output::{Line, Output, Sink, Terminal};
use crate::observe::metrics::Counter;
use crate::observe::registry::{Description, Registry, Unit};
use crate::observe::reports::Report;

/// How long a flush waits for a blocked terminal: the end of the process must not depend on it.
const FLUSH_PATIENCE: Duration = Duration::from_millis(500);

/// The names of the outputs' threads.
const TERMINAL_THREAD: &str = "log";
const FILE_THREAD: &str = "log-file";

/// How to log.
#[derive(Debug)]
pub struct Setup {
    /// The lowest level that is logged.
    pub level: LevelFilter,
    /// Whether levels are coloured if standard error is a terminal.
    pub is_colored: bool,
    /// The file besides the terminal.
    pub file: Option<LogFile>,
}

/// The running log. It is not stopped, only flushed: other threads log until the process ends, and a blocked terminal
/// may hold an output's thread for ever.
#[derive(Debug)]
pub struct Log {
    dropped: Vec<(&'static str, Counter)>,
}

/// Starts the outputs' threads and becomes the process's logger (`log::logger()`); messages of panics go to the log too.
///
/// # Errors
/// If the operating system has no thread to give, or if the process has a logger already.
pub fn start(setup: Setup, reports: &Sender<Report>) -> io::Result<Log> {
    let format = format();
    let output = |name, sink, place: &'static str| {
        let format = format.clone();
        let notice = move |lines| dropped_notice(&format, lines, place);
        Output::start(name, sink, notice, reports.clone())
    };
    let is_colored = setup.is_colored && io::stderr().is_terminal() && understands_escapes();
    let terminal = Sink::Terminal(Terminal::stderr(is_colored));
    let mut outputs = vec![output(TERMINAL_THREAD, terminal, "the terminal")?];
    let mut dropped = vec![("terminal", outputs[0].dropped().clone())];
    if let Some(file) = setup.file {
        outputs.push(output(FILE_THREAD, Sink::File(file), "the log file")?);
        dropped.push(("file", outputs[1].dropped().clone()));
    }
    log::set_boxed_logger(Box::new(Logger { level: setup.level, format, outputs })).map_err(io::Error::other)?;
    log::set_max_level(setup.level);
    log_panics();
    Ok(Log { dropped })
}

impl Log {
    /// Registers the counts of dropped lines.
    pub fn register(&self, registry: &Registry) {
        let description = Description {
            name: "log_lines_dropped",
            help: "Log lines dropped because an output did not take them in time.",
            unit: Unit::Count,
            json: "",
        };
        for (output, counter) in &self.dropped {
            registry.adopt(description, &[("output", output)], counter.clone());
        }
    }
}

struct Logger {
    level: LevelFilter,
    format: simplelog::Config,
    outputs: Vec<Output>,
}

impl log::Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level && metadata.target().starts_with("roomtone")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = Arc::new(line(&self.format, record));
            self.outputs.iter().for_each(|output| output.push(line.clone()));
        }
    }

    /// Waits until all lines are written, or until [`FLUSH_PATIENCE`] has passed.
    fn flush(&self) {
        let deadline = Instant::now() + FLUSH_PATIENCE;
        self.outputs.iter().for_each(|output| output.flush(deadline));
    }
}

/// Time, level, thread and module of a line.
fn format() -> simplelog::Config {
    let mut builder = ConfigBuilder::new();
    builder.set_time_format_custom(time::macros::format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]"
    ));
    builder.set_target_level(LevelFilter::Debug);
    builder.set_location_level(LevelFilter::Off).set_thread_level(LevelFilter::Debug);
    // Without a known time zone the lines are in UTC.
    let _ = builder.set_time_offset_to_local();
    builder.build()
}

/// Formats a record. With a logger of its own: simplelog's loggers hold a lock while they format, and a real-time thread
/// must not wait for an ordinary one that holds it.
fn line(format: &simplelog::Config, record: &Record<'_>) -> Line {
    let buffer = Buffer::default();
    WriteLogger::new(LevelFilter::Trace, format.clone(), buffer.clone()).log(record);
    let bytes = std::mem::take(&mut *buffer.0.lock().unwrap_or_else(PoisonError::into_inner));
    let text = String::from_utf8(bytes).unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into_owned());
    Line { level: record.level(), text }
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The line that reports how many are missing before it.
fn dropped_notice(format: &simplelog::Config, lines: u64, place: &str) -> Line {
    let arguments: fmt::Arguments<'_> = format_args!("{lines} log lines dropped: {place} did not take them in time");
    let mut record = Record::builder();
    let record = record.level(Level::Warn).target(module_path!());
    line(format, &record.args(arguments).build())
}

/// Messages of panics become log lines, so that they are in the file too, and a panicking thread waits for a stopped
/// terminal no longer than a flush does. An output's own thread prints its panic as the standard library does.
fn log_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        let thread = thread::current();
        let name = thread.name().unwrap_or("without a name");
        if [TERMINAL_THREAD, FILE_THREAD].contains(&name) {
            return print(info);
        }
        let message = payload(info);
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let trace = backtrace::Backtrace::capture();
        match trace.status() {
            backtrace::BacktraceStatus::Captured => {
                log::error!("thread {name}: panicked at {place}: {message}\n{trace}");
            }
            _ => log::error!("thread {name}: panicked at {place}: {message}"),
        }
        log::logger().flush();
    }));
}

fn payload<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a payload that is no text")
}

#[cfg(windows)]
fn understands_escapes() -> bool {
    crossterm::ansi_support::supports_ansi()
}

#[cfg(not(windows))]
fn understands_escapes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_time_level_thread_and_module() {
        let record = || Record::builder();
        let text = thread::Builder::new()
            .name("rtc".into())
            .spawn(move || {
                let mut record = record();
                let record = record.level(Level::Info).target("roomtone::rtc");
                line(&format(), &record.args(format_args!("peer {}: joined", 1)).build()).text
            })
            .unwrap()
            .join()
            .unwrap();
        let (time, rest) = text.split_at("2026-11-26 10:00:00.000".len());
        assert!(time.bytes().all(|b| b.is_ascii_digit() || b"-: .".contains(&b)), "{text}");
        assert_eq!(rest, " [INFO] peer 1: joined\n");
        let notice = dropped_notice(&format(), 7, "the terminal").text;
        assert!(notice.ends_with(" [WARN] 7 log lines dropped: the terminal did not take them in time\n"), "{notice}");
    }
}
