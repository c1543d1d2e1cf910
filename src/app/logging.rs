//! Starts the log before the application, because choosing a source logs already, and keeps the queue of reports that the
//! log's threads and the application's threads share.
//!
//! Runs on `main`. How lines get to the terminal and the file is in `observe`.

use std::path::Path;

use crossbeam_channel::{Receiver, Sender};

use crate::config::start_error::{ExitCode, StartError};
use crate::config::{LogConfig, LogFile};
use crate::observe::log::{self, Log};
use crate::observe::log_file;
use crate::observe::reports::{self, Report};

/// The running log.
#[derive(Debug)]
pub struct Logging {
    pub(super) log: Log,
    pub(super) report: Sender<Report>,
    pub(super) reports: Receiver<Report>,
}

impl Logging {
    /// Starts the log of the process.
    ///
    /// # Errors
    /// [`ExitCode::File`] if a log file was named that cannot be written.
    pub fn start(config: &LogConfig) -> Result<Logging, StartError> {
        let (path, is_required) = match &config.file {
            LogFile::Off => (None, false),
            LogFile::Default => (Some(Path::new(LogFile::DEFAULT_PATH)), false),
            LogFile::Path(path) => (Some(path.as_path()), true),
        };
        let (mut file, mut problem) = (None, None);
        if let Some(path) = path {
            match log_file::LogFile::open(path, config.max_bytes) {
                Ok(opened) => file = Some(opened),
                Err(error) if is_required => {
                    let message =
                        format!("--log-file {}: {error}. Name a file that can be written, or none.", path.display());
                    return Err(StartError::new(ExitCode::File, message));
                }
                Err(error) => problem = Some(format!("log file {}: cannot be written ({error})", path.display())),
            }
        }
        let (report, reports) = reports::channel();
        let setup = log::Setup { level: config.level, is_colored: config.is_colored, file };
        let log = log::start(setup, &report)
            .map_err(|error| StartError::new(ExitCode::Bug, format!("the log cannot be started: {error}.")))?;
        if let Some(problem) = problem {
            ::log::warn!("{problem}; the log goes to the terminal only");
        }
        Ok(Logging { log, report, reports })
    }
}
