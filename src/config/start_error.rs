//! Why the program cannot start, and the exit codes. Plain data.

use std::fmt;

/// How the program ends; documented in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Stopped as asked.
    Stopped = 0,
    /// A bug: a thread ended that should not have.
    Bug = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// The port or address is not available.
    Port = 3,
    /// The device asked for does not exist, or several match.
    Device = 4,
    /// A file or folder named on the command line cannot be used.
    File = 5,
}

/// Why the program cannot start: a sentence that says what to do, and the code to exit with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartError {
    /// The exit code.
    pub code: ExitCode,
    /// What to tell the person who started the program.
    pub message: String,
}

impl StartError {
    /// An error with this code and sentence.
    pub fn new(code: ExitCode, message: impl Into<String>) -> StartError {
        StartError { code, message: message.into() }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for StartError {}
