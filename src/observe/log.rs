//! Where log lines go: the terminal and, unless told otherwise, a file.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal};
use std::path::Path;

use log::LevelFilter;
use simplelog::{ColorChoice, CombinedLogger, ConfigBuilder, SharedLogger, TermLogger, TerminalMode, WriteLogger};

/// Opens a log file, to be written at its end.
///
/// # Errors
/// As the operating system says.
pub fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Sends this program's log lines to the terminal's error output and to `file`. What libraries log is left out: it
/// speaks of their insides. A second call changes nothing.
pub fn start(level: LevelFilter, file: Option<File>) {
    let mut builder = ConfigBuilder::new();
    builder.set_time_format_custom(time::macros::format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]"
    ));
    builder.add_filter_allow_str("roomtone").set_target_level(LevelFilter::Debug);
    builder.set_location_level(LevelFilter::Off).set_thread_level(LevelFilter::Debug);
    // Without a known time zone the lines are in UTC.
    let _ = builder.set_time_offset_to_local();
    let config = builder.build();
    let color = if io::stderr().is_terminal() { ColorChoice::Auto } else { ColorChoice::Never };
    let mut loggers: Vec<Box<dyn SharedLogger>> =
        vec![TermLogger::new(level, config.clone(), TerminalMode::Stderr, color)];
    if let Some(file) = file {
        loggers.push(WriteLogger::new(level, config, file));
    }
    let _ = CombinedLogger::init(loggers);
}
